// softmax over the last axis. A running maximum and sum of a row in one pass, the shares in a second one, which finds
// the row in the caches. Rows with NaN or +inf, and rows of −inf alone, become NaN, as on the CPU.
#include "launch.cuh"
#include "reduce.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

struct Launch {
  const void* x;
  void* out;  // may be x
  DType xType, outType;
  int64_t n, xStride, outStride;
  Walk<2> rows;  // x, out
};

template <class T, int width, int warps>
__device__ void softmaxRow(const Launch& launch, int64_t row, float* maxima, float* sums) {
  constexpr int step = warps * 32 * width;
  const int64_t first = threadIdx.x % (warps * 32) * width;
  int64_t at[2];
  moveTo(at, launch.rows, row);
  RunningSum total = emptySum();
#pragma unroll 2
  for (int64_t i = first; i < launch.n; i += step) {
    float x[width];
    readRow<T>(launch.x, launch.xType, at[0] + i * launch.xStride, x);
    addTo(total, x);
  }
  total = mergeThreadsOf<warps>(total, maxima, sums);
  const float share = 1.f / total.sum;
#pragma unroll 2
  for (int64_t i = first; i < launch.n; i += step) {
    float x[width];
    readRow<T>(launch.x, launch.xType, at[0] + i * launch.xStride, x);
#pragma unroll
    for (int j = 0; j < width; ++j) x[j] = expf(x[j] - total.maximum) * share;
    writeRow<T>(launch.out, launch.outType, at[1] + i * launch.outStride, x);
  }
}

template <class T, int width, int warps>
__global__ void __launch_bounds__(rowsPerBlock(warps) * warps * 32) softmaxRows(const __grid_constant__ Launch launch) {
  __shared__ float maxima[warps], sums[warps];
  constexpr int rows = rowsPerBlock(warps);
  const int place = warps == 1 ? threadIdx.x / 32 : 0;
  for (int64_t row = int64_t(blockIdx.x) * rows + place; row < launch.rows.count; row += int64_t(gridDim.x) * rows) {
    softmaxRow<T, width, warps>(launch, row, maxima, sums);
  }
}

}  // namespace

void softmax(const SoftmaxArgs& args, Parallel&) {
  const int last = args.out.rank - 1;
  Launch description{
      args.x.data,          args.out.data,        args.x.dtype,           args.out.dtype,
      args.out.shape[last], args.x.strides[last], args.out.strides[last], makeWalk<2>({&args.x, &args.out}, last)};
  const int64_t rows = description.rows.count, n = description.n;
  if (rows == 0 || n == 0) return;
  const bool vectors = args.x.dtype == args.out.dtype && hasVectorRows(args.x) && hasVectorRows(args.out);
  forRowKind("softmax: expected float32, float16 or bfloat16", args.x.dtype, vectors, [&](auto kind) {
    using Kind = decltype(kind);
    forWarps(rows, n, [&](auto warps) {
      constexpr int count = decltype(warps)::count, perBlock = rowsPerBlock(count);
      launch("softmax", softmaxRows<typename Kind::Type, Kind::width, count>, blocksFor(rows, perBlock),
             perBlock * count * 32, 0, description);
    });
  });
}

}  // namespace longspan::cuda
