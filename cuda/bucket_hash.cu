// Buckets of tokens: of the directions of each factor the nearest, ±R for random ones (Andoni et al. 2015, as Reformer
// uses them). Products are float32 sums: 16-bit ones would move tokens that lie between two directions. A block takes
// some tokens of one round, batch and head; directions pass through shared memory, a few at a time.
#include "launch.cuh"
#include "numbers.cuh"
#include "ptx.cuh"

namespace longspan::cuda {
namespace {

constexpr int threads = 128, tokens = 32, columnsAtOnce = 32, perThread = columnsAtOnce / (threads / tokens);
constexpr int maxFactors = 32;  // of two or more each: 2^30 buckets at most

struct Hash {
  const void* x;
  DType dtype;
  int64_t xStrides[4];
  const float* directions;
  int* out;
  int64_t seqLen;
  int batch, numHeads, keyHeads, directionHeads, headDim, columns, signs, numFactors;
  int factors[maxFactors];
};

struct Nearest {
  float high, low;
  int highAt, lowAt;
  __device__ void add(float product, int column) {
    if (product > high) high = product, highAt = column;
    if (product < low) low = product, lowAt = column;
  }
};

// The nearest directions among `columns` for every token of the block, in `found` [tokens] of the first `tokens`
// threads
__device__ Nearest nearestOf(const Hash& hash, const float* directions, int columns, const float* rows, float* part,
                             Nearest* found) {
  const int token = threadIdx.x % tokens, group = threadIdx.x / tokens, stride = hash.headDim + 1;
  Nearest nearest{-INFINITY, INFINITY, 0, 0};
  for (int first = 0; first < columns; first += columnsAtOnce) {
    const int count = columns - first < columnsAtOnce ? columns - first : columnsAtOnce;
    __syncthreads();
    for (int at = threadIdx.x; at < count * hash.headDim; at += threads)
      part[at / hash.headDim * stride + at % hash.headDim] = directions[int64_t(first) * hash.headDim + at];
    __syncthreads();
    float sums[perThread] = {};
    for (int d = 0; d < hash.headDim; ++d) {
      const float x = rows[token * stride + d];
      for (int i = 0; i < perThread; ++i) sums[i] = fmaf(x, part[(group * perThread + i) * stride + d], sums[i]);
    }
    for (int i = 0; i < perThread; ++i)
      if (group * perThread + i < count) nearest.add(sums[i], first + group * perThread + i);
  }
  __syncthreads();
  found[threadIdx.x] = nearest;
  __syncthreads();
  for (int other = 0; other < threads / tokens; ++other) {  // of equals the lowest column
    const Nearest& o = found[other * tokens + token];
    if (o.high > nearest.high || (o.high == nearest.high && o.highAt < nearest.highAt))
      nearest.high = o.high, nearest.highAt = o.highAt;
    if (o.low < nearest.low || (o.low == nearest.low && o.lowAt < nearest.lowAt))
      nearest.low = o.low, nearest.lowAt = o.lowAt;
  }
  return nearest;
}

__global__ void __launch_bounds__(threads) hashTokens(const __grid_constant__ Hash hash, int64_t tiles) {
  const int stride = hash.headDim + 1;
  float* rows = reinterpret_cast<float*>(dynamicShared());
  float* part = rows + tokens * stride;
  Nearest* found = reinterpret_cast<Nearest*>(part + columnsAtOnce * stride);
  const int64_t first = int64_t(blockIdx.x) % tiles * tokens, list = int64_t(blockIdx.x) / tiles;
  const int head = int(list % hash.numHeads), b = int(list / hash.numHeads % hash.batch);
  const int64_t round = list / hash.numHeads / hash.batch;
  const int own = head * hash.keyHeads / hash.numHeads, directionHead = head * hash.directionHeads / hash.numHeads;
  for (int at = threadIdx.x; at < tokens * hash.headDim; at += threads) {
    const int64_t token = first + at / hash.headDim;
    const int64_t place =
        b * hash.xStrides[0] + token * hash.xStrides[1] + own * hash.xStrides[2] + at % hash.headDim * hash.xStrides[3];
    rows[at / hash.headDim * stride + at % hash.headDim] =
        token < hash.seqLen ? loadFloat(hash.x, hash.dtype, place) : 0.f;
  }
  for (int at = threadIdx.x; at < columnsAtOnce * stride; at += threads) part[at] = 0;
  const float* directions =
      hash.directions + (round * hash.directionHeads + directionHead) * hash.columns * int64_t(hash.headDim);
  int bucket = 0, weight = 1;
  for (int i = 0; i < hash.numFactors; ++i) {
    const int columns = hash.factors[i] / hash.signs;
    const Nearest nearest = nearestOf(hash, directions, columns, rows, part, found);
    const bool high = hash.signs == 1 || nearest.high >= -nearest.low;
    bucket += weight * (high ? nearest.highAt : columns + nearest.lowAt);
    weight *= hash.factors[i];
    directions += int64_t(columns) * hash.headDim;
  }
  if (threadIdx.x < tokens && first + threadIdx.x < hash.seqLen)
    hash.out[list * hash.seqLen + first + threadIdx.x] = bucket;
}

}  // namespace

void bucketHash(const BucketHashArgs& args, Parallel&) {
  if (args.numFactors > maxFactors) return keepError("hashing tokens: more than 32 factors");
  Hash hash{};
  hash.x = args.x.data, hash.dtype = args.x.dtype;
  for (int axis = 0; axis < 4; ++axis) hash.xStrides[axis] = args.x.strides[axis];
  hash.directions = args.directions, hash.out = args.out;
  hash.batch = int(args.x.shape[0]), hash.seqLen = args.x.shape[1], hash.keyHeads = int(args.x.shape[2]);
  hash.headDim = int(args.x.shape[3]), hash.numHeads = args.numHeads, hash.directionHeads = args.directionHeads;
  hash.signs = args.bothSigns ? 2 : 1, hash.numFactors = args.numFactors;
  for (int i = 0; i < args.numFactors; ++i) {
    hash.factors[i] = args.factors[i];
    hash.columns += args.factors[i] / hash.signs;
  }
  const int64_t tiles = (hash.seqLen + tokens - 1) / tokens, blocks = tiles * args.rounds * hash.batch * hash.numHeads;
  if (blocks == 0) return;
  if (blocks > 0x7fffffff) return keepError("hashing tokens: more than 2^31 - 1 tiles of tokens in one call");
  const size_t shared = size_t(tokens + columnsAtOnce) * size_t(hash.headDim + 1) * 4 + threads * sizeof(Nearest);
  launch("hashing tokens", hashTokens, unsigned(blocks), threads, shared, hash, tiles);
}

}  // namespace longspan::cuda
