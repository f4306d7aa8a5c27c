// gemv.cuh for quantised weights: again 16 bytes of a row of the weight a lane and eight such loads in flight, with the
// scale of their block beside each. Whole numbers are multiplied by x as they are; the sum over a load by the scale.
#pragma once
#include "gemv.cuh"
#include "quantised.cuh"

namespace longspan::cuda {

// sums[row][feature] += x · the values of a load, of which word w holds 4 from place 4w on, for 4 bits also from 16 + 4w
template <class Format, class X, int rows, int features>
__device__ void addQuantised(const uint4 (&loaded)[features], const float (&scales)[features],
                             const X* const (&xs)[rows], int64_t k, float (&sums)[rows][features]) {
  constexpr int groups = 8 / Format::bits;  // of 4 values in a word
  float products[rows][features] = {};
#pragma unroll
  for (int word = 0; word < 4; ++word) {
#pragma unroll
    for (int group = 0; group < groups; ++group) {
      float levels[features][4];
#pragma unroll
      for (int i = 0; i < features; ++i) {
        const uint32_t words[] = {loaded[i].x, loaded[i].y, loaded[i].z, loaded[i].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          levels[i][j] = levelAt<Format>(words[word], bitOf<Format>(group * 4 * Format::bits + j));
        }
      }
#pragma unroll
      for (int row = 0; row < rows; ++row) {
        float x[4];
        loadFloats(xs[row] + k + group * 4 * Format::bits + word * 4, x);
#pragma unroll
        for (int i = 0; i < features; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) products[row][i] += x[j] * levels[i][j];
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < rows * features; ++i) {
    sums[i / features][i % features] += scales[i % features] * products[i / features][i % features];
  }
}

// inFeatures is a multiple of 32, and 4 values of x lie aligned at every multiple of 4.
template <class X, class Format, int rows, int features>
__global__ void __launch_bounds__(gemvThreads) gemvQuantised(const __grid_constant__ GemvLaunch launch) {
  constexpr int width = 128 / Format::bits, ahead = 8 / features;  // values of a load
  const QuantisedRows<Format> weight(launch.weight, launch.epilogue.columns, launch.weightStride);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, share = launch.warpsPerRow;
  const int64_t blockFeature = int64_t(blockIdx.x) * (gemvWarps / share) * features;
  const int64_t firstFeature = blockFeature + warp / share * features;
  const uint4* words[features];
  const __half* scales[features];
#pragma unroll
  for (int i = 0; i < features; ++i) {  // beyond the last feature: that one again, its sum is not kept
    const int64_t feature = firstFeature + i < launch.epilogue.columns ? firstFeature + i : launch.epilogue.columns - 1;
    words[i] = reinterpret_cast<const uint4*>(weight.words + feature * weight.blocks * Format::bits);
    scales[i] = weight.scales + feature * weight.blocks;
  }
  const X* xs[rows];
#pragma unroll
  for (int i = 0; i < rows; ++i) {
    xs[i] = static_cast<const X*>(launch.x) + gemvRow<rows>(launch, i) * launch.xStride;
  }

  float sums[rows][features] = {};
  const int64_t loads = launch.depth / width, step = int64_t(share) * 32;
  auto fetch = [&](int64_t load, uint4(&loaded)[features], float(&factors)[features]) {
#pragma unroll
    for (int i = 0; i < features; ++i) {
      loaded[i] = words[i][load];
      factors[i] = __half2float(scales[i][load * width / quantisedBlock]);
    }
  };
  int64_t load = warp % share * 32 + lane;
#pragma unroll 1
  for (; load + (ahead - 1) * step < loads; load += ahead * step) {
    uint4 loaded[ahead][features];
    float factors[ahead][features];
#pragma unroll
    for (int i = 0; i < ahead; ++i) fetch(load + i * step, loaded[i], factors[i]);
#pragma unroll
    for (int i = 0; i < ahead; ++i) addQuantised<Format>(loaded[i], factors[i], xs, (load + i * step) * width, sums);
  }
#pragma unroll 1
  for (; load < loads; load += step) {
    uint4 loaded[features];
    float factors[features];
    fetch(load, loaded, factors);
    addQuantised<Format>(loaded, factors, xs, load * width, sums);
  }
#pragma unroll
  for (int i = 0; i < rows * features; ++i) {
    sums[i / features][i % features] = sumOfLanes(sums[i / features][i % features]);
  }
  finishSums(launch, sums, blockFeature);
}

}  // namespace longspan::cuda
