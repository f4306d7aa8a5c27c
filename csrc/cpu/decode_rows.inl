// The two products of decode straight from rows of plain tensors, for a few rows of queries: packing a block costs as
// much as using it four times. Scores are dot products along the row, `lanes` of them summed at once by shuffles;
// values are the vectors as they lie (bfloat16: two keys interleaved in registers). Used where dims are whole vectors.
// Each line read asks for one of the next block, to L2: spread like this over the arithmetic the requests cost
// nothing, in bursts they cost a quarter of the bandwidth.

struct PrefetchNext {
  mutable const char* at;
  bool on;
  template <int bytes>
  LONGSPAN_INLINE void next() const {
    __builtin_prefetch(at, 0, 2);
    at += on ? bytes : 0;
  }
};

// What T becomes on its way: float32, or pairs where there are products of pairs.
template <class U, class T>
struct RowOperand {
  static constexpr int step = lanes, keysPerStep = 1;  // dims, keys
  LONGSPAN_INLINE static Vec ofKey(const T* p) { return load(p); }
  LONGSPAN_INLINE static Vec ofQuery(const float* p) { return load(p); }
  LONGSPAN_INLINE static Vec multiplyAdd(Vec acc, Vec a, Vec b) { return acc + a * b; }
  LONGSPAN_INLINE static Vec spread(const float* p) { return broadcast(*p); }
  template <int N>
  LONGSPAN_INLINE static void ofValues(Vec (&out)[N], const T* row, int64_t) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) out[n] = load(row + n * lanes);
  }
};
#ifdef __AVX512BF16__
template <>
struct RowOperand<PairUnits, BFloat16> {
  static constexpr int step = 2 * lanes, keysPerStep = 2;
  LONGSPAN_INLINE static Vec ofKey(const BFloat16* p) { return *(const UnalignedVec*)p; }
  LONGSPAN_INLINE static Vec ofQuery(const BFloat16* p) { return *(const UnalignedVec*)p; }
  LONGSPAN_INLINE static Vec multiplyAdd(Vec acc, Vec a, Vec b) { return dotPairs(acc, asInt(a), asInt(b)); }
  LONGSPAN_INLINE static Vec spread(const BFloat16* p) { return asFloat(PairUnits::spread(p).x); }
  template <int N>
  LONGSPAN_INLINE static void ofValues(Vec (&out)[N], const BFloat16* row, int64_t keyStride) {
#pragma GCC unroll 8
    for (int n = 0; n < N; n += 2) {
      PairBits even = *(const UnalignedPairBits*)(row + n * lanes);
      PairBits odd = *(const UnalignedPairBits*)(row + keyStride + n * lanes);
      out[n] = (Vec)__builtin_shufflevector(even, odd, LONGSPAN_ZIP_HALVES(0, 2 * lanes));
      out[n + 1] = (Vec)__builtin_shufflevector(even, odd, LONGSPAN_ZIP_HALVES(lanes, 2 * lanes));
    }
  }
};
#endif

// lane i: the sum of v[i]. Halves of two vectors are interleaved and added until one vector is left; the pairs come in
// the order of reversed bits, so that the lanes end in the right one.
LONGSPAN_INLINE Vec sumEach(const Vec (&v)[lanes]) {
  constexpr int bits = lanes == 16 ? 4 : lanes == 8 ? 3 : 2;
  Vec x[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    int reversed = 0;
    for (int bit = 0; bit < bits; ++bit) reversed |= (i >> bit & 1) << (bits - 1 - bit);
    x[i] = v[reversed];
  }
#pragma GCC unroll 4
  for (int count = lanes / 2; count >= 1; count /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i)
      x[i] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], LONGSPAN_ZIP_WORDS(0, lanes)) +
             __builtin_shufflevector(x[2 * i], x[2 * i + 1], LONGSPAN_ZIP_WORDS(lanes / 2, lanes));
  return x[0];
}

