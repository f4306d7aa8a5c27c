// The blocks of the key/value cache (core/kv_cache_view.h): append, and back to plain rows for prefill.
// Lane layout: 16 keys lie side by side, so that a decode step gets 16 scores in the lanes of a vector with no shuffle
// and no horizontal sum, and K and V are one strictly ascending stream, which the hardware prefetcher follows by
// itself (28 GB/s a core on Zen 4; 12 to 20 on [seq, heads, dim] rows). A unit is 32 bits: one float32 or a pair of
// bfloat16, of neighbouring dims in K, of neighbouring keys in V.

#define LONGSPAN_ZIP1(i, n) i, n + i
#define LONGSPAN_ZIP2(i, n) LONGSPAN_ZIP1(i, n), LONGSPAN_ZIP1(i + 1, n)
#define LONGSPAN_ZIP4(i, n) LONGSPAN_ZIP2(i, n), LONGSPAN_ZIP2(i + 2, n)
#define LONGSPAN_ZIP8(i, n) LONGSPAN_ZIP4(i, n), LONGSPAN_ZIP4(i + 4, n)
#define LONGSPAN_ZIP16(i, n) LONGSPAN_ZIP8(i, n), LONGSPAN_ZIP8(i + 8, n)
#if LONGSPAN_LANES == 16
#define LONGSPAN_ZIP_WORDS LONGSPAN_ZIP8
#define LONGSPAN_ZIP_HALVES LONGSPAN_ZIP16
#elif LONGSPAN_LANES == 8
#define LONGSPAN_ZIP_WORDS LONGSPAN_ZIP4
#define LONGSPAN_ZIP_HALVES LONGSPAN_ZIP8
#else
#define LONGSPAN_ZIP_WORDS LONGSPAN_ZIP2
#define LONGSPAN_ZIP_HALVES LONGSPAN_ZIP4
#endif

constexpr int cacheKeys = KVCacheView::keysPerBlock, panelValues = KVCacheView::valuesPerPanel;
typedef uint16_t PairBits __attribute__((vector_size(lanes * 4)));
typedef uint16_t UnalignedPairBits __attribute__((vector_size(lanes * 4), aligned(2), may_alias));

template <class E>
constexpr int perUnit = 4 / int(sizeof(E));

// `lanes` units of E from a row of T, and back; they move bits, so pairs may lie in a Vec
template <class E, class T>
LONGSPAN_INLINE Vec loadUnits(const T* p) {
  if constexpr (sizeof(E) == 4) return load(p);
  if constexpr (sizeof(E) == 2 && sizeof(T) == 2 && __is_same(T, E)) return *(const UnalignedVec*)p;
  E pairs[2 * lanes];
  store(pairs, load(p));
  store(pairs + lanes, load(p + lanes));
  return *(const UnalignedVec*)pairs;
}
template <class E, class T>
LONGSPAN_INLINE void storeUnits(T* p, Vec units) {
  if constexpr (sizeof(E) == 4) {
    store(p, units);
  } else if constexpr (__is_same(T, E)) {
    *(UnalignedVec*)p = units;
  } else {
    E pairs[2 * lanes];
    *(UnalignedVec*)pairs = units;
    store(p, load(pairs));
    store(p + lanes, load(pairs + lanes));
  }
}

template <class T>
struct TensorRows {  // keys of one head: element (key, dim) at data[key * keyStride + dim * dimStride]
  const T* data;
  int64_t keyStride, dimStride;
};

// --- one element at a time: a few keys, odd strides
template <class E>
LONGSPAN_INLINE int64_t keyOffset(int key, int keyDim) {  // of dim 0; dims of one unit are neighbours, units 16 apart
  return int64_t(key / 16) * 16 * keyDim + key % 16 * perUnit<E>;
}
template <class E>
LONGSPAN_INLINE int64_t valueOffset(int key, int panel, int width) {  // of the panel's first dim; dims are a unit apart
  return int64_t(panel) * cacheKeys + int64_t(key / perUnit<E>) * width * perUnit<E> + key % perUnit<E>;
}
LONGSPAN_INLINE int panelWidth(int panel, int valueDim) { return minOf(panelValues, valueDim - panel); }

