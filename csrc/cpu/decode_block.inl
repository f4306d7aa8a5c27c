// Attention of a few rows (queries × heads of a group) over one block of 32 keys in lane layout: the inner loop of
// decode. Scores come out 16 keys a vector, q is broadcast; the values are the vectors of the second product, P is
// broadcast. Online softmax (Milakov and Gimelshein 2018), rescaled only when a row's maximum grows, which is rare
// after the first blocks.

constexpr float log2e = 1.44269504f;
constexpr float lowestScore = -1e30f;  // the first maximum: finite, so that −inf − maximum is never NaN

// --- what a 32-bit unit is, and how two of them are multiplied: acc += x · y
struct FloatUnits {
  using Element = float;
  using Factor = float;  // of q and P
  static constexpr int factorsPerUnit = 1;
  struct Operand {
    Vec x;
  };
  LONGSPAN_INLINE static Operand loaded(const float* p) { return {load(p)}; }
  LONGSPAN_INLINE static Operand spread(const float* p) { return {broadcast(*p)}; }
  LONGSPAN_INLINE static Vec multiplyAdd(Vec acc, Operand a, Operand b) { return acc + a.x * b.x; }
};
struct WidenedPairs {  // pairs of bfloat16, widened in registers: q and P stay float32
  using Element = BFloat16;
  using Factor = float;
  static constexpr int factorsPerUnit = 2;
  struct Operand {
    Vec low, high;
  };
  LONGSPAN_INLINE static Operand loaded(const BFloat16* p) {
    VecInt units = *(const UnalignedVecInt*)p;
    return {asFloat(units << 16), asFloat(units & int32_t(0xffff0000))};
  }
  LONGSPAN_INLINE static Operand spread(const float* p) { return {broadcast(p[0]), broadcast(p[1])}; }
  LONGSPAN_INLINE static Vec multiplyAdd(Vec acc, Operand a, Operand b) {
    return acc + a.low * b.low + a.high * b.high;
  }
};
#ifdef __AVX512BF16__
typedef int32_t PairOfFactors __attribute__((may_alias, aligned(4)));
struct PairUnits {  // multiplied as they are, for q that is bfloat16 itself
  using Element = BFloat16;
  using Factor = BFloat16;
  static constexpr int factorsPerUnit = 2;
  struct Operand {
    VecInt x;
  };
  LONGSPAN_INLINE static Operand loaded(const BFloat16* p) { return {*(const UnalignedVecInt*)p}; }
  LONGSPAN_INLINE static Operand spread(const BFloat16* p) { return {broadcast(*(const PairOfFactors*)p)}; }
  LONGSPAN_INLINE static Vec multiplyAdd(Vec acc, Operand a, Operand b) { return dotPairs(acc, a.x, b.x); }
};
#else
using PairUnits = WidenedPairs;
#endif

// Register tiles: 16 accumulators where there are 32 registers, 8 where there are 16.
#if LONGSPAN_LANES == 16 || defined(__aarch64__)
constexpr int rowsPerScoreTile = 4, scoreChains = LONGSPAN_LANES == 16 ? 2 : 1, valueTile = 16;
#elif LONGSPAN_LANES == 8
constexpr int rowsPerScoreTile = 4, scoreChains = 1, valueTile = 8;
#else
constexpr int rowsPerScoreTile = 2, scoreChains = 1, valueTile = 8;
#endif
constexpr int valueVecs = minOf(valueTile, panelValues / lanes);  // of one row
constexpr int rowsPerValueTile = valueTile / valueVecs;

// f(first row, how many as a compile-time number) in steps of `most`, most / 2 … 1
template <int number>
struct Number {
  static constexpr int value = number;
};
template <int most, class F>
LONGSPAN_INLINE void forRowTiles(int rows, const F& f, int first = 0) {
  for (; rows - first >= most; first += most) f(first, Number<most>{});
  if constexpr (most > 1) forRowTiles<most / 2>(rows, f, first);
}

