// float16 on the CPU: conversions are exact, to nearest even, NaN kept; arithmetic goes through float32.
#pragma once
#include <bit>

#include "cuda_runtime.h"

namespace longspan::emulator {

inline float fromHalf(unsigned short bits) {
  const unsigned sign = unsigned(bits & 0x8000) << 16, rest = bits & 0x7fff;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | rest << 13);
  const float size = std::bit_cast<float>(rest << 13) * 0x1p112f;  // the exponent's bias: also right for denormals
  return std::bit_cast<float>(std::bit_cast<unsigned>(size) | sign);
}
inline unsigned short toHalf(float x) {
  const unsigned bits = std::bit_cast<unsigned>(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return 0x7fff;
  if (rest >= 0x477ff000) return static_cast<unsigned short>(sign | 0x7c00);  // 65520 and up
  if (rest < 0x38800000) {  // below 2^-14: the sum's last place is a float16 denormal's
    const unsigned sum = std::bit_cast<unsigned>(std::bit_cast<float>(rest) + 0.5f);
    return static_cast<unsigned short>(sign | (sum - 0x3f000000));
  }
  return static_cast<unsigned short>(sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13);
}

}  // namespace longspan::emulator

struct __half {
  unsigned short bits;
  __half() = default;
  __half(float x) : bits(longspan::emulator::toHalf(x)) {}
  operator float() const { return longspan::emulator::fromHalf(bits); }
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) { return std::bit_cast<__half>(bits); }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline __half2 __float22half2_rn(float2 v) { return {v.x, v.y}; }
inline __half2 __float2half2_rn(float x) { return {x, x}; }
inline float2 __half22float2(__half2 v) { return {v.x, v.y}; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline float __low2float(__half2 v) { return v.x; }
inline float __high2float(__half2 v) { return v.y; }
