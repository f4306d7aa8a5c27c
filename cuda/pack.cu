// pack: the device's layout of a packed weight is the plain one,
//   [outFeatures, padded to 64][depth]      depth: inFeatures, for bfloat16 padded to even
// with zeros where it is padded: as many bytes as the CPU's panels. A row begins at a multiple of 16 bytes only if
// depth is one of 16 / size values, so matmul looks before it reads that much at once. That of a quantised weight is in
// quantised.cuh.
#include "launch.cuh"
#include "quantised.cuh"

namespace longspan::cuda {
namespace {

struct QuantiseLaunch {
  const void* weight;  // [rows, columns]
  DType dtype;
  int64_t rows, columns, strides[2];
  int64_t blocks;  // of a row
  void* packed;
};

// A thread for each block
template <class Format>
__global__ void __launch_bounds__(128) quantiseBlocks(const __grid_constant__ QuantiseLaunch launch) {
  const int64_t at = int64_t(blockIdx.x) * 128 + threadIdx.x;
  if (at >= launch.rows * launch.blocks) return;
  const int64_t row = at / launch.blocks, first = at % launch.blocks * quantisedBlock;
  float x[quantisedBlock];
  for (int i = 0; i < quantisedBlock; ++i) {
    const int64_t column = first + i, from = row * launch.strides[0] + column * launch.strides[1];
    x[i] = column < launch.columns ? loadFloat(launch.weight, launch.dtype, from) : 0.f;
  }
  uint32_t words[Format::bits];
  const float scale = quantise<Format>(x, words);
  const int64_t words0 = at * Format::bits, scales0 = paddedFeatures(launch.rows) * launch.blocks * Format::bits;
  uint32_t* out = static_cast<uint32_t*>(launch.packed);
  for (int i = 0; i < Format::bits; ++i) out[words0 + i] = words[i];
  reinterpret_cast<__half*>(out + scales0)[at] = __float2half_rn(scale);
}

template <class Format>
void quantiseAll(const PackArgs& args) {
  const int64_t rows = args.weight.shape[0], columns = args.weight.shape[1];
  const int64_t blocks = packedDepth(columns, args.dtype) / quantisedBlock, grid = ceilDiv(rows * blocks, 128);
  if (!succeeded(cudaMemsetAsync(args.packed, 0, packedBytes(rows, columns, args.dtype), stream()),
                 "packing a weight")) {
    return;
  }
  if (grid == 0) return;
  if (grid > 0x7fffffff) return keepError("pack: more than 2^31 - 1 blocks of threads");
  const QuantiseLaunch description{
      args.weight.data, args.weight.dtype, rows, columns, {args.weight.strides[0], args.weight.strides[1]},
      blocks,           args.packed};
  launch("pack", quantiseBlocks<Format>, unsigned(grid), 128, 0, description);
}

}  // namespace

void pack(const PackArgs& args, Parallel& parallel) {
  if (forQuantised(args.dtype, [&](auto format) { quantiseAll<decltype(format)>(args); })) return;
  const int64_t outFeatures = args.weight.shape[0], inFeatures = args.weight.shape[1];
  const int64_t depth = packedDepth(inFeatures, args.dtype), bytes = sizeOf(args.dtype);
  const int64_t all = int64_t(packedBytes(outFeatures, inFeatures, args.dtype));
  const int64_t kept = depth == inFeatures ? outFeatures * depth * bytes : 0;  // the rest becomes zero
  if (all > kept && !succeeded(cudaMemsetAsync(static_cast<char*>(args.packed) + kept, 0, size_t(all - kept), stream()),
                               "packing a weight")) {
    return;
  }
  const TensorView rows{args.packed, args.dtype, 2, {outFeatures, inFeatures}, {depth, 1}};
  copy({args.weight, rows}, parallel);
}

}  // namespace longspan::cuda
