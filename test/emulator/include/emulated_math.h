// Bits and mathematics of the device by those of C: more exact than the device's, so tolerances must come from the
// CUDA documentation, not from here.
#pragma once
#include <bit>
#include <cfloat>
#include <limits>

#include "cuda_runtime.h"

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)(x)) : 64; }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1) << (31 - i);
  return y;
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  unsigned y = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned choice = selector >> 4 * i & 15, byte = unsigned(bytes >> 8 * (choice & 7)) & 255;
    y |= (choice & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
  }
  return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)(a)*b >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return unsigned((uint64_t(high) << 32 | low) << (by & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return unsigned((uint64_t(high) << 32 | low) >> (by & 31));
}

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// Out of range the device holds the nearest integer, NaN becomes 0; C leaves that open.
template <class T>
T __longspan_hold(double x) {
  if (std::isnan(x)) return 0;
  if (x <= double(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return x >= double(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::max() : T(x);
}
inline int __float2int_rn(float x) { return __longspan_hold<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return __longspan_hold<int>(std::trunc(x)); }
inline int __float2int_rd(float x) { return __longspan_hold<int>(std::floor(x)); }
inline int __float2int_ru(float x) { return __longspan_hold<int>(std::ceil(x)); }
inline unsigned __float2uint_rn(float x) { return __longspan_hold<unsigned>(std::nearbyint(x)); }
inline unsigned __float2uint_rz(float x) { return __longspan_hold<unsigned>(std::trunc(x)); }
inline long long __float2ll_rn(float x) { return __longspan_hold<long long>(std::nearbyint(x)); }
inline long long __float2ll_rz(float x) { return __longspan_hold<long long>(std::trunc(x)); }
inline int __double2int_rn(double x) { return __longspan_hold<int>(std::nearbyint(x)); }
inline int __double2int_rz(double x) { return __longspan_hold<int>(std::trunc(x)); }
inline long long __double2ll_rn(double x) { return __longspan_hold<long long>(std::nearbyint(x)); }
inline long long __double2ll_rz(double x) { return __longspan_hold<long long>(std::trunc(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __ll2float_rn(long long x) { return float(x); }
inline float __double2float_rn(double x) { return float(x); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return float(1 / std::sqrt(double(x))); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
inline float rsqrtf(float x) { return float(1 / std::sqrt(double(x))); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float fdividef(float a, float b) { return a / b; }
#define __expf(x) expf(x)  // the C library declares these names
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __powf(x, y) powf(x, y)
#define __sincosf(x, sine, cosine) sincosf(x, sine, cosine)
inline void sincospi(double x, double* sine, double* cosine) {
  const double rest = M_PI * (x - 2 * std::nearbyint(x / 2));
  *sine = std::sin(rest);
  *cosine = std::cos(rest);
}
inline void sincospif(float x, float* sine, float* cosine) {
  double s, c;
  sincospi(x, &s, &c);
  *sine = float(s);
  *cosine = float(c);
}
inline float longspanSinePi(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return sine;
}
inline float longspanCosinePi(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return cosine;
}
#define sinpif(x) longspanSinePi(x)  // newer C libraries have them
#define cospif(x) longspanCosinePi(x)

// min and max of mixed numbers, as CUDA's: in the type that arithmetic would give.
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  return T(a) < T(b) ? T(b) : T(a);
}
