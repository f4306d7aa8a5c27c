// The float dtypes on the device: to float32 and back, and the choice of a kernel by dtype.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels.h"

namespace longspan::cuda {

__device__ inline float toFloat(float x) { return x; }
__device__ inline float toFloat(__half x) { return __half2float(x); }
__device__ inline float toFloat(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T>
__device__ T fromFloat(float x);
template <>
__device__ inline float fromFloat<float>(float x) {
  return x;
}
template <>
__device__ inline __half fromFloat<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 fromFloat<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
// An element of a tensor whose dtype is known at run time only.
__device__ inline float loadFloat(const void* data, DType dtype, int64_t at) {
  if (dtype == DType::Float32) return static_cast<const float*>(data)[at];
  if (dtype == DType::Float16) return __half2float(static_cast<const __half*>(data)[at]);
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]);
}
__device__ inline void storeFloat(void* data, DType dtype, int64_t at, float x) {
  if (dtype == DType::Float32)
    static_cast<float*>(data)[at] = x;
  else if (dtype == DType::Float16)
    static_cast<__half*>(data)[at] = fromFloat<__half>(x);
  else
    static_cast<__nv_bfloat16*>(data)[at] = fromFloat<__nv_bfloat16>(x);
}
// As it would be stored
__device__ inline float rounded(float x, DType dtype) {
  if (dtype == DType::Float32) return x;
  if (dtype == DType::Float16) return toFloat(fromFloat<__half>(x));
  return toFloat(fromFloat<__nv_bfloat16>(x));
}

// f(T{}) with the type of `dtype`; an error where it is no float.
template <class F>
void forFloat(const char* what, DType dtype, const F& f) {
  switch (dtype) {
    case DType::Float32:
      return f(float{});
    case DType::Float16:
      return f(__half{});
    case DType::BFloat16:
      return f(__nv_bfloat16{});
    default:
      keepError(what);
  }
}

}  // namespace longspan::cuda
