// The key/value cache on the device, in a layout of its own (csrc/core/kv_cache_view.h has the CPU's): a slab holds
// [numKVHeads][keysPerSlab][keyDim] keys, [numKVHeads][keysPerSlab][paddedValueDim] values and, where there are two
// sets of keys, [numKVHeads][keysPerSlab][keyDim] of the second. Rows are one behind the other, so that a tile of them
// is copied as it is; pads are zero, as slabs are when they are new. Where rows are coded, [numKVHeads][keysPerSlab]
// scales of the keys, of the values and of the second set follow in the same order. All here is in bytes.
#pragma once
#include "../csrc/core/kv_cache_view.h"

namespace longspan::cuda {

constexpr int64_t cacheKeyRowBytes(const KVCacheView& cache) { return int64_t(cache.keyDim()) * cache.elementBytes(); }
constexpr int64_t cacheValueRowBytes(const KVCacheView& cache) {
  return int64_t(cache.paddedValueDim()) * cache.elementBytes();
}
// Where the rows of head 0 begin in a slab
constexpr int64_t cacheKeysBegin(const KVCacheView& cache, int keySet) {
  const int64_t rows = int64_t(cache.numKVHeads) * KVCacheView::keysPerSlab;
  return keySet == 0 ? 0 : rows * (cacheKeyRowBytes(cache) * keySet + cacheValueRowBytes(cache));
}
constexpr int64_t cacheValuesBegin(const KVCacheView& cache) {
  return int64_t(cache.numKVHeads) * KVCacheView::keysPerSlab * cacheKeyRowBytes(cache);
}
constexpr int64_t cacheScalesBegin(const KVCacheView& cache, int rows) {
  const int64_t all = cacheKeyRowBytes(cache) * cache.keySets + cacheValueRowBytes(cache);
  return int64_t(cache.numKVHeads) * KVCacheView::keysPerSlab * (all + rows * cache.scaleBytes());
}
constexpr int64_t cacheKeyScalesBegin(const KVCacheView& cache, int keySet) {
  return cacheScalesBegin(cache, keySet == 0 ? 0 : 1 + keySet);
}
constexpr int64_t cacheValueScalesBegin(const KVCacheView& cache) { return cacheScalesBegin(cache, 1); }

}  // namespace longspan::cuda
