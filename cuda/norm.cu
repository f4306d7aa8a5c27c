// rmsNorm (Zhang & Sennrich 2019) and layerNorm (Ba et al. 2016) over the last axis, statistics in float32. A row is
// read from memory once: its values stay in shared memory, where each thread keeps its own, or in the caches.
#include "launch.cuh"
#include "ptx.cuh"
#include "reduce.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

struct Launch {
  const void *x, *weight, *bias;  // weight and bias may be null
  void* out;                      // may be x
  DType xType, weightType, biasType, outType;
  bool centre, isKept;  // kept: the values of a row fit shared memory
  bool weightVectors, biasVectors;
  float epsilon;
  int64_t n, xStride, weightStride, biasStride, outStride;
  Walk<2> rows;  // x, out
};

template <int width>
__device__ void readWeights(const void* data, DType dtype, int64_t at, int64_t stride, bool vectors,
                            float (&x)[width]) {
  if (vectors) return loadAny(data, dtype, at, x);
#pragma unroll
  for (int i = 0; i < width; ++i) x[i] = loadFloat(data, dtype, (at + i) * stride);
}

template <class T, int width, int warps>
__device__ void normRow(const Launch& launch, int64_t row, float* kept, float* partial) {
  constexpr int step = warps * 32 * width;
  const int64_t n = launch.n, first = threadIdx.x % (warps * 32) * width;
  int64_t at[2];
  moveTo(at, launch.rows, row);
  auto read = [&](int64_t i, float(&x)[width]) {
    if (launch.isKept) {
#pragma unroll
      for (int j = 0; j < width; ++j) x[j] = kept[i + j];
    } else {
      readRow<T>(launch.x, launch.xType, at[0] + i * launch.xStride, x);
    }
  };

  float sum = 0;
  if (launch.isKept || launch.centre) {
    for (int64_t i = first; i < n; i += step) {
      float x[width];
      readRow<T>(launch.x, launch.xType, at[0] + i * launch.xStride, x);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        sum += x[j];
        if (launch.isKept) kept[i + j] = x[j];
      }
    }
  }
  const float mean = launch.centre ? sumOfThreads<warps>(sum, partial) / float(n) : 0.f;
  sum = 0;
  for (int64_t i = first; i < n; i += step) {
    float x[width];
    read(i, x);
#pragma unroll
    for (int j = 0; j < width; ++j) sum += (x[j] - mean) * (x[j] - mean);
  }
  const float scale = 1.f / sqrtf(sumOfThreads<warps>(sum, partial) / float(n) + launch.epsilon);
  for (int64_t i = first; i < n; i += step) {
    float x[width], weight[width] = {}, bias[width] = {};
    read(i, x);
    if (launch.weight)
      readWeights(launch.weight, launch.weightType, i, launch.weightStride, launch.weightVectors, weight);
    if (launch.bias) readWeights(launch.bias, launch.biasType, i, launch.biasStride, launch.biasVectors, bias);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      x[j] = (x[j] - mean) * scale;
      if (launch.weight) x[j] *= weight[j];
      if (launch.bias) x[j] += bias[j];
    }
    writeRow<T>(launch.out, launch.outType, at[1] + i * launch.outStride, x);
  }
}

template <class T, int width, int warps>
__global__ void __launch_bounds__(rowsPerBlock(warps) * warps * 32) normRows(const __grid_constant__ Launch launch) {
  __shared__ float partial[warps];
  constexpr int rows = rowsPerBlock(warps);
  const int place = warps == 1 ? threadIdx.x / 32 : 0;
  float* kept = reinterpret_cast<float*>(dynamicShared()) + place * launch.n;
  for (int64_t row = int64_t(blockIdx.x) * rows + place; row < launch.rows.count; row += int64_t(gridDim.x) * rows) {
    normRow<T, width, warps>(launch, row, kept, partial);
  }
}

Launch describe(const NormArgs& args) {
  Launch launch{};
  const int last = args.out.rank - 1;
  launch.x = args.x.data;
  launch.weight = args.weight.data;
  launch.bias = args.bias.data;
  launch.out = args.out.data;
  launch.xType = args.x.dtype;
  launch.weightType = args.weight.dtype;
  launch.biasType = args.bias.dtype;
  launch.outType = args.out.dtype;
  launch.centre = args.centre;
  launch.epsilon = args.epsilon;
  launch.n = args.out.shape[last];
  launch.xStride = args.x.strides[last];
  launch.weightStride = args.weight ? args.weight.strides[0] : 0;
  launch.biasStride = args.bias ? args.bias.strides[0] : 0;
  launch.outStride = args.out.strides[last];
  launch.weightVectors = args.weight && hasVectorRows(args.weight);
  launch.biasVectors = args.bias && hasVectorRows(args.bias);
  launch.rows = makeWalk<2>({&args.x, &args.out}, last);
  return launch;
}

}  // namespace

void norm(const NormArgs& args, Parallel&) {
  Launch description = describe(args);
  const int64_t rows = description.rows.count, n = description.n;
  if (rows == 0 || n == 0) return;
  const bool vectors = args.x.dtype == args.out.dtype && hasVectorRows(args.x) && hasVectorRows(args.out);
  forRowKind("norm: expected float32, float16 or bfloat16", args.x.dtype, vectors, [&](auto kind) {
    using Kind = decltype(kind);
    forWarps(rows, n, [&](auto warps) {
      constexpr int count = decltype(warps)::count, perBlock = rowsPerBlock(count);
      const size_t bytes = size_t(n) * sizeof(float) * perBlock;
      description.isKept = bytes <= (48 << 10) - 256;
      launch("norm", normRows<typename Kind::Type, Kind::width, count>, blocksFor(rows, perBlock),
             perBlock * count * 32, description.isKept ? bytes : 0, description);
    });
  });
}

}  // namespace longspan::cuda
