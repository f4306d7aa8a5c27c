// Flash attention over the key/value cache: its blocks of 32 keys (kv_cache.inl) into the tiles of
// flash_attention_products.inl. V blocks already hold the units of our panels; K is turned back into rows.

// Any rows: one element at a time
template <class E>
struct CachedRows {
  using Value = E;
  const KVCacheView& cache;
  int kvHead, headDim, valueDim;
  CachedRows(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item)
      : cache(args.cache), kvHead(item.kvHead), headDim(plan.headDim), valueDim(plan.valueDim) {}
  const E* key(int key, float* stage) const {
    constexpr int unit = perUnit<E>;
    const E* from = (const E*)cache.keys(kvHead, key / cacheKeys) + keyOffset<E>(key % cacheKeys, cache.keyDim());
    E* row = (E*)stage;
    for (int d = 0; d < headDim; ++d) row[d] = from[d / unit * (16 * unit) + d % unit];
    return row;
  }
  const E* value(int key, float* stage) const {
    const E* block = (const E*)cache.values(kvHead, key / cacheKeys);
    E* row = (E*)stage;
    for (int panel = 0; panel < valueDim; panel += panelValues) {
      int width = panelWidth(panel, cache.paddedValueDim());
      const E* from = block + valueOffset<E>(key % cacheKeys, panel, width);
      for (int d = 0; d < width && panel + d < valueDim; ++d) row[panel + d] = from[d * perUnit<E>];
    }
    return row;
  }
};

// `lanes` dims of four units of keys from `key` on
template <class Products, class E>
LONGSPAN_INLINE void loadCachedValues(const E* block, int key, int panel, int width, int dim, Vec (&units)[4]) {
  constexpr int unit = perUnit<E>;
  if constexpr (unit == Products::perUnit) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      units[j] = load((const float*)(block + valueOffset<E>(key + j * unit, panel, width) + dim * unit));
  } else {  // pairs widened
#pragma GCC unroll 2
    for (int j = 0; j < 4; j += 2) {
      VecInt pairs = *(const UnalignedVecInt*)(block + valueOffset<E>(key + j, panel, width) + dim * unit);
      units[j] = asFloat(pairs << 16);
      units[j + 1] = asFloat(pairs & int32_t(0xffff0000));
    }
  }
}

// V of keys [first, end) becomes 0: the block holds other keys there, or was not written
template <class Products>
void clearValues(const FlashPlan& plan, int first, int end, FlashScratch& s) {
  using F = typename Products::Value;
  for (int64_t panel = 0; panel < plan.outDims / dimsPerBlock; ++panel)
    for (int key = first; key < end; ++key) {
      F* unit = (F*)(s.values + panel * plan.panelPitch + key / Products::perUnit * dimsPerBlock);
      for (int d = 0; d < dimsPerBlock; ++d) unit[d * Products::perUnit + key % Products::perUnit] = F{};
    }
}

// Whole blocks: rows that begin a block and follow each other
template <class Products, class E>
void packCachedBlocks(const KVCacheView& cache, const FlashPlan& plan, int kvHead, const Rows& rows, FlashScratch& s) {
  using F = typename Products::Value;
  int keyDim = cache.keyDim(), valueDim = cache.paddedValueDim();
  for (int begin = 0; begin < rows.count; begin += cacheKeys) {
    constexpr uint32_t groups = (1u << cacheKeys / keysPerGroup) - 1;
    if (!(s.needed >> begin / keysPerGroup & groups)) continue;
    const int64_t block = (rows.start + begin) / cacheKeys;
    const E* keys = (const E*)cache.keys(kvHead, block);
    for (int group = 0; group < cacheKeys / 16; ++group)
      unpackKeys<E, F>((F*)(s.keys + (begin + 16 * group) * plan.keyPitch), plan.keyPitch * Products::perUnit, keys,
                       group, keyDim);
    const E* values = (const E*)cache.values(kvHead, block);
    for (int key = 0; key < cacheKeys; key += 4 * Products::perUnit)
      for (int panel = 0; panel < valueDim; panel += panelValues) {
        int width = panelWidth(panel, valueDim);
        for (int d = 0; d < width; d += lanes) {
          Vec units[4];
          loadCachedValues<Products>(values, key, panel, width, d, units);
          storeGroups(units, s.values + (panel + d) / 4 * plan.panelPitch + (begin + key) / Products::perUnit * 4,
                      plan.panelPitch);
        }
      }
  }
  clearValues<Products>(plan, rows.count, int(roundUp(rows.count, keysPerBlock)), s);
}

template <class Products, class E>
void packCachedTile(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item, const Rows& rows,
                    FlashScratch& s) {
  if (!rows.index && rows.stride == 1 && rows.start % cacheKeys == 0)
    return packCachedBlocks<Products, E>(args.cache, plan, item.kvHead, rows, s);
  CachedRows<E> source(args, plan, item);
  packTileKeys<Products>(source, plan, rows, s);
  packTileValues(Products{}, source, plan, rows, s);
}
