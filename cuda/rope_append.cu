// rope.cu of the queries and the keys and cache_append.cu in one launch, which is what a decoded token pays for: the
// same bits as the three calls. Blocks share the heads of a token: queries, then keys, then values; a warp takes one.
#include <algorithm>

#include "cache_append.cuh"
#include "launch.cuh"
#include "rope.cuh"

namespace longspan::cuda {
namespace {

constexpr int warps = 4;  // of a block

struct Launch {
  Heads q, out;
  AppendedRows appended[2];    // k, v
  int headDim, numQueryHeads;  // none where an earlier launch has turned them
  int blocksPerToken;
  CacheSlabs cache;
  Rotation rotation;
};
static_assert(sizeof(Launch) <= 4096, "more than every driver takes");

// Dim d of a head whose first `turning` dims turn
__device__ inline float turnedAt(const Rotation& rotation, const RotaryTable& table, const Heads& heads, int64_t row,
                                 int head, int turning, int d) {
  if (d >= turning) return valueAt(heads, row, head, d);
  const int n = rotation.numFrequencies;
  const int i = rotation.interleaved ? d / 2 : d < n ? d : d - n;
  const Pair pair = pairOf(rotation, i);
  const float a = valueAt(heads, row, head, pair.first), b = valueAt(heads, row, head, pair.second);
  return d == pair.first ? turnedFirst(table, i, a, b) : turnedSecond(table, i, a, b);
}

__global__ void __launch_bounds__(32 * warps, 8) turnAndAppend(const __grid_constant__ Launch launch) {
  __shared__ RotaryTable table;
  const int64_t row = launch.cache.firstRow + blockIdx.x / launch.blocksPerToken;
  fillTable(launch.rotation, 0, row, table);
  const int part = int(blockIdx.x % launch.blocksPerToken) * warps + threadIdx.x / 32;
  const int numHeads = launch.numQueryHeads, numKVHeads = launch.cache.numKVHeads;
  const int turning = 2 * launch.rotation.numFrequencies;
  for (int item = part; item < numHeads + 2 * numKVHeads; item += launch.blocksPerToken * warps) {
    if (item < numHeads) {
      for (int d = threadIdx.x % 32; d < launch.headDim; d += 32)
        storeFloat(launch.out.data, launch.out.dtype, placeOf(launch.out, row, item, d),
                   turnedAt(launch.rotation, table, launch.q, row, item, turning, d));
      continue;
    }
    const bool isKey = item < numHeads + numKVHeads;
    const int head = item - numHeads - (isKey ? 0 : numKVHeads);
    const AppendedRows& rows = launch.appended[isKey ? 0 : 1];
    appendRow(launch.cache, rows.to, row, head, [&](int d) {
      return rounded(turnedAt(launch.rotation, table, rows.from, row, head, isKey ? turning : 0, d), rows.from.dtype);
    });
  }
}

}  // namespace

void ropeAppend(const RopeAppendArgs& args, Parallel&) {
  const RopeArgs& q = args.q;
  const CacheAppendArgs& append = args.append;
  if (q.numFrequencies > maxFrequencies) return keepError("ropeAppend: more than 256 frequencies");
  const int numHeads = int(q.x.shape[2]);
  Launch call{};
  call.q = headsOf(q.x);
  call.out = headsOf(q.out);
  call.appended[0] = {headsOf(append.k), keyRows(append.cache, 0)};
  call.appended[1] = {headsOf(append.v), valueRows(append.cache)};
  call.headDim = int(q.x.shape[3]);
  call.rotation = rotationOf(q);
  forLaunches(append, call.cache, [&] {
    // Several launches that see all rows: the first turns their queries
    call.numQueryHeads = call.cache.positionAt && call.cache.firstSlab > 0 ? 0 : numHeads;
    // Few tokens are spread over the device; of many each makes its table once
    const int64_t most = (call.numQueryHeads + 2 * call.cache.numKVHeads + warps - 1) / warps;
    call.blocksPerToken = int(std::clamp<int64_t>(4 * numProcessors() / call.cache.rows, 1, most));
    const int64_t blocks = call.cache.rows * call.blocksPerToken;
    return launch("ropeAppend", turnAndAppend, unsigned(blocks), 32 * warps, 0, call);
  });
}

}  // namespace longspan::cuda
