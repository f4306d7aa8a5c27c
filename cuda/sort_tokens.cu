// Tokens in the order of their buckets, all lists in one stable radix sort: list in the high bits of a key, bucket in
// the low ones. Then each list is written out with its wrapped ends, and every token learns its chunk.
#include <cub/cub.cuh>

#include "launch.cuh"

namespace longspan::cuda {
namespace {

constexpr int threads = 256;

__global__ void __launch_bounds__(threads)
    makeKeys(const int* buckets, int seqLen, int64_t total, uint64_t* keys, int* places) {
  const int64_t at = int64_t(blockIdx.x) * threads + threadIdx.x;
  if (at >= total) return;
  keys[at] = uint64_t(at / seqLen) << 32 | uint32_t(buckets[at]);
  places[at] = int(at % seqLen);
}

__global__ void __launch_bounds__(threads) writeOrder(const int* places, const SortTokensArgs args, int64_t total) {
  const int64_t at = int64_t(blockIdx.x) * threads + threadIdx.x;
  if (at >= total) return;
  const int64_t list = at / args.seqLen, row = at % args.seqLen;
  const int token = places[at];
  int* order = args.order + list * (int64_t(args.before) + args.seqLen + args.after);
  order[args.before + row] = token;
  if (row >= args.seqLen - args.before) order[row - (args.seqLen - args.before)] = token;
  if (row < args.after) order[int64_t(args.before) + args.seqLen + row] = token;
  args.chunkOf[list * args.seqLen + token] = int(row) / args.chunk;
}

int bitsOf(int64_t count) {
  int bits = 0;
  while (count >> bits) ++bits;
  return bits;
}

}  // namespace

void sortTokens(const SortTokensArgs& args, Parallel&) {
  const int64_t total = args.lists * args.seqLen;
  if (total == 0) return;
  if (total > 0x7fffffff) return keepError("sorting tokens: more than 2^31 - 1 tokens over all rounds and heads");
  const unsigned blocks = unsigned((total + threads - 1) / threads);
  const int bits = 32 + bitsOf(args.lists - 1);
  Scratch keys(size_t(total) * 16), places(size_t(total) * 8);
  if (!keys || !places) return;
  uint64_t *from = keys.as<uint64_t>(), *to = from + total;
  int *tokens = places.as<int>(), *sorted = tokens + total;
  if (!launch("sorting tokens", makeKeys, blocks, threads, 0, args.buckets, args.seqLen, total, from, tokens)) return;
  size_t bytes = 0;
  if (!succeeded(
          cub::DeviceRadixSort::SortPairs(nullptr, bytes, from, to, tokens, sorted, int(total), 0, bits, stream()),
          "sorting tokens"))
    return;
  Scratch spare(bytes);
  if (!spare || !succeeded(cub::DeviceRadixSort::SortPairs(spare.as<void>(), bytes, from, to, tokens, sorted,
                                                           int(total), 0, bits, stream()),
                           "sorting tokens"))
    return;
  launch("sorting tokens", writeOrder, blocks, threads, 0, sorted, args, total);
}

}  // namespace longspan::cuda
