// Rows into the slabs of a cache (cache.cuh), in its dtype or coded, for cache_append.cu and rope_append.cu: a warp
// writes one row of one head, whose values it is given dim by dim. Earlier keys stay, later ones too, and so do the
// pads, which are zero.
#pragma once
#include <algorithm>

#include "cache.cuh"
#include "cache_coding.cuh"
#include "reduce.cuh"

namespace longspan::cuda {

constexpr int slabsPerLaunch = 64;
constexpr int widestRow = 256;

struct Heads {  // [n, heads, dim] of a tensor
  void* data;
  int64_t strides[3];
  DType dtype;
};
inline Heads headsOf(const TensorView& t) { return {t.data, {t.strides[1], t.strides[2], t.strides[3]}, t.dtype}; }
__device__ inline int64_t placeOf(const Heads& heads, int64_t row, int head, int d) {
  return row * heads.strides[0] + head * heads.strides[1] + d * heads.strides[2];
}
__device__ inline float valueAt(const Heads& heads, int64_t row, int head, int d) {
  return loadFloat(heads.data, heads.dtype, placeOf(heads, row, head, d));
}

struct CacheRows {  // of keys or of values, in a slab
  int dim;
  int64_t begin, bytes;  // of head 0; of a row
  int64_t scales;        // where theirs begin
};
inline CacheRows keyRows(const KVCacheView& cache, int keySet) {
  return {cache.headDim, cacheKeysBegin(cache, keySet), cacheKeyRowBytes(cache), cacheKeyScalesBegin(cache, keySet)};
}
inline CacheRows valueRows(const KVCacheView& cache) {
  return {cache.valueDim, cacheValuesBegin(cache), cacheValueRowBytes(cache), cacheValueScalesBegin(cache)};
}

struct AppendedRows {
  Heads from;
  CacheRows to;
};

struct CacheSlabs {  // what a launch appends to
  DType dtype;
  KVCoding coding;
  int numKVHeads;
  int64_t position;  // of row 0, or where it is counted on the device
  const int* positionAt;
  int64_t firstRow, rows;
  int64_t firstSlab, numSlabs;
  void* slabs[slabsPerLaunch];
};

template <class F>
__device__ inline void writePlain(const CacheRows& rows, DType dtype, unsigned char* to, const F& value) {
  for (int d = threadIdx.x % 32; d < rows.dim; d += 32) {
    if (dtype == DType::Float32)
      reinterpret_cast<float*>(to)[d] = value(d);
    else
      reinterpret_cast<__nv_bfloat16*>(to)[d] = fromFloat<__nv_bfloat16>(value(d));
  }
}
template <class F>
__device__ inline void writeCoded(const CacheRows& rows, KVCoding coding, unsigned char* to, float* scaleTo,
                                  const F& value) {
  float values[widestRow / 32], largest = 0;
#pragma unroll
  for (int i = 0; i < widestRow / 32; ++i) {
    const int d = threadIdx.x % 32 + 32 * i;
    values[i] = d < rows.dim ? value(d) : 0;
    largest = fmaxf(largest, isfinite(values[i]) ? fabsf(values[i]) : INFINITY);
  }
  const float scale = scaleOf(maxOfLanes(largest), coding);
#pragma unroll
  for (int i = 0; i < widestRow / 32; ++i) {
    const int d = threadIdx.x % 32 + 32 * i;
    if (d < rows.dim) to[d] = encode(values[i], scale, coding);
  }
  if (threadIdx.x % 32 == 0) *scaleTo = scale;
}

// Row `row` of what is appended, by a warp; nothing where it falls to the slabs of another launch.
template <class F>
__device__ inline void appendRow(const CacheSlabs& cache, const CacheRows& rows, int64_t row, int head,
                                 const F& value) {
  const int64_t key = (cache.positionAt ? *cache.positionAt : cache.position) + row;
  const int64_t slabPlace = key / KVCacheView::keysPerSlab - cache.firstSlab;
  if (slabPlace < 0 || slabPlace >= cache.numSlabs) return;
  auto* slab = static_cast<unsigned char*>(cache.slabs[slabPlace]);
  const int64_t place = int64_t(head) * KVCacheView::keysPerSlab + key % KVCacheView::keysPerSlab;
  unsigned char* to = slab + rows.begin + place * rows.bytes;
  if (cache.coding == KVCoding::Plain)
    writePlain(rows, cache.dtype, to, value);
  else
    writeCoded(rows, cache.coding, to, reinterpret_cast<float*>(slab + rows.scales) + place, value);
}

// f() for each launch that the append takes, with its part in `to`; until one fails. Where the position is known only
// when it runs, all of them see all rows.
template <class F>
void forLaunches(const CacheAppendArgs& args, CacheSlabs& to, const F& f) {
  const KVCacheView& cache = args.cache;
  const int64_t end = args.position + args.k.shape[1];
  const bool anywhere = cache.lengthAt != nullptr;
  to.dtype = cache.dtype;
  to.coding = cache.coding;
  to.numKVHeads = cache.numKVHeads;
  to.position = args.position;
  to.positionAt = cache.lengthAt;
  to.firstRow = 0;
  to.rows = args.k.shape[1];
  if (to.rows == 0) return;
  const int64_t lastSlab = cache.numSlabs(anywhere ? cache.length : end);
  to.firstSlab = anywhere ? 0 : args.position / KVCacheView::keysPerSlab;
  for (; to.firstSlab < lastSlab; to.firstSlab += to.numSlabs) {
    to.numSlabs = std::min<int64_t>(lastSlab - to.firstSlab, slabsPerLaunch);
    std::copy_n(cache.slabs + to.firstSlab, to.numSlabs, to.slabs);
    if (!anywhere) {
      to.firstRow = std::max(args.position, to.firstSlab * KVCacheView::keysPerSlab) - args.position;
      to.rows = std::min(end, (to.firstSlab + to.numSlabs) * KVCacheView::keysPerSlab) - args.position - to.firstRow;
    }
    if (!f()) return;
  }
}

}  // namespace longspan::cuda