// scores[r][32 keys] of R rows
template <class U, class T, int R, class Prefetch>
void scoreRows(TensorRows<T> keys, const typename U::Factor* query, int64_t queryStride, int dim, float* scores,
               const Prefetch& prefetch) {
  using Operand = RowOperand<U, T>;
  constexpr int keysPerTile = lanes / R;
  for (int key = 0; key < cacheKeys; key += keysPerTile) {
    Vec acc[lanes] = {};  // [R][keysPerTile]
    const T* rows = keys.data + key * keys.keyStride;
    for (int d = 0; d < dim; d += Operand::step) {
      Vec k[keysPerTile];
#pragma GCC unroll 16
      for (int i = 0; i < keysPerTile; ++i) {
        k[i] = Operand::ofKey(rows + i * keys.keyStride + d);
        prefetch.template next<Operand::step * sizeof(T)>();
      }
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        Vec q = Operand::ofQuery(query + r * queryStride + d);
#pragma GCC unroll 16
        for (int i = 0; i < keysPerTile; ++i)
          acc[r * keysPerTile + i] = Operand::multiplyAdd(acc[r * keysPerTile + i], k[i], q);
      }
    }
    float sums[lanes];
    store(sums, sumEach(acc));
    for (int r = 0; r < R; ++r)
      __builtin_memcpy(scores + r * cacheKeys + key, sums + r * keysPerTile, keysPerTile * sizeof(float));
  }
}

// output[r][N vectors] += P[r][32 keys] · values[32 keys][N vectors]
template <class U, class T, int R, int N, class Prefetch>
void addRows(const T* values, int64_t keyStride, const typename U::Factor* p, float* output, int64_t outputStride,
             const Prefetch& prefetch) {
  using Operand = RowOperand<U, T>;
  Vec acc[R][N];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) acc[r][n] = load(output + r * outputStride + n * lanes);
  for (int key = 0; key < cacheKeys; key += Operand::keysPerStep) {
    Vec v[N];
    Operand::ofValues(v, values + key * keyStride, keyStride);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      Vec weight = Operand::spread(p + r * cacheKeys + key);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        acc[r][n] = Operand::multiplyAdd(acc[r][n], v[n], weight);
        if (r == 0) prefetch.template next<lanes * Operand::keysPerStep * sizeof(T)>();
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) store(output + r * outputStride + n * lanes, acc[r][n]);
}

// Are these products for the shapes at hand? With 16 registers or 4 lanes packing is as good for the values.
template <class U, class T>
LONGSPAN_INLINE bool scoresFromRows(const DecodeBlock& b, int dim) {
  return lanes >= 8 && b.rows <= 8 && dim % RowOperand<U, T>::step == 0;
}
template <class U, class T>
LONGSPAN_INLINE bool valuesFromRows(const DecodeBlock& b, int dim) {
  return lanes == 16 && b.rows <= 8 && dim % (16 * RowOperand<U, T>::keysPerStep) == 0;
}

template <class U, class T>
LONGSPAN_INLINE void scoreByRows(const DecodeBlock& b, TensorRows<T> keys, const PrefetchNext& prefetch) {
  auto* query = (const typename U::Factor*)b.query;
  forRowTiles<4>(b.rows, [&]<class R>(int r, R) {
    auto* q = query + r * b.queryStride;
    if (r == 0)
      scoreRows<U, T, R::value>(keys, q, b.queryStride, b.keyDim, b.scores, prefetch);
    else
      scoreRows<U, T, R::value>(keys, q, b.queryStride, b.keyDim, b.scores + r * cacheKeys, NoPrefetch{});
  });
}

template <class U, class T>
LONGSPAN_INLINE void addByRows(const DecodeBlock& b, TensorRows<T> values, const PrefetchNext& prefetch) {
  constexpr int widest = 64 / lanes, narrowest = RowOperand<U, T>::keysPerStep * 16 / lanes;
  auto* p = (const typename U::Factor*)b.probabilities;
  forRowTiles<4>(b.rows, [&]<class R>(int r, R) {
    auto* weights = p + r * cacheKeys;
    float* output = b.state + r * b.stateStride;
    int d = 0;
    for (; d + widest * lanes <= b.valueDim; d += widest * lanes)
      if (r == 0)
        addRows<U, T, R::value, widest>(values.data + d, values.keyStride, weights, output + d, b.stateStride,
                                        prefetch);
      else
        addRows<U, T, R::value, widest>(values.data + d, values.keyStride, weights, output + d, b.stateStride,
                                        NoPrefetch{});
    for (; d < b.valueDim; d += narrowest * lanes)
      addRows<U, T, R::value, narrowest>(values.data + d, values.keyStride, weights, output + d, b.stateStride,
                                         NoPrefetch{});
  });
}
