// Parts of attention over disjoint key sets brought together, as csrc/cpu/merge_attention.inl: a warp does a row. A
// part that saw nothing is ignored, whatever its out holds.
#include <vector>

#include "launch.cuh"
#include "numbers.cuh"

namespace longspan::cuda {
namespace {

constexpr int warps = 4;  // of a block
constexpr int maxPartsInside = 32;

struct Part {
  void *out, *lse;
  int64_t outStrides[4], lseStrides[3];
  DType dtype;
};
struct Launch {
  Part whole;  // lse may be absent
  int64_t rows, seqLenQ;
  int numHeads, dim, count;
  const Part* parts;  // or here:
  Part inside[maxPartsInside];
};
static_assert(sizeof(Launch) <= 4096, "the parameters of a launch");

struct Place {
  int64_t batch, query, head;
};
__device__ __forceinline__ int64_t outAt(const Part& part, const Place& place) {
  return place.batch * part.outStrides[0] + place.query * part.outStrides[1] + place.head * part.outStrides[2];
}
__device__ __forceinline__ float* lseOf(const Part& part, const Place& place) {
  return static_cast<float*>(part.lse) + place.batch * part.lseStrides[0] + place.head * part.lseStrides[1] +
         place.query * part.lseStrides[2];
}

__device__ __forceinline__ void store(const Part& part, int64_t at, float x) {
  if (part.dtype == DType::Float32) {
    static_cast<float*>(part.out)[at] = x;
  } else if (part.dtype == DType::Float16) {
    static_cast<__half*>(part.out)[at] = fromFloat<__half>(x);
  } else {
    static_cast<__nv_bfloat16*>(part.out)[at] = fromFloat<__nv_bfloat16>(x);
  }
}

__global__ void __launch_bounds__(32 * warps) mergeRows(const __grid_constant__ Launch launch) {
  constexpr int columns = 256 / 32;  // of a lane
  const int64_t row = int64_t(blockIdx.x) * warps + threadIdx.x / 32;
  if (row >= launch.rows) return;
  const int lane = threadIdx.x % 32;
  const Part* parts = launch.parts ? launch.parts : launch.inside;
  const Place place = {row / launch.numHeads / launch.seqLenQ, row / launch.numHeads % launch.seqLenQ,
                       row % launch.numHeads};
  float highest = -INFINITY, total = 0, out[columns] = {};
  for (int i = 0; i < launch.count; ++i) highest = fmaxf(highest, *lseOf(parts[i], place));
  for (int i = 0; i < launch.count; ++i) {
    const float lse = *lseOf(parts[i], place);
    if (lse == -INFINITY) continue;
    const float weight = expf(lse - highest);
    total += weight;
    const int64_t at = outAt(parts[i], place);
#pragma unroll
    for (int n = 0; n < columns; ++n) {
      const int column = lane + 32 * n;
      if (column < launch.dim)
        out[n] += loadFloat(parts[i].out, parts[i].dtype, at + column * parts[i].outStrides[3]) * weight;
    }
  }
  const bool seen = highest > -INFINITY;
  const int64_t at = outAt(launch.whole, place);
  __syncwarp();  // out and lse may be those of a part
#pragma unroll
  for (int n = 0; n < columns; ++n) {
    const int column = lane + 32 * n;
    if (column < launch.dim) store(launch.whole, at + column * launch.whole.outStrides[3], seen ? out[n] / total : 0);
  }
  if (launch.whole.lse && lane == 0) *lseOf(launch.whole, place) = seen ? highest + logf(total) : -INFINITY;
}

Part describe(const TensorView& out, const TensorView& lse) {
  Part part{};
  part.out = out.data;
  part.lse = lse.data;
  part.dtype = out.dtype;
  for (int axis = 0; axis < 4; ++axis) part.outStrides[axis] = out.strides[axis];
  for (int axis = 0; axis < 3; ++axis) part.lseStrides[axis] = lse.strides[axis];
  return part;
}

}  // namespace

void mergeAttention(const MergeArgs& args, Parallel&) {
  Launch call{};
  call.whole = describe(args.out, args.lse);
  call.seqLenQ = args.out.shape[1];
  call.numHeads = int(args.out.shape[2]);
  call.dim = int(args.out.shape[3]);
  call.count = args.parts;
  call.rows = args.out.shape[0] * call.seqLenQ * call.numHeads;
  if (call.rows == 0 || call.dim == 0) return;
  if (call.rows > 0x7fffffff) return keepError("mergeAttention: more than 2^31 - 1 rows in one call");
  std::vector<Part> parts;
  for (int i = 0; i < args.parts; ++i) parts.push_back(describe(args.outs[i], args.lses[i]));
  const bool isMany = args.parts > maxPartsInside;
  const Scratch list(isMany ? parts.size() * sizeof(Part) : 0);
  if (!list) return;
  if (isMany) {
    if (!copyToDevice(list.as<void>(), parts.data(), parts.size() * sizeof(Part))) return;
    call.parts = list.as<const Part>();
  } else {
    for (int i = 0; i < args.parts; ++i) call.inside[i] = parts[size_t(i)];
  }
  launch("mergeAttention", mergeRows, unsigned((call.rows + warps - 1) / warps), 32 * warps, 0, call);
}

}  // namespace longspan::cuda
