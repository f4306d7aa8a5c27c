// The device's layout of a quantised weight (csrc/quant), its rows one behind the other and then their scales:
//   words [outFeatures, padded to 64][depth / 32][bits]      float16 scales [outFeatures, padded to 64][depth / 32]
// depth is inFeatures padded to 32. Every row begins at a multiple of 16 bytes.
#pragma once
#include "../csrc/quant/quantised.h"
#include "numbers.cuh"

namespace longspan::cuda {

LONGSPAN_HD constexpr int64_t paddedFeatures(int64_t outFeatures) {
  return (outFeatures + panelWidth - 1) / panelWidth * panelWidth;
}

// The whole number that begins at a bit of its word
template <class Format>
__device__ inline float levelAt(uint32_t word, int bit) {
  constexpr int spare = 32 - Format::bits;
  return float(int32_t(word << (spare - bit)) >> spare);
}

template <class Format>
struct QuantisedRows {
  const uint32_t* words;
  const __half* scales;
  int64_t blocks;  // of a row

  __device__ QuantisedRows(const void* packed, int64_t outFeatures, int64_t depth)
      : words(static_cast<const uint32_t*>(packed)), blocks(depth / quantisedBlock) {
    scales = reinterpret_cast<const __half*>(words + paddedFeatures(outFeatures) * blocks * Format::bits);
  }
  __device__ float scale(int64_t row, int64_t block) const { return __half2float(scales[row * blocks + block]); }
  // The whole numbers k to k + count − 1 of a row; k and count are multiples of 4, all of them of one block
  template <int count>
  __device__ void levels(int64_t row, int64_t k, float (&x)[count]) const {
    const int within = int(k % quantisedBlock);
    const uint32_t* from = words + (row * blocks + k / quantisedBlock) * Format::bits;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      x[i] = levelAt<Format>(from[wordOf<Format>(within + i)], bitOf<Format>(within + i));
    }
  }
  __device__ float value(int64_t row, int64_t k) const {
    const int within = int(k % quantisedBlock);
    const uint32_t word = words[(row * blocks + k / quantisedBlock) * Format::bits + wordOf<Format>(within)];
    return scale(row, k / quantisedBlock) * levelAt<Format>(word, bitOf<Format>(within));
  }
};

}  // namespace longspan::cuda
