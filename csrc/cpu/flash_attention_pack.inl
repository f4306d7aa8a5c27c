// Rows of q, k and v, of any dtype and stride, into the tiles of flash_attention_products.inl; and O back. Pads are
// zero (V: 0 × NaN would poison O), or the last row again (K: its score changes no maximum, and is masked).

// A row of n values with unit stride: where it is, or copied to `stage`
template <class T>
LONGSPAN_INLINE const T* unitStride(const T* row, int64_t stride, int n, float* stage) {
  if (stride == 1) return row;
  T* copy = (T*)stage;
  for (int i = 0; i < n; ++i) copy[i] = row[i * stride];
  return copy;
}

// `lanes` units of a row, of which n values remain
template <class Products, class T>
LONGSPAN_INLINE Vec loadRowUnits(const T* p, int64_t n) {
#ifdef __AVX512BF16__
  if constexpr (Products::perUnit == 2) return asFloat(loadPairs(p, n));
#endif
  return loadUpTo(p, n);
}

template <class Products, class T>
void packTileQueries(const AttentionArgs& args, const FlashPlan& plan, int batch, FlashScratch& s) {
  const TensorView& q = args.q;
  const T* base = q.as<T>() + batchBase(args, batch).q;
  int64_t numRows = roundUp(s.rows.count, subtileRows);
  for (int64_t r0 = 0; r0 < numRows; r0 += lanes) {
    float* out = s.queries + r0 / subtileRows * plan.keyPitch * subtileRows + r0 % subtileRows;
    const T* row[lanes];
    s.ahead.fetch();
    for (int i = 0; i < lanes; ++i)
      row[i] = base + s.rows.position[r0 + i] * q.strides[1] + s.rows.head[r0 + i] * q.strides[2];
    for (int64_t u = 0; u < plan.units; u += lanes) {
      int64_t at = u * Products::perUnit;
      Vec block[lanes];
      if (q.strides[3] == 1) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) block[i] = loadRowUnits<Products>(row[i] + at, plan.headDim - at);
      } else {
        for (int i = 0; i < lanes; ++i)
          block[i] =
              loadRowUnits<Products>(unitStride(row[i], q.strides[3], plan.headDim, s.stage) + at, plan.headDim - at);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) store(out + (u + i) * subtileRows, block[i]);
    }
  }
}

// Rows of k and v of one KV head, with unit stride, at `stage` (256 values) where they are not so in memory
template <class T>
struct PlainRows {
  using Value = T;
  const T *k, *v;
  int64_t kStride, vStride, kDimStride, vDimStride, kPageStride, vPageStride;
  int headDim, valueDim, pageSize;
  const int* pages;
  PlainRows(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item)
      : k(args.k.as<T>() + batchBase(args, item.batch).k + item.kvHead * args.k.strides[2]),
        v(args.v.as<T>() + batchBase(args, item.batch).v + item.kvHead * args.v.strides[2]),
        kStride(args.k.strides[1]),
        vStride(args.v.strides[1]),
        kDimStride(args.k.strides[3]),
        vDimStride(args.v.strides[3]),
        kPageStride(args.k.strides[0]),
        vPageStride(args.v.strides[0]),
        headDim(plan.headDim),
        valueDim(plan.valueDim),
        pageSize(args.pageSize),
        pages(batchBase(args, item.batch).pages) {}
  LONGSPAN_INLINE int64_t offset(int key, int64_t pageStride, int64_t stride) const {
    return pages ? pages[key / pageSize] * pageStride + key % pageSize * stride : key * stride;
  }
  LONGSPAN_INLINE const T* key(int key, float* stage) const {
    return unitStride(k + offset(key, kPageStride, kStride), kDimStride, headDim, stage);
  }
  LONGSPAN_INLINE const T* value(int key, float* stage) const {
    return unitStride(v + offset(key, vPageStride, vStride), vDimStride, valueDim, stage);
  }
};

