// What a coded cache holds of a row, worked out without bits: the reference for cuda/cache_coding.cuh.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/kv_cache_view.h"

namespace longspan::test {

// Of a code of e4m3
inline float float8Value(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const float size = exponent ? std::ldexp(8.f + float(mantissa), exponent - 10) : std::ldexp(float(mantissa), -9);
  if ((code & 0x7f) == 0x7f) return NAN;
  return code & 0x80 ? -size : size;
}
// The nearest of all; of two as near, the even one
inline int nearestFloat8(float x) {
  int nearest = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const double closer = std::fabs(double(std::fabs(x)) - double(float8Value(code))) -
                          std::fabs(double(std::fabs(x)) - double(float8Value(nearest)));
    if (closer < 0 || (closer == 0 && code % 2 == 0)) nearest = code;
  }
  return std::signbit(x) ? nearest | 0x80 : nearest;
}

struct CodedRow {
  float scale = 0;
  std::vector<unsigned char> codes;
  float value(size_t d, KVCoding coding) const {
    return (coding == KVCoding::Int8 ? float(static_cast<signed char>(codes[d])) : float8Value(codes[d])) * scale;
  }
};
inline CodedRow codedRow(const float* row, int dim, KVCoding coding) {
  CodedRow coded;
  const bool isInt8 = coding == KVCoding::Int8;
  bool isFinite = true;
  float largest = 0;
  for (int d = 0; d < dim; ++d) {
    isFinite = isFinite && std::isfinite(row[d]);
    largest = std::max(largest, std::fabs(row[d]));
  }
  coded.scale = isFinite ? largest / (isInt8 ? 127.f : 448.f) : NAN;
  for (int d = 0; d < dim; ++d) {
    const float code = coded.scale > 0 ? row[d] / coded.scale : 0;
    const int whole = int(std::clamp(std::nearbyint(code), -127.f, 127.f));
    coded.codes.push_back(static_cast<unsigned char>(isInt8 ? whole : nearestFloat8(code)));
  }
  return coded;
}

}  // namespace longspan::test
