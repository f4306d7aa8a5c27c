// Rows of a cache that take 8 bits a value: code · scale, with one scale a row. A row with a value that is not finite
// has the scale NaN, so that it reads as NaN throughout; a row of zeros has the scale 0.
#pragma once
#include "../csrc/core/kv_cache_view.h"
#include "numbers.cuh"

namespace longspan::cuda {

// The largest code; `largest` is that of the row's magnitudes, infinite where one is not finite.
__device__ inline float scaleOf(float largest, KVCoding coding) {
  if (largest == INFINITY) return NAN;
  return largest / (coding == KVCoding::Int8 ? 127.f : 448.f);
}

// The nearest e4m3, ties to even: sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinities, 0x7f is NaN.
// Beyond 448 it is 448.
__device__ inline unsigned char toFloat8(float x) {
  const unsigned sign = __float_as_uint(x) >> 24 & 0x80;
  if (x != x) return static_cast<unsigned char>(sign | 0x7f);
  const float size = fminf(fabsf(x), 448.f);
  if (size < 0x1p-6f) return static_cast<unsigned char>(sign | unsigned(__float2int_rn(size * 512)));
  const unsigned bits = __float_as_uint(size);
  const unsigned rounded = (bits + 0x7ffff + (bits >> 20 & 1)) >> 20;
  return static_cast<unsigned char>(sign | (rounded - (120 << 3)));
}
__device__ inline unsigned char toInt8(float x) {
  return static_cast<unsigned char>(__float2int_rn(fminf(fmaxf(x, -127.f), 127.f)));
}
__device__ inline unsigned char encode(float x, float scale, KVCoding coding) {
  const float code = scale > 0 ? x / scale : 0;
  return coding == KVCoding::Int8 ? toInt8(code) : toFloat8(code);
}

// Value `n` of the four codes in a word, before it is scaled
template <KVCoding coding>
__device__ __forceinline__ float decodeOne(uint32_t word, int n) {
  const uint32_t code = word >> 8 * n & 0xff;
  if constexpr (coding == KVCoding::Int8) return __uint_as_float(0x4b000000 | (code ^ 0x80)) - 8388736.f;  // 2^23 + 128
  if ((code & 0x7f) == 0x7f) return NAN;
  return __uint_as_float((code & 0x80) << 24 | (code & 0x7f) << 20) * 0x1p120f;
}
__device__ __forceinline__ float decodeOne(unsigned char code, KVCoding coding) {
  return coding == KVCoding::Int8 ? decodeOne<KVCoding::Int8>(code, 0) : decodeOne<KVCoding::Float8>(code, 0);
}

}  // namespace longspan::cuda