// A packed key becomes length 1; zeros stay.
template <class Products>
LONGSPAN_INLINE void normaliseKey(float* key, int64_t units) {
  Vec squares = {};
  for (int64_t u = 0; u < units; u += lanes) {
    Vec x = load(key + u);
    if constexpr (Products::perUnit == 2) {
      Vec low = asFloat(asInt(x) << 16), high = asFloat(asInt(x) & int32_t(0xffff0000));
      squares += low * low + high * high;
    } else {
      squares += x * x;
    }
  }
  float factor = 1 / __builtin_fmaxf(__builtin_sqrtf(sum(squares)), 1e-12f);
  for (int64_t u = 0; u < units; u += lanes) {
    Vec x = load(key + u);
#ifdef __AVX512BF16__
    if constexpr (Products::perUnit == 2) {
      store(key + u,
            asFloat(toPairs(asFloat(asInt(x) << 16) * factor, asFloat(asInt(x) & int32_t(0xffff0000)) * factor)));
      continue;
    }
#endif
    store(key + u, x * factor);
  }
}

template <class Products, class Source>
void packTileKeys(const Source& source, const FlashPlan& plan, const Rows& rows, FlashScratch& s) {
  int padded = int(roundUp(rows.count, keysPerBlock));
  for (int i = 0; i < padded; ++i) {
    if (!s.needs(i)) continue;
    const auto* row = source.key(rows[i < rows.count ? i : rows.count - 1], s.stage);
    for (int64_t u = 0; u < plan.units; u += lanes)
      store(s.keys + i * plan.keyPitch + u,
            loadRowUnits<Products>(row + u * Products::perUnit, plan.headDim - u * Products::perUnit));
    if (plan.normaliseKeys) normaliseKey<Products>(s.keys + i * plan.keyPitch, plan.units);
  }
}

// Rows i … i + n − 1 of v; beyond the last one: null
template <int n, class Source>
LONGSPAN_INLINE void valueRows(const Source& source, const Rows& rows, int i, float* stage,
                               const typename Source::Value* (&row)[n]) {
#pragma GCC unroll 8
  for (int j = 0; j < n; ++j) row[j] = i + j < rows.count ? source.value(rows[i + j], stage + j * 256) : nullptr;
}

template <class Source>
void packTileValues(Float32Products, const Source& source, const FlashPlan& plan, const Rows& rows, FlashScratch& s) {
  int padded = int(roundUp(rows.count, keysPerBlock));
  for (int i = 0; i < padded; i += 4) {
    if (!s.needs(i)) continue;
    const typename Source::Value* row[4];
    valueRows(source, rows, i, s.stage, row);
    for (int64_t d = 0; d < plan.valueDim; d += lanes) {
      Vec block[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) block[j] = row[j] ? loadUpTo(row[j] + d, plan.valueDim - d) : Vec{};
      storeGroups(block, s.values + d / 4 * plan.panelPitch + i * 4, plan.panelPitch);
    }
  }
}

#ifdef __AVX512BF16__
template <class Source>
void packTileValues(BFloat16Products, const Source& source, const FlashPlan& plan, const Rows& rows, FlashScratch& s) {
  int padded = int(roundUp(rows.count, keysPerBlock));
  for (int i = 0; i < padded; i += 8) {
    if (!s.needs(i)) continue;
    const BFloat16* row[8];
    valueRows(source, rows, i, s.stage, row);
    for (int64_t d = 0; d < plan.valueDim; d += 32) {
      Vec low[4], high[4];  // of a pair of keys; in each 128 bits, dims 8 l … 8 l + 3 and 8 l + 4 … 8 l + 7
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        __m512i a = row[2 * j] ? (__m512i)loadPairs(row[2 * j] + d, plan.valueDim - d) : __m512i{};
        __m512i b = row[2 * j + 1] ? (__m512i)loadPairs(row[2 * j + 1] + d, plan.valueDim - d) : __m512i{};
        low[j] = (Vec)_mm512_unpacklo_epi16(a, b);
        high[j] = (Vec)_mm512_unpackhi_epi16(a, b);
      }
      float* panel = s.values + d / 4 * plan.panelPitch + i / 2 * 4;
      storeGroups(low, panel, 2 * plan.panelPitch);
      storeGroups(high, panel + plan.panelPitch, 2 * plan.panelPitch);
    }
  }
}
#endif