struct DecodeBlock {  // one block of keys, and the rows that look at it
  const void *keys, *values;
  const void* query;  // [rows][queryStride] factors
  int64_t queryStride;
  int rows, keyDim, valueDim;  // padded dims
  float* scores;               // [rows][32]
  void* probabilities;         // [rows][32] factors
  float* state;                // [rows][stateStride]: output sum, then the sum of P by lane, then the maximum
  int64_t stateStride;
};
constexpr int stateExtra = 32;
LONGSPAN_INLINE float* sumOf(float* state, int valueDim) { return state + valueDim; }
LONGSPAN_INLINE float& maximumOf(float* state, int valueDim) { return state[valueDim + 16]; }

// Blocks of the cache follow each other in memory, so each line read asks for one some way ahead, to L1. Measured on
// Zen 5, one thread: float32 4 KiB ahead, pairs 8 KiB; without, the cache is read at 0.8 of the speed.
template <class U, bool ahead>
LONGSPAN_INLINE void fetchAhead(const typename U::Element* line) {
  if constexpr (ahead) __builtin_prefetch((const char*)line + 4096 * perUnit<typename U::Element>, 0, 3);
}

// scores[r][16 keys] of R rows
template <class U, int R, bool ahead>
LONGSPAN_INLINE void scoreGroup(const typename U::Element* keys, const typename U::Factor* query, int64_t queryStride,
                                int units, float* scores) {
  constexpr int vecs = 16 / lanes, unit = perUnit<typename U::Element>;
  Vec acc[scoreChains][R][vecs] = {};
  for (int u = 0; u < units; u += scoreChains) {
#pragma GCC unroll 2
    for (int chain = 0; chain < scoreChains; ++chain) {
      typename U::Operand k[vecs];
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v) k[v] = U::loaded(keys + ((u + chain) * 16 + v * lanes) * unit);
      fetchAhead<U, ahead>(keys + (u + chain) * 16 * unit);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        typename U::Operand q = U::spread(query + r * queryStride + (u + chain) * U::factorsPerUnit);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) acc[chain][r][v] = U::multiplyAdd(acc[chain][r][v], k[v], q);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) {
      Vec x = acc[0][r][v];
      if constexpr (scoreChains == 2) x += acc[scoreChains - 1][r][v];
      store(scores + r * cacheKeys + v * lanes, x);
    }
}

template <class U, bool ahead>
LONGSPAN_INLINE void scoreBlock(const DecodeBlock& b) {
  constexpr int unit = perUnit<typename U::Element>;
  int units = b.keyDim / unit;
  for (int group = 0; group < 2; ++group) {
    auto* keys = (const typename U::Element*)b.keys + int64_t(group) * 16 * b.keyDim;
    auto* query = (const typename U::Factor*)b.query;
    float* scores = b.scores + group * 16;
    forRowTiles<rowsPerScoreTile>(b.rows, [&]<class R>(int r, R) {
      auto* rows = query + r * b.queryStride;
      if (r == 0)
        scoreGroup<U, R::value, ahead>(keys, rows, b.queryStride, units, scores);
      else
        scoreGroup<U, R::value, false>(keys, rows, b.queryStride, units, scores + r * cacheKeys);
    });
  }
}

// output[r][N vectors] += P[r][32 keys] · values[32 keys][N vectors]
template <class U, int R, int N, bool ahead>
LONGSPAN_INLINE void addValues(const typename U::Element* values, int width, const typename U::Factor* p, float* output,
                               int64_t outputStride) {
  constexpr int unit = perUnit<typename U::Element>;
  Vec acc[R][N];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) acc[r][n] = load(output + r * outputStride + n * lanes);
  for (int u = 0; u < cacheKeys / unit; ++u) {
    typename U::Operand v[N];
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) v[n] = U::loaded(values + (u * width + n * lanes) * unit);
#pragma GCC unroll 4
    for (int line = 0; line < N * lanes; line += 16) fetchAhead<U, ahead>(values + (u * width + line) * unit);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      typename U::Operand weight = U::spread(p + r * cacheKeys + u * U::factorsPerUnit);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) acc[r][n] = U::multiplyAdd(acc[r][n], v[n], weight);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(output + r * outputStride + n * lanes, acc[r][n]);
}

