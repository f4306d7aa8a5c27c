// Sums and the like over the threads that share a row: one warp, or a block of several. All threads get the result.
#pragma once
#include <cmath>

#include "kernels.h"

namespace longspan::cuda {

constexpr unsigned allLanes = 0xffffffff;

template <class T>
__device__ inline T sumOfLanes(T value) {
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(allLanes, value, apart);
  return value;
}
template <class T>
__device__ inline T maxOfLanes(T value) {
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) {
    const T other = __shfl_xor_sync(allLanes, value, apart);
    value = other > value ? other : value;
  }
  return value;
}

// The same over `warps` warps that are the whole block; `partial` are as many places in shared memory. With one warp
// nothing is shared, and the block may hold others.
template <int warps>
__device__ inline float sumOfThreads(float value, float* partial) {
  value = sumOfLanes(value);
  if constexpr (warps > 1) {
    const int lane = threadIdx.x % 32;
    if (lane == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    value = sumOfLanes(lane < warps ? partial[lane] : 0.f);
    __syncthreads();
  }
  return value;
}

template <int warps, class T>
__device__ inline T maxOfThreads(T value, T* partial) {
  value = maxOfLanes(value);
  if constexpr (warps > 1) {
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    value = maxOfLanes(partial[threadIdx.x % warps]);
    __syncthreads();
  }
  return value;
}

// A running sum of e^(x − maximum) (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax")
struct RunningSum {
  float maximum, sum;
};
__device__ inline RunningSum emptySum() { return {-INFINITY, 0.f}; }

template <int count>
__device__ inline void addTo(RunningSum& total, const float (&x)[count]) {
  float largest = x[0];
#pragma unroll
  for (int i = 1; i < count; ++i) largest = fmaxf(largest, x[i]);
  if (largest > total.maximum) {
    total.sum *= expf(total.maximum - largest);
    total.maximum = largest;
  }
  const float shift = total.maximum == -INFINITY ? 0.f : total.maximum;  // of −inf and NaN only NaN leaves a trace
#pragma unroll
  for (int i = 0; i < count; ++i) total.sum += expf(x[i] - shift);
}

__device__ inline RunningSum mergeSums(RunningSum a, RunningSum b) {
  const float maximum = fmaxf(a.maximum, b.maximum);
  const float first = a.maximum == maximum ? a.sum : a.sum * expf(a.maximum - maximum);
  const float second = b.maximum == maximum ? b.sum : b.sum * expf(b.maximum - maximum);
  return {maximum, first + second};
}

__device__ inline RunningSum mergeLanesOf(RunningSum value) {
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) {
    value = mergeSums(value,
                      {__shfl_xor_sync(allLanes, value.maximum, apart), __shfl_xor_sync(allLanes, value.sum, apart)});
  }
  return value;
}

template <int warps>
__device__ inline RunningSum mergeThreadsOf(RunningSum value, float* maxima, float* sums) {
  value = mergeLanesOf(value);
  if constexpr (warps > 1) {
    const int lane = threadIdx.x % 32;
    if (lane == 0) maxima[threadIdx.x / 32] = value.maximum, sums[threadIdx.x / 32] = value.sum;
    __syncthreads();
    value = mergeLanesOf(lane < warps ? RunningSum{maxima[lane], sums[lane]} : emptySum());
    __syncthreads();
  }
  return value;
}

// How many warps share a row of n: one where rows are short, a whole block of many where they are few and long.
template <int n>
struct Warps {
  static constexpr int count = n;
};
template <class F>
void forWarps(int64_t rows, int64_t n, const F& f) {
  if (n <= 1024 && (n <= 256 || rows >= numProcessors())) return f(Warps<1>{});
  if (n <= 2048 || (n <= 16384 && rows >= 2 * numProcessors())) return f(Warps<8>{});
  f(Warps<32>{});
}
// A block with one row holds as many threads as share it; with a warp a row, four rows.
constexpr __host__ __device__ int rowsPerBlock(int warps) { return warps == 1 ? 4 : 1; }

}  // namespace longspan::cuda
