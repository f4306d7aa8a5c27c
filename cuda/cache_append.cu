// New keys and values into a cache (cache_append.cuh), as they are.
#include "cache_append.cuh"

#include "launch.cuh"

namespace longspan::cuda {
namespace {

constexpr int warps = 4;  // of a block

struct Launch {
  AppendedRows sources[3];  // k, v, and k2 where the cache has it
  int count;
  CacheSlabs cache;
};

// A warp for each (row, head) goes through the values of all sources
__global__ void __launch_bounds__(32 * warps) appendRows(const __grid_constant__ Launch launch) {
  const CacheSlabs& cache = launch.cache;
  const int64_t item = int64_t(blockIdx.x) * warps + threadIdx.x / 32;
  if (item >= cache.rows * cache.numKVHeads) return;
  const int64_t row = cache.firstRow + item / cache.numKVHeads;
  const int head = int(item % cache.numKVHeads);
  for (int i = 0; i < launch.count; ++i) {
    const AppendedRows& source = launch.sources[i];
    appendRow(cache, source.to, row, head, [&](int d) { return valueAt(source.from, row, head, d); });
  }
}

}  // namespace

void cacheAppend(const CacheAppendArgs& args, Parallel&) {
  const KVCacheView& cache = args.cache;
  Launch call{};
  call.sources[call.count++] = {headsOf(args.k), keyRows(cache, 0)};
  call.sources[call.count++] = {headsOf(args.v), valueRows(cache)};
  if (cache.keySets > 1) call.sources[call.count++] = {headsOf(args.k2), keyRows(cache, 1)};
  forLaunches(args, call.cache, [&] {
    const int64_t blocks = (call.cache.rows * cache.numKVHeads + warps - 1) / warps;
    return launch("cacheAppend", appendRows, unsigned(blocks), 32 * warps, 0, call);
  });
}

}  // namespace longspan::cuda
