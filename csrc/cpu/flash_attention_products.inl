// The two matrix products of flash attention (Dao et al. 2022), with queries in the lanes: S^T = K Q^T and O^T += V^T
// P. A key or a value is broadcast, a vector holds `lanes` queries; so K stays in rows, softmax is vertical, and rows
// from any address cost the same. The reduction runs over units of 32 bits: one float32, or two neighbouring bfloat16.
// A subtile is subtileColumns vectors of queries. Blocks are instances over the range [First, Last) of columns that see
// the keys at all: that is what makes the diagonal cheap.

#if LONGSPAN_LANES == 16 || defined(__aarch64__)
constexpr int subtileColumns = 4, keysPerBlock = 6;  // 24 accumulators of 32 registers
#else
constexpr int subtileColumns = 3, keysPerBlock = 4;  // 12 of 16
#endif
constexpr int dimsPerBlock = 4;
constexpr int subtileRows = subtileColumns * lanes;

struct Float32Products {
  using Value = float;
  static constexpr int perUnit = 1;
  static constexpr int expDegree = 5;
  LONGSPAN_INLINE static Vec multiplyAdd(Vec sum, Vec a, Vec b) { return sum + a * b; }
};
#ifdef __AVX512BF16__
struct BFloat16Products {
  using Value = BFloat16;
  static constexpr int perUnit = 2;
  static constexpr int expDegree = 3;  // rounding P to bfloat16 costs 25 times its error
  LONGSPAN_INLINE static Vec multiplyAdd(Vec sum, Vec a, Vec b) { return dotPairs(sum, asInt(a), asInt(b)); }
};
#endif

// scores [keysPerBlock][subtileRows] = keys [keysPerBlock][pitch] · queries [units][subtileRows], and their maximum
template <class Products, int First, int Last>
[[gnu::noinline]] void scoreBlock(const float* keys, int64_t pitch, const float* queries, int64_t units, float* scores,
                                  float* maximum) {
  constexpr int columns = Last - First;
  Vec sums[keysPerBlock][columns];
#pragma GCC unroll 8
  for (int i = 0; i < keysPerBlock; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) sums[i][j] = Vec{};
  queries += First * lanes;
#pragma GCC unroll 2
  for (int64_t u = 0; u < units; ++u) {
    Vec q[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) q[j] = load(queries + u * subtileRows + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < keysPerBlock; ++i) {
      Vec key = broadcast(keys[i * pitch + u]);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) sums[i][j] = Products::multiplyAdd(sums[i][j], key, q[j]);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < columns; ++j) {
    float* top = maximum + (First + j) * lanes;
    Vec m = load(top);
#pragma GCC unroll 8
    for (int i = 0; i < keysPerBlock; ++i) {
      store(scores + i * subtileRows + (First + j) * lanes, sums[i][j]);
      m = max(sums[i][j], m);
    }
    store(top, m);
  }
}

// out [dims][subtileRows] = alpha · out (without alpha: 0) + values [dims / 4][panelPitch: units][4]^T · probabilities
// [units][subtileRows]
template <class Products, int First, int Last>
[[gnu::noinline]] void valueBlock(const float* values, int64_t panelPitch, int64_t numPanels,
                                  const float* probabilities, int64_t units, const float* alpha, float* out) {
  constexpr int columns = Last - First;
  probabilities += First * lanes;
  out += First * lanes;
  for (int64_t panel = 0; panel < numPanels; ++panel) {
    Vec sums[dimsPerBlock][columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      Vec a = alpha ? load(alpha + (First + j) * lanes) : Vec{};
#pragma GCC unroll 4
      for (int i = 0; i < dimsPerBlock; ++i) sums[i][j] = alpha ? a * load(out + i * subtileRows + j * lanes) : Vec{};
    }
#pragma GCC unroll 2
    for (int64_t u = 0; u < units; ++u) {
      Vec p[columns];
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) p[j] = load(probabilities + u * subtileRows + j * lanes);
#pragma GCC unroll 4
      for (int i = 0; i < dimsPerBlock; ++i) {
        Vec value = broadcast(values[u * dimsPerBlock + i]);
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) sums[i][j] = Products::multiplyAdd(sums[i][j], value, p[j]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < dimsPerBlock; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) store(out + i * subtileRows + j * lanes, sums[i][j]);
    values += panelPitch;
    out += dimsPerBlock * subtileRows;
  }
}

// f.operator()<First, Last>() for a range of columns known at run time
template <int First = 0, int Last = subtileColumns, class F>
LONGSPAN_INLINE void withColumns(int first, int last, const F& f) {
  if (first == First && last == Last) {
    f.template operator()<First, Last>();
  } else if constexpr (Last - First > 1) {
    if (last < Last && First == 0) {
      withColumns<First, Last - 1>(first, last, f);
    } else {
      withColumns<First + 1, Last>(first, last, f);
    }
  }
}
