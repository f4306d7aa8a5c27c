// The negative log likelihood of targets, one block a row: a running maximum and sum, then one logarithm in float64.
#include "bad_index.cuh"
#include "launch.cuh"
#include "reduce.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

struct Launch {
  const void* logits;  // [rows, n]
  const int32_t* targets;
  float* out;
  Place* bad;
  DType dtype;
  int64_t rows, n, rowStride, stride, targetStride, outStride;
};

template <class T, int width, int warps>
__global__ void __launch_bounds__(rowsPerBlock(warps) * warps * 32) nllRows(const __grid_constant__ Launch launch) {
  __shared__ float maxima[warps], sums[warps];
  constexpr int rows = rowsPerBlock(warps), step = warps * 32 * width;
  const int place = warps == 1 ? threadIdx.x / 32 : 0;
  const int64_t first = threadIdx.x % (warps * 32) * width;
  for (int64_t row = int64_t(blockIdx.x) * rows + place; row < launch.rows; row += int64_t(gridDim.x) * rows) {
    const int64_t at = row * launch.rowStride;
    RunningSum total = emptySum();
#pragma unroll 2
    for (int64_t i = first; i < launch.n; i += step) {
      float x[width];
      readRow<T>(launch.logits, launch.dtype, at + i * launch.stride, x);
      addTo(total, x);
    }
    total = mergeThreadsOf<warps>(total, maxima, sums);
    if (first != 0) continue;
    const int64_t target = launch.targets[row * launch.targetStride];
    float result = NAN;
    if (target < 0 || target >= launch.n) {
      keepLowest(launch.bad, row);
    } else {
      const float logit = loadFloat(launch.logits, launch.dtype, at + target * launch.stride);
      result = float(double(total.maximum) - double(logit) + log(double(total.sum)));
    }
    launch.out[row * launch.outStride] = result;
  }
}

}  // namespace

void nll(const NllArgs& args, Parallel&) {
  const TensorView& logits = args.logits;
  Launch description{logits.data,          args.targets.as<const int32_t>(),
                     args.out.as<float>(), nullptr,
                     logits.dtype,         logits.shape[0],
                     logits.shape[1],      logits.strides[0],
                     logits.strides[1],    args.targets.strides[0],
                     args.out.strides[0]};
  const int64_t rows = description.rows, n = description.n;
  if (rows == 0) return;
  findBadIndex("nll", args.badIndex, [&](Place* bad) {
    bool launched = false;
    description.bad = bad;
    forRowKind("nll: expected float32, float16 or bfloat16", logits.dtype, hasVectorRows(logits), [&](auto kind) {
      using Kind = decltype(kind);
      forWarps(rows, n, [&](auto warps) {
        constexpr int count = decltype(warps)::count, perBlock = rowsPerBlock(count);
        launched = launch("nll", nllRows<typename Kind::Type, Kind::width, count>, blocksFor(rows, perBlock),
                          perBlock * count * 32, 0, description);
      });
    });
    return launched;
  });
}

}  // namespace longspan::cuda
