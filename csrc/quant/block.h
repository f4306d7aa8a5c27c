// What the quantised dtypes of packed weights have in common: 32 values of a row share a scale, kept in float16, and
// each value is a whole number of `bits` bits times it, exactly so in float32. A block of them is `bits` words of 32
// bits; value i is in word i / 4 % bits, as GGUF orders them, in two's complement.
#pragma once
#include "../core/dtype.h"
#include "../core/host_device.h"

namespace longspan {

inline constexpr int quantisedBlock = 32;

template <class Format>
LONGSPAN_HD constexpr int wordOf(int i) {
  return i / 4 % Format::bits;
}
// From which bit of its word on value i lies
template <class Format>
LONGSPAN_HD constexpr int bitOf(int i) {
  return i % 4 * 8 + i / (4 * Format::bits) * Format::bits;
}

LONGSPAN_HD float magnitude(float x) { return x < 0 ? -x : x; }

// Quantises 32 values as llama.cpp does: to words, by the scale that is given back and still to be rounded to float16.
// Of a block with an infinity or a NaN all values are NaN.
template <class Format>
LONGSPAN_HD float quantise(const float* x, uint32_t (&words)[Format::bits]) {
  float extreme = 0;  // the first of those furthest from 0, or a NaN
  for (int i = 0; i < quantisedBlock; ++i)
    if (extreme == extreme && !(magnitude(x[i]) <= magnitude(extreme))) extreme = x[i];
  const float scale = Format::scaleOf(extreme), inverse = scale == 0 ? 0 : 1 / scale;
  for (int i = 0; i < Format::bits; ++i) words[i] = 0;
  for (int i = 0; i < quantisedBlock; ++i) {
    const uint32_t level = uint32_t(Format::levelOf(x[i] * inverse)) & ((1u << Format::bits) - 1);
    words[wordOf<Format>(i)] |= level << bitOf<Format>(i);
  }
  return scale;
}

}  // namespace longspan
