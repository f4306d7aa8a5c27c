// Some floats of any float dtype at once, 16 bytes an access, and rows that are read so where their memory allows it.
#pragma once
#include <cstring>

#include "numbers.cuh"

namespace longspan::cuda {

// The values that 16 bytes hold
template <class T>
__device__ inline void widen(const uint4& bits, float (&x)[16 / sizeof(T)]) {
  T values[16 / sizeof(T)];
  memcpy(values, &bits, 16);
#pragma unroll
  for (int i = 0; i < int(16 / sizeof(T)); ++i) x[i] = toFloat(values[i]);
}

// x = `count` dense values; their address is a multiple of their bytes, or of 16 if they are more
template <int count, class T>
__device__ inline void loadFloats(const T* from, float (&x)[count]) {
  constexpr int bytes = count * int(sizeof(T));
  T values[count];
  if constexpr (bytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < bytes / 16; ++i) {
      const uint4 bits = reinterpret_cast<const uint4*>(from)[i];
      memcpy(values + i * (16 / sizeof(T)), &bits, 16);
    }
  } else if constexpr (bytes == 8) {
    const uint2 bits = *reinterpret_cast<const uint2*>(from);
    memcpy(values, &bits, 8);
  } else {
#pragma unroll
    for (int i = 0; i < count; ++i) values[i] = from[i];
  }
#pragma unroll
  for (int i = 0; i < count; ++i) x[i] = toFloat(values[i]);
}

template <int count, class T>
__device__ inline void storeFloats(T* to, const float (&x)[count]) {
  constexpr int bytes = count * int(sizeof(T));
  T values[count];
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = fromFloat<T>(x[i]);
  if constexpr (bytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < bytes / 16; ++i) {
      uint4 bits;
      memcpy(&bits, values + i * (16 / sizeof(T)), 16);
      reinterpret_cast<uint4*>(to)[i] = bits;
    }
  } else if constexpr (bytes == 8) {
    uint2 bits;
    memcpy(&bits, values, 8);
    *reinterpret_cast<uint2*>(to) = bits;
  } else {
#pragma unroll
    for (int i = 0; i < count; ++i) to[i] = values[i];
  }
}

// The same for a dtype known at run time only
template <int count>
__device__ inline void loadAny(const void* data, DType dtype, int64_t at, float (&x)[count]) {
  if (dtype == DType::Float32) return loadFloats(static_cast<const float*>(data) + at, x);
  if (dtype == DType::Float16) return loadFloats(static_cast<const __half*>(data) + at, x);
  loadFloats(static_cast<const __nv_bfloat16*>(data) + at, x);
}
template <int count>
__device__ inline void storeAny(void* data, DType dtype, int64_t at, const float (&x)[count]) {
  if (dtype == DType::Float32) return storeFloats(static_cast<float*>(data) + at, x);
  if (dtype == DType::Float16) return storeFloats(static_cast<__half*>(data) + at, x);
  storeFloats(static_cast<__nv_bfloat16*>(data) + at, x);
}

// How a kernel reads rows: T's, `width` at a time, or (width 1) whatever the dtype and stride at run time say
template <class T, int count>
struct RowKind {
  using Type = T;
  static constexpr int width = count;
};
template <class T, int width>
__device__ inline void readRow(const void* data, DType dtype, int64_t at, float (&x)[width]) {
  if constexpr (width == 1) {
    x[0] = loadFloat(data, dtype, at);
  } else {
    loadFloats(static_cast<const T*>(data) + at, x);
  }
}
template <class T, int width>
__device__ inline void writeRow(void* data, DType dtype, int64_t at, const float (&x)[width]) {
  if constexpr (width == 1) {
    storeAny(data, dtype, at, x);
  } else {
    storeFloats(static_cast<T*>(data) + at, x);
  }
}

// Whether the rows along the last axis of a view can be read 16 bytes at a time
inline bool hasVectorRows(const TensorView& view) {
  const int last = view.rank - 1, width = 16 / sizeOf(view.dtype);
  if (view.strides[last] != 1 || view.shape[last] % width != 0) return false;
  if (reinterpret_cast<uintptr_t>(view.data) % 16 != 0) return false;
  for (int axis = 0; axis < last; ++axis) {
    if (view.shape[axis] > 1 && view.strides[axis] % width != 0) return false;
  }
  return true;
}

// f(RowKind) for rows of `dtype`
template <class F>
void forRowKind(const char* what, DType dtype, bool vectors, const F& f) {
  forFloat(what, dtype, [&](auto type) {
    if (vectors) return f(RowKind<decltype(type), 16 / int(sizeof(type))>{});
    f(RowKind<float, 1>{});
  });
}

}  // namespace longspan::cuda
