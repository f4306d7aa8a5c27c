// One value of any dtype from a double, on the host and outside kernels (building tensors from JavaScript numbers).
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "dtype.h"

namespace longspan {

inline uint16_t toBFloat16Bits(double value) {
  float rounded = float(value);
  // a double between two floats must not be rounded twice: nudge towards odd (von Neumann rounding)
  if (double(rounded) != value && std::isfinite(value) && std::isfinite(rounded)) {
    float towardsZero = std::abs(double(rounded)) > std::abs(value) ? std::nextafter(rounded, 0.f) : rounded;
    rounded = std::bit_cast<float>(std::bit_cast<uint32_t>(towardsZero) | 1u);
  }
  uint32_t bits = std::bit_cast<uint32_t>(rounded);
  if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline uint16_t toFloat16Bits(double value) {
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  double magnitude = std::abs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 0x1p-14) return sign | uint16_t(std::nearbyint(magnitude * 0x1p24));
  int exponent;
  double mantissa = std::frexp(magnitude, &exponent);               // [0.5, 1)
  auto steps = uint32_t(std::nearbyint(std::ldexp(mantissa, 11)));  // 1024 … 2048
  return sign | uint16_t(((exponent + 14) << 10) + (steps - 1024));
}

template <class T>
T saturated(double value) {
  if (std::isnan(value)) return 0;
  return value <= double(std::numeric_limits<T>::min())   ? std::numeric_limits<T>::min()
         : value >= double(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::max()
                                                          : T(value);
}

inline void storeNumber(void* data, DType dtype, size_t i, double value) {
  switch (dtype) {
    case DType::Float32:
      static_cast<float*>(data)[i] = float(value);
      break;
    case DType::Float16:
      static_cast<uint16_t*>(data)[i] = toFloat16Bits(value);
      break;
    case DType::BFloat16:
      static_cast<uint16_t*>(data)[i] = toBFloat16Bits(value);
      break;
    case DType::Int8:
      static_cast<int8_t*>(data)[i] = saturated<int8_t>(value);
      break;
    case DType::UInt8:
      static_cast<uint8_t*>(data)[i] = saturated<uint8_t>(value);
      break;
    case DType::Int32:
      static_cast<int32_t*>(data)[i] = saturated<int32_t>(value);
      break;
    case DType::Int64:
      static_cast<int64_t*>(data)[i] = saturated<int64_t>(value);
      break;
    default:  // of packed weights
      break;
  }
}

}  // namespace longspan