template <class U, int N, bool ahead>
LONGSPAN_INLINE void addValuesOfRows(const typename U::Element* values, int width, const DecodeBlock& b, int dim) {
  auto* p = (const typename U::Factor*)b.probabilities;
  float* output = b.state + dim;
  forRowTiles<rowsPerValueTile>(b.rows, [&]<class R>(int r, R) {
    auto* weights = p + r * cacheKeys;
    if (r == 0)
      addValues<U, R::value, N, ahead>(values, width, weights, output, b.stateStride);
    else
      addValues<U, R::value, N, false>(values, width, weights, output + r * b.stateStride, b.stateStride);
  });
}

template <class U, bool ahead>
LONGSPAN_INLINE void valueBlock(const DecodeBlock& b) {
  constexpr int tileValues = valueVecs * lanes;  // 64, or 32
  auto* values = (const typename U::Element*)b.values;
  for (int panel = 0; panel < b.valueDim; panel += panelValues) {
    int width = panelWidth(panel, b.valueDim);
    for (int d = 0; d < width; d += tileValues) {
      auto* tile = values + int64_t(panel) * cacheKeys + d * perUnit<typename U::Element>;
      switch (minOf(tileValues, width - d) / 16) {
        case 1:
          addValuesOfRows<U, 16 / lanes, ahead>(tile, width, b, panel + d);
          break;
        case 2:
          addValuesOfRows<U, 32 / lanes, ahead>(tile, width, b, panel + d);
          break;
        case 3:
          addValuesOfRows<U, minOf(tileValues, 48) / lanes, ahead>(tile, width, b, panel + d);
          break;
        default:
          addValuesOfRows<U, tileValues / lanes, ahead>(tile, width, b, panel + d);
          break;
      }
    }
  }
}

LONGSPAN_INLINE bool anyLane(VecInt condition) {  // lanes are 0 or −1
#if LONGSPAN_LANES == 16
  return _mm512_movepi32_mask((__m512i)condition) != 0;
#elif LONGSPAN_LANES == 8
  return _mm256_movemask_ps((__m256)condition) != 0;
#elif defined(__aarch64__)
  return vmaxvq_u32((uint32x4_t)condition) != 0;
#else
  return _mm_movemask_ps((__m128)condition) != 0;
#endif
}

LONGSPAN_INLINE void storeFactors(float* p, Vec x) { store(p, x); }
LONGSPAN_INLINE void storeFactors(BFloat16* p, Vec x) {
#ifdef __AVX512BF16__
  *(__m256i_u*)p = (__m256i)_mm512_cvtneps_pbh((__m512)x);
#else
  store(p, x);
#endif
}

// P = 2^((x − maximum) · unit) of one row of 32 finished scores
template <class U>
LONGSPAN_INLINE void softmaxRow(const DecodeBlock& b, int row, const Vec (&x)[cacheKeys / lanes], float unit) {
  constexpr int vecs = cacheKeys / lanes;
  float* state = b.state + row * b.stateStride;
  float& maximum = maximumOf(state, b.valueDim);
  float* sums = sumOf(state, b.valueDim);
  Vec highest = x[0];
#pragma GCC unroll 8
  for (int i = 1; i < vecs; ++i) highest = max(highest, x[i]);
  if (anyLane((VecInt)(highest > broadcast(maximum)))) {
    float next = max(maximum, maxOfLanes(highest));
    Vec shrink = exp2(broadcast((maximum - next) * unit));
    maximum = next;
    store(sums, load(sums) * shrink);
    for (int d = 0; d < b.valueDim; d += lanes) store(state + d, load(state + d) * shrink);
  }
  auto* p = (typename U::Factor*)b.probabilities + row * cacheKeys;
  Vec total = load(sums), shift = broadcast(maximum);
#pragma GCC unroll 8
  for (int i = 0; i < vecs; ++i) {
    Vec e = exp2NonPositive((x[i] - shift) * unit);
    total += e;
    storeFactors(p + i * lanes, e);
  }
  store(sums, total);
}