template <class E, class T>
void packKeysByElement(E* block, TensorRows<T> rows, int first, int last, int dim, int keyDim) {
  constexpr int unit = perUnit<E>;
  for (int key = first; key < last; ++key) {
    const T* from = rows.data + (key - first) * rows.keyStride;
    E* to = block + keyOffset<E>(key, keyDim);
    for (int d = 0; d < dim; ++d)
      to[d / unit * (16 * unit) + d % unit] = fromFloat<E>(toFloat(from[d * rows.dimStride]));
  }
}
template <class E, class T>
void packValuesByElement(E* block, TensorRows<T> rows, int first, int last, int dim, int valueDim) {
  for (int key = first; key < last; ++key)
    for (int panel = 0; panel < dim; panel += panelValues) {
      const T* from = rows.data + (key - first) * rows.keyStride + panel * rows.dimStride;
      E* to = block + valueOffset<E>(key, panel, panelWidth(panel, valueDim));
      for (int d = 0; d < panelWidth(panel, dim); ++d)
        to[d * perUnit<E>] = fromFloat<E>(toFloat(from[d * rows.dimStride]));
    }
}

// --- whole vectors: 32 keys whose rows are contiguous
struct NoPrefetch {
  template <int bytes>
  LONGSPAN_INLINE void next() const {}
};

template <class E, class T, class Prefetch>
LONGSPAN_INLINE void packKeyTile(E* out, const T* rows, int64_t keyStride, int numUnits, const Prefetch& prefetch) {
  Vec tile[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    tile[i] = loadUnits<E>(rows + i * keyStride);
    prefetch.template next<lanes * perUnit<E> * sizeof(T)>();
  }
  transpose(tile);
  if (numUnits == lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) *(UnalignedVec*)(out + i * 16 * perUnit<E>) = tile[i];
  } else {
    for (int i = 0; i < numUnits; ++i) *(UnalignedVec*)(out + i * 16 * perUnit<E>) = tile[i];
  }
}

template <class E, class T, class Prefetch>
void packKeys(E* block, TensorRows<T> rows, int dim, int keyDim, const Prefetch& prefetch) {
  constexpr int unit = perUnit<E>, step = lanes * unit;
  for (int key = 0; key < cacheKeys; key += lanes) {
    const T* from = rows.data + key * rows.keyStride;
    E* to = block + keyOffset<E>(key, keyDim);
    int d = 0;
    for (; d + step <= dim; d += step) packKeyTile<E>(to + d * 16, from + d, rows.keyStride, lanes, prefetch);
    if (d == keyDim) continue;
    T edge[lanes * step] = {};  // the last dims, padded with zeros
    for (int i = 0; i < lanes; ++i)
      for (int j = d; j < dim; ++j) edge[i * step + j - d] = from[i * rows.keyStride + j];
    packKeyTile<E>(to + d * 16, edge, step, (keyDim - d) / unit, prefetch);
  }
}

template <class E, class T>
LONGSPAN_INLINE void packValueUnits(E* out, const T* row, int64_t keyStride) {  // `lanes` units
  if constexpr (sizeof(E) == 4) {
    store(out, load(row));
  } else {  // two keys of 2 × lanes dims become 2 × lanes units
    PairBits even = (PairBits)loadUnits<E>(row), odd = (PairBits)loadUnits<E>(row + keyStride);
    *(UnalignedPairBits*)out = __builtin_shufflevector(even, odd, LONGSPAN_ZIP_HALVES(0, 2 * lanes));
    *(UnalignedPairBits*)(out + 2 * lanes) = __builtin_shufflevector(even, odd, LONGSPAN_ZIP_HALVES(lanes, 2 * lanes));
  }
}

template <class E, class T, class Prefetch>
void packValues(E* block, TensorRows<T> rows, int dim, int valueDim, const Prefetch& prefetch) {
  constexpr int unit = perUnit<E>, step = lanes * unit;
  for (int key = 0; key < cacheKeys; key += unit)
    for (int panel = 0; panel < valueDim; panel += panelValues) {
      int width = panelWidth(panel, valueDim), whole = minOf(width, dim - panel), d = 0;
      const T* from = rows.data + key * rows.keyStride + panel;
      E* to = block + valueOffset<E>(key, panel, width);
      for (; d + step <= whole; d += step) {
        packValueUnits(to + d * unit, from + d, rows.keyStride);
        for (int i = 0; i < unit; ++i) prefetch.template next<step * sizeof(T)>();
      }
      for (; d < width; ++d)
        for (int i = 0; i < unit; ++i)
          to[d * unit + i] = fromFloat<E>(d < whole ? toFloat(from[i * rows.keyStride + d]) : 0.f);
    }
}

// --- append
struct AppendedRows {  // of one block: its keys [first, last) are rows [row, …) of what is appended
  int first, last;
  int64_t row;
  bool whole() const { return first == 0 && last == cacheKeys; }
};
template <class T>
TensorRows<T> appendedRows(const TensorView& t, int head, const AppendedRows& rows) {
  return {t.as<const T>() + head * t.strides[2] + rows.row * t.strides[1], t.strides[1], t.strides[3]};
}

