// New keys and values into the slabs of a cache (cache.cuh), in its dtype or coded. Earlier keys stay, later ones too,
// and so do the pads, which are zero.
#include <algorithm>

#include "cache.cuh"
#include "cache_coding.cuh"
#include "launch.cuh"
#include "reduce.cuh"

namespace longspan::cuda {
namespace {

constexpr int warps = 4;  // of a block
constexpr int slabsPerLaunch = 64;
constexpr int perLane = 256 / 32;  // values of the widest row

struct Source {
  const void* data;
  int64_t strides[3];  // of [n, numKVHeads, dim]
  DType dtype;
  int dim;
  int64_t begin, rowBytes;  // of its rows in a slab
  int64_t scales;           // where theirs begin
};
struct Launch {
  Source sources[3];  // k, v, and k2 where the cache has it
  int count;
  DType dtype;  // of the cache
  KVCoding coding;
  int numKVHeads;
  int64_t position;  // of row 0, or where it is counted on the device
  const int* positionAt;
  int64_t firstRow, rows;
  int64_t firstSlab, numSlabs;
  void* slabs[slabsPerLaunch];
};

// The row whose values begin at `from`, by a warp
__device__ void appendPlain(const Source& source, int64_t from, DType dtype, unsigned char* to) {
  for (int d = threadIdx.x % 32; d < source.dim; d += 32) {
    const float x = loadFloat(source.data, source.dtype, from + d * source.strides[2]);
    if (dtype == DType::Float32)
      reinterpret_cast<float*>(to)[d] = x;
    else
      reinterpret_cast<__nv_bfloat16*>(to)[d] = fromFloat<__nv_bfloat16>(x);
  }
}
__device__ void appendCoded(const Source& source, int64_t from, KVCoding coding, unsigned char* to, float* scaleTo) {
  float values[perLane], largest = 0;
#pragma unroll
  for (int i = 0; i < perLane; ++i) {
    const int d = threadIdx.x % 32 + 32 * i;
    values[i] = d < source.dim ? loadFloat(source.data, source.dtype, from + d * source.strides[2]) : 0;
    largest = fmaxf(largest, isfinite(values[i]) ? fabsf(values[i]) : INFINITY);
  }
  const float scale = scaleOf(maxOfLanes(largest), coding);
#pragma unroll
  for (int i = 0; i < perLane; ++i) {
    const int d = threadIdx.x % 32 + 32 * i;
    if (d < source.dim) to[d] = encode(values[i], scale, coding);
  }
  if (threadIdx.x % 32 == 0) *scaleTo = scale;
}

// A warp for each (row, head) goes through the values of all sources
__global__ void __launch_bounds__(32 * warps) appendRows(const __grid_constant__ Launch launch) {
  const int64_t item = int64_t(blockIdx.x) * warps + threadIdx.x / 32;
  if (item >= launch.rows * launch.numKVHeads) return;
  const int64_t row = launch.firstRow + item / launch.numKVHeads,
                position = launch.positionAt ? *launch.positionAt : launch.position, key = position + row;
  const int64_t slabPlace = key / KVCacheView::keysPerSlab - launch.firstSlab;
  if (slabPlace < 0 || slabPlace >= launch.numSlabs) return;  // of another launch
  const int head = int(item % launch.numKVHeads), place = int(key % KVCacheView::keysPerSlab);
  auto* slab = static_cast<unsigned char*>(launch.slabs[slabPlace]);
  for (int i = 0; i < launch.count; ++i) {
    const Source& source = launch.sources[i];
    const int64_t from = row * source.strides[0] + head * source.strides[1];
    const int64_t rowPlace = int64_t(head) * KVCacheView::keysPerSlab + place;
    unsigned char* to = slab + source.begin + rowPlace * source.rowBytes;
    if (launch.coding == KVCoding::Plain)
      appendPlain(source, from, launch.dtype, to);
    else
      appendCoded(source, from, launch.coding, to, reinterpret_cast<float*>(slab + source.scales) + rowPlace);
  }
}

Source describe(const TensorView& rows, int64_t begin, int64_t rowBytes, int64_t scales) {
  Source source{};
  source.data = rows.data;
  source.dtype = rows.dtype;
  source.dim = int(rows.shape[3]);
  source.begin = begin;
  source.rowBytes = rowBytes;
  source.scales = scales;
  for (int axis = 0; axis < 3; ++axis) source.strides[axis] = rows.strides[axis + 1];
  return source;
}

bool append(const Launch& call) {
  const int64_t blocks = (call.rows * call.numKVHeads + warps - 1) / warps;
  return launch("cacheAppend", appendRows, unsigned(blocks), 32 * warps, 0, call);
}
// The position is known when it runs: each launch writes what falls into its slabs.
void appendAnywhere(const KVCacheView& cache, int64_t rows, Launch& call) {
  call.rows = rows;
  const int64_t slabs = cache.numSlabs(cache.length);
  for (call.firstSlab = 0; call.firstSlab < slabs; call.firstSlab += slabsPerLaunch) {
    call.numSlabs = std::min<int64_t>(slabs - call.firstSlab, slabsPerLaunch);
    std::copy_n(cache.slabs + call.firstSlab, call.numSlabs, call.slabs);
    if (!append(call)) return;
  }
}

}  // namespace

void cacheAppend(const CacheAppendArgs& args, Parallel&) {
  const KVCacheView& cache = args.cache;
  const int64_t rows = args.k.shape[1], end = args.position + rows;
  const bool recorded = cache.lengthAt != nullptr;
  if (rows == 0 || cache.numKVHeads == 0) return;
  Launch call{};
  const int64_t keyBytes = cacheKeyRowBytes(cache), valueBytes = cacheValueRowBytes(cache);
  call.sources[0] = describe(args.k, cacheKeysBegin(cache, 0), keyBytes, cacheKeyScalesBegin(cache, 0));
  call.sources[1] = describe(args.v, cacheValuesBegin(cache), valueBytes, cacheValueScalesBegin(cache));
  if (cache.keySets > 1)
    call.sources[2] = describe(args.k2, cacheKeysBegin(cache, 1), keyBytes, cacheKeyScalesBegin(cache, 1));
  call.count = cache.keySets > 1 ? 3 : 2;
  call.dtype = cache.dtype;
  call.coding = cache.coding;
  call.numKVHeads = cache.numKVHeads;
  call.position = args.position;
  call.positionAt = cache.lengthAt;
  if (recorded) return appendAnywhere(cache, rows, call);
  for (int64_t key = args.position; key < end;) {
    call.firstSlab = key / KVCacheView::keysPerSlab;
    const int64_t last = std::min(end, (call.firstSlab + slabsPerLaunch) * KVCacheView::keysPerSlab);
    for (int64_t slab = call.firstSlab; slab * KVCacheView::keysPerSlab < last; ++slab)
      call.slabs[slab - call.firstSlab] = cache.slabs[slab];
    call.numSlabs = (last - 1) / KVCacheView::keysPerSlab + 1 - call.firstSlab;
    call.firstRow = key - args.position;
    call.rows = last - key;
    if (!append(call)) return;
    key = last;
  }
}

}  // namespace longspan::cuda
