// Stands in for NVIDIA's header where tests compile kernels for the CPU: keywords, vectors, and the parts beside this
// file. Written from the CUDA documentation; only what our sources use.
#pragma once
#include <math.h>  // before the macros below: the C library has some of their names
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static  // blocks run one after another, launches too
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __builtin_assume(condition) ((void)0)

// Vectors of numbers: real sizes and alignments, so that UndefinedBehaviorSanitizer sees a crooked access.
#define LONGSPAN_VECTOR_1(type, name, bytes) \
  struct name##1 {                           \
    type x;                                  \
  };                                         \
  constexpr name##1 make_##name##1(type x) { return {x}; }
#define LONGSPAN_VECTOR_2(type, name, bytes) \
  struct alignas(bytes) name##2 {            \
    type x, y;                               \
  };                                         \
  constexpr name##2 make_##name##2(type x, type y) { return {x, y}; }
#define LONGSPAN_VECTOR_3(type, name) \
  struct name##3 {                    \
    type x, y, z;                     \
  };                                  \
  constexpr name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }
#define LONGSPAN_VECTOR_4(type, name, bytes) \
  struct alignas(bytes) name##4 {            \
    type x, y, z, w;                         \
  };                                         \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
#define LONGSPAN_VECTORS(type, name, two, four) \
  LONGSPAN_VECTOR_1(type, name, 0)              \
  LONGSPAN_VECTOR_2(type, name, two)            \
  LONGSPAN_VECTOR_3(type, name)                 \
  LONGSPAN_VECTOR_4(type, name, four)

LONGSPAN_VECTORS(signed char, char, 2, 4)
LONGSPAN_VECTORS(unsigned char, uchar, 2, 4)
LONGSPAN_VECTORS(short, short, 4, 8)
LONGSPAN_VECTORS(unsigned short, ushort, 4, 8)
LONGSPAN_VECTORS(int, int, 8, 16)
LONGSPAN_VECTORS(unsigned, uint, 8, 16)
LONGSPAN_VECTORS(long long, longlong, 16, 16)
LONGSPAN_VECTORS(unsigned long long, ulonglong, 16, 16)
LONGSPAN_VECTORS(float, float, 8, 16)
LONGSPAN_VECTORS(double, double, 16, 16)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#include "emulated_device.h"
#include "emulated_math.h"
#include "emulated_runtime.h"