template <class E, class T>
void appendKeys(const KVCacheView& cache, E* block, const TensorView& k, int head, const AppendedRows& rows) {
  if (rows.whole() && k.strides[3] == 1)
    packKeys(block, appendedRows<T>(k, head, rows), cache.headDim, cache.keyDim(), NoPrefetch{});
  else
    packKeysByElement(block, appendedRows<T>(k, head, rows), rows.first, rows.last, cache.headDim, cache.keyDim());
}
template <class E, class T>
void appendValues(const KVCacheView& cache, E* block, const TensorView& v, int head, const AppendedRows& rows) {
  if (rows.whole() && v.strides[3] == 1)
    packValues(block, appendedRows<T>(v, head, rows), cache.valueDim, cache.paddedValueDim(), NoPrefetch{});
  else
    packValuesByElement(block, appendedRows<T>(v, head, rows), rows.first, rows.last, cache.valueDim,
                        cache.paddedValueDim());
}

template <class E>
void appendBlock(const CacheAppendArgs& args, int head, int64_t block) {
  int64_t begin = block * cacheKeys, end = args.position + args.k.shape[1];
  AppendedRows rows = {int(max(args.position - begin, int64_t(0))), int(min(end - begin, int64_t(cacheKeys))), 0};
  rows.row = begin + rows.first - args.position;
  KVCacheView cache = args.cache;
  for (cache.keySet = 0; cache.keySet < cache.keySets; ++cache.keySet) {
    const TensorView& k = cache.keySet ? args.k2 : args.k;
    withFloatType(k.dtype, [&]<class T>(T*) { appendKeys<E, T>(cache, (E*)cache.keys(head, block), k, head, rows); });
  }
  withFloatType(args.v.dtype,
                [&]<class T>(T*) { appendValues<E, T>(cache, (E*)cache.values(head, block), args.v, head, rows); });
}

// Writes keys [position, position + n) and nothing else: earlier keys stay, later ones too.
void cacheAppend(const CacheAppendArgs& args, Parallel& parallel) {
  int64_t n = args.k.shape[1];
  if (n == 0) return;
  int64_t firstBlock = args.position / cacheKeys, blocks = (args.position + n - 1) / cacheKeys + 1 - firstBlock;
  int64_t work = blocks * args.cache.numKVHeads;
  bool small = n * args.cache.numKVHeads * (args.cache.headDim + args.cache.valueDim) < 32768;
  int64_t perItem = small ? work : 1;  // a token is not worth waking a thread for
  parallelFor(parallel, small ? 1 : work, [&](int64_t item, int) {
    for (int64_t i = item * perItem; i < (item + 1) * perItem; ++i) {
      int64_t block = firstBlock + i / args.cache.numKVHeads;
      int head = int(i % args.cache.numKVHeads);
      if (args.cache.dtype == DType::Float32)
        appendBlock<float>(args, head, block);
      else
        appendBlock<BFloat16>(args, head, block);
    }
  });
}

// --- back to rows of F (float, or bfloat16 from a bfloat16 cache), for prefill over the cache
// 16 keys from a K block: out[key][dim], pads up to keyDim are written too; `group` is 0 or 1.
// rowStride must leave room for headDim rounded up to 2 × lanes.
template <class E, class F>
void unpackKeys(F* out, int64_t rowStride, const E* block, int group, int keyDim) {
  constexpr int unit = perUnit<E>;
  int numUnits = keyDim / unit;
  const E* from = block + int64_t(group) * 16 * keyDim;
  for (int key = 0; key < 16; key += lanes)
    for (int u = 0; u < numUnits; u += lanes) {
      Vec tile[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i)
        tile[i] = u + i < numUnits ? *(const UnalignedVec*)(from + ((u + i) * 16 + key) * unit) : Vec{};
      transpose(tile);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) storeUnits<E>(out + (key + i) * rowStride + u * unit, tile[i]);
    }
}
// the panel of values that begins at dim `panel`, of the 32 keys of a V block: out[key][dim - panel]
template <class E, class F>
void unpackValues(F* out, int64_t rowStride, const E* block, int panel, int valueDim) {
  int width = panelWidth(panel, valueDim);
  for (int key = 0; key < cacheKeys; key += perUnit<E>)
    for (int d = 0; d < width; d += lanes) {
      const E* from = block + valueOffset<E>(key, panel, width) + d * perUnit<E>;
      F* to = out + key * rowStride + d;
      if constexpr (sizeof(E) == 4) {
        store(to, load(from));
      } else {
        VecInt pairs = *(const UnalignedVecInt*)from;
        store(to, asFloat(pairs << 16));
        store(to + rowStride, asFloat(pairs & int32_t(0xffff0000)));
      }
    }
}
