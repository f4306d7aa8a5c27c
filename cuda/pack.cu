// pack: the device's layout of a packed weight is the plain one,
//   [outFeatures, padded to 64][depth]      depth: inFeatures, for bfloat16 padded to even
// with zeros where it is padded: as many bytes as the CPU's panels. A row begins at a multiple of 16 bytes only if
// depth is one of 16 / size values, so matmul looks before it reads that much at once.
#include "packed.cuh"

namespace longspan::cuda {

void pack(const PackArgs& args, Parallel& parallel) {
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
