// matmul for a few rows of x (decode), 8 at most to a block, bound by the reading of the weights: a warp takes
// `features` rows of the weight, 16 bytes a lane, eight such loads in flight. x is small and stays in the caches. Where
// features are few, the warps of a block share k. Sums are float32; products of two bfloat16 are exact in it.
#pragma once
#include "epilogue.cuh"
#include "launch.cuh"
#include "quantised.cuh"
#include "reduce.cuh"

namespace longspan::cuda {

constexpr int gemvWarps = 4, gemvThreads = gemvWarps * 32;
// The more rows of x, the more often a value of it should be used once it is read.
constexpr int featuresPerWarp(int rows) { return rows <= 2 ? 2 : 4; }

struct GemvLaunch {
  const void *x, *weight;
  DType xType, weightType;
  int64_t depth, xStride, weightStride;
  int warpsPerRow;  // 1 or gemvWarps share the values of a row of the weight
  Epilogue epilogue;
};

// Row i of a block's; beyond the last: that one again, its sum is not kept
template <int rows>
__device__ inline int64_t gemvRow(const GemvLaunch& launch, int i) {
  const int64_t row = int64_t(blockIdx.y) * rows + i;
  return row < launch.epilogue.rows ? row : launch.epilogue.rows - 1;
}

// Sums of the warps, then the epilogue: sums[row][feature] of each warp, the same in all its lanes
template <int rows, int features>
__device__ void finishSums(const GemvLaunch& launch, const float (&sums)[rows][features], int64_t firstFeature) {
  __shared__ float partial[gemvWarps][rows * features];
  const int warp = threadIdx.x / 32, share = launch.warpsPerRow;
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int i = 0; i < rows * features; ++i) partial[warp][i] = sums[i / features][i % features];
  }
  __syncthreads();
  for (int at = threadIdx.x; at < gemvWarps / share * rows * features; at += gemvThreads) {
    const int group = at / (rows * features), i = at % (rows * features);
    const int64_t row = int64_t(blockIdx.y) * rows + i / features,
                  feature = firstFeature + group * features + i % features;
    if (row >= launch.epilogue.rows || feature >= launch.epilogue.columns) continue;
    float x[1] = {0.f};
    for (int part = 0; part < share; ++part) x[0] += partial[group * share + part][i];
    finish(launch.epilogue, row, feature, x);
  }
}

template <class X, class W, int rows, int features>
__global__ void __launch_bounds__(gemvThreads) gemv(const __grid_constant__ GemvLaunch launch) {
  constexpr int width = 16 / int(sizeof(W)), ahead = 8 / features;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, share = launch.warpsPerRow;
  const int64_t blockFeature = int64_t(blockIdx.x) * (gemvWarps / share) * features;
  const int64_t firstFeature = blockFeature + warp / share * features;
  const W* weights[features];
#pragma unroll
  for (int i = 0; i < features; ++i) {  // beyond the last feature: that one again, its sum is not kept
    const int64_t feature = firstFeature + i < launch.epilogue.columns ? firstFeature + i : launch.epilogue.columns - 1;
    weights[i] = static_cast<const W*>(launch.weight) + feature * launch.weightStride;
  }
  const X* xs[rows];
#pragma unroll
  for (int i = 0; i < rows; ++i) {
    xs[i] = static_cast<const X*>(launch.x) + gemvRow<rows>(launch, i) * launch.xStride;
  }

  float sums[rows][features] = {};
  const int64_t step = int64_t(share) * 32 * width;
  auto addProducts = [&](int64_t k, const uint4(&loaded)[features]) {
    float w[features][width];
#pragma unroll
    for (int i = 0; i < features; ++i) widen<W>(loaded[i], w[i]);
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      float x[width];
      loadFloats(xs[row] + k, x);
#pragma unroll
      for (int i = 0; i < features; ++i) {
#pragma unroll
        for (int j = 0; j < width; ++j) sums[row][i] += x[j] * w[i][j];
      }
    }
  };
  int64_t k = (warp % share * 32 + lane) * width;
  for (; k + (ahead - 1) * step < launch.depth; k += ahead * step) {
    uint4 loaded[ahead][features];
#pragma unroll
    for (int i = 0; i < ahead * features; ++i) {
      loaded[i / features][i % features] =
          *reinterpret_cast<const uint4*>(weights[i % features] + k + i / features * step);
    }
#pragma unroll
    for (int i = 0; i < ahead; ++i) addProducts(k + i * step, loaded[i]);
  }
  for (; k < launch.depth; k += step) {
    uint4 loaded[features];
#pragma unroll
    for (int i = 0; i < features; ++i) loaded[i] = *reinterpret_cast<const uint4*>(weights[i] + k);
    addProducts(k, loaded);
  }
#pragma unroll
  for (int i = 0; i < rows * features; ++i) {
    sums[i / features][i % features] = sumOfLanes(sums[i / features][i % features]);
  }
  finishSums(launch, sums, blockFeature);
}

__device__ inline float weightValue(const GemvLaunch& launch, int64_t feature, int64_t k) {
  const int64_t features = launch.epilogue.columns, depth = launch.weightStride;
  if (launch.weightType == DType::Q8_0) return QuantisedRows<Q8_0>(launch.weight, features, depth).value(feature, k);
  if (launch.weightType == DType::Q4_0) return QuantisedRows<Q4_0>(launch.weight, features, depth).value(feature, k);
  return loadFloat(launch.weight, launch.weightType, feature * depth + k);
}

// The same where rows are not aligned: a value at a time
template <int rows>
__global__ void __launch_bounds__(gemvThreads) gemvOfAny(const __grid_constant__ GemvLaunch launch) {
  const int64_t blockFeature = int64_t(blockIdx.x) * (gemvWarps / launch.warpsPerRow);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, share = launch.warpsPerRow;
  int64_t feature = blockFeature + warp / share;
  if (feature >= launch.epilogue.columns) feature = launch.epilogue.columns - 1;
  float sums[rows][1] = {};
#pragma unroll 2
  for (int64_t k = warp % share * 32 + lane; k < launch.depth; k += share * 32) {
    const float w = weightValue(launch, feature, k);
#pragma unroll
    for (int i = 0; i < rows; ++i) {
      sums[i][0] += w * loadFloat(launch.x, launch.xType, gemvRow<rows>(launch, i) * launch.xStride + k);
    }
  }
#pragma unroll
  for (int i = 0; i < rows; ++i) sums[i][0] = sumOfLanes(sums[i][0]);
  finishSums(launch, sums, blockFeature);
}

}  // namespace longspan::cuda