// Maximum and sum of the rows from r0 on, with their heads' sink logits as one more key; the factor that O gets by it.
// The maximum comes back as a natural logarithm.
LONGSPAN_INLINE Vec joinSinks(const AttentionArgs& args, const FlashPlan& plan, const int* head, Vec& maximum,
                              Vec& sum) {
  maximum = maximum * plan.scoreScale;
  if (!args.sinkLogits) return broadcast(1.f);
  Vec sink;
  for (int i = 0; i < lanes; ++i) sink[i] = args.sinkLogits.as<float>()[head[i] * args.sinkLogits.strides[0]];
  Vec top = max(maximum, sink), weight = exp2((maximum - top) * 1.44269504f);
  sum = sum * weight + exp2((sink - top) * 1.44269504f);
  maximum = top;
  return weight;
}

// The same for keys of zeros: so many of score 0, without a value
LONGSPAN_INLINE Vec joinZeroKeys(const float* zeroKeys, Vec& maximum, Vec& sum) {
  Vec weight = broadcast(1.f);
  for (int i = 0; i < lanes; ++i) {
    if (zeroKeys[i] <= 0) continue;
    float top = max(maximum[i], 0.f);
    weight[i] = __builtin_expf(maximum[i] - top);
    sum[i] = sum[i] * weight[i] + zeroKeys[i] * __builtin_expf(-top);
    maximum[i] = top;
  }
  return weight;
}

// Row by row, what is in out and lse already and a part with this lse are weighed: lse becomes that of both, `kept` the
// weight of out, and the weight of the part comes back.
LONGSPAN_INLINE Vec mergeLse(float* const (&at)[lanes], int numRows, Vec lse, Vec& kept) {
  Vec old = broadcast(-__builtin_inff());
  for (int i = 0; i < numRows; ++i) old[i] = *at[i];
  Vec top = max(max(old, lse), broadcast(-__FLT_MAX__));
  Vec a = exp2((old - top) * 1.44269504f), b = exp2((lse - top) * 1.44269504f), sum = a + b;
  for (int i = 0; i < numRows; ++i) *at[i] = sum[i] == 0 ? -__builtin_inff() : top[i] + __builtin_logf(sum[i]);
  kept = sum == 0.f ? Vec{} : a / sum;
  return sum == 0.f ? Vec{} : b / sum;
}

// out = O / sum; lse = maximum + log sum, −inf where nothing was seen (then out = 0)
template <class T>
void unpackOut(const AttentionArgs& args, const FlashPlan& plan, int batch, FlashScratch& s) {
  const TensorView& o = args.out;
  BatchBase from = batchBase(args, batch);
  T* base = o.as<T>() + from.out;
  for (int64_t r0 = 0; r0 < s.rows.count; r0 += lanes) {
    const int *position = s.rows.target + r0, *head = s.rows.head + r0;
    int numRows = int(min(int64_t(lanes), s.rows.count - r0));
    Vec m = load(s.maximum + r0), sum = load(s.sum + r0), weight = joinSinks(args, plan, head, m, sum);
    if (s.rows.hasZeroKeys) weight *= joinZeroKeys(s.rows.zeroKeys + r0, m, sum);
    Vec lse = broadcast(-__builtin_inff()), kept = {};
    float* lseAt[lanes];
    if (args.lse)
      for (int i = 0; i < numRows; ++i) {
        lseAt[i] = args.lse.as<float>() + from.lse + head[i] * args.lse.strides[1] + position[i] * args.lse.strides[2];
        if (sum[i] != 0) lse[i] = m[i] + __builtin_logf(sum[i]);
        if (!args.accumulate) *lseAt[i] = lse[i];
      }
    Vec factor = sum == 0.f ? Vec{} : weight / sum;
    if (args.accumulate) factor = factor * mergeLse(lseAt, numRows, lse, kept);
    const float* rows = s.out + r0 / subtileRows * plan.outDims * subtileRows + r0 % subtileRows;
    for (int64_t d = 0; d < plan.valueDim; d += lanes) {
      Vec block[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) block[i] = load(rows + (d + i) * subtileRows) * factor;
      transpose(block);
      for (int i = 0; i < numRows; ++i) {
        T* at = base + position[i] * o.strides[1] + head[i] * o.strides[2] + d;
        if (args.accumulate) block[i] = block[i] + loadUpTo(at, plan.valueDim - d) * broadcast(kept[i]);
        storeUpTo(at, block[i], plan.valueDim - d);
      }
    }
  }
}
