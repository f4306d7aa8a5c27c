// What becomes of a sum of matmul: + bias, activation, + residual, and into out.
#pragma once
#include "activate.cuh"
#include "vectors.cuh"

namespace longspan::cuda {

constexpr int epilogueWidth = 4;

struct Epilogue {
  const float* bias;     // [columns], may be null
  const void* residual;  // [rows, columns], may be null, may be out
  void* out;             // [rows, columns]
  int64_t rows, columns, residualStride, outStride;
  DType residualType, outType;
  Activation activation;
  bool vectors;  // epilogueWidth columns lie aligned in each of them
};

template <int width>
__device__ inline void finish(const Epilogue& epilogue, int64_t row, int64_t column, float (&x)[width]) {
  float other[width];
  if (epilogue.bias) {
    loadFloats(epilogue.bias + column, other);
#pragma unroll
    for (int i = 0; i < width; ++i) x[i] += other[i];
  }
  activateAll(epilogue.activation, x);
  if (epilogue.residual) {
    loadAny(epilogue.residual, epilogue.residualType, row * epilogue.residualStride + column, other);
#pragma unroll
    for (int i = 0; i < width; ++i) x[i] += other[i];
  }
  storeAny(epilogue.out, epilogue.outType, row * epilogue.outStride + column, x);
}

// A tile of sums in shared memory, its rows `stride` apart, becomes output.
template <int tileRows, int tileColumns, int stride, int threads>
__device__ inline void finishTile(const Epilogue& epilogue, const float* tile, int64_t firstRow, int64_t firstColumn) {
#pragma unroll 1
  for (int at = threadIdx.x * epilogueWidth; at < tileRows * tileColumns; at += threads * epilogueWidth) {
    const float* sums = tile + at / tileColumns * stride + at % tileColumns;
    const int64_t row = firstRow + at / tileColumns, column = firstColumn + at % tileColumns;
    const int64_t count = epilogue.columns - column;
    if (row >= epilogue.rows || count <= 0) continue;
    if (epilogue.vectors && count >= epilogueWidth) {
      float x[epilogueWidth];
      loadFloats(sums, x);
      finish(epilogue, row, column, x);
    } else {
#pragma unroll 1
      for (int i = 0; i < epilogueWidth && i < count; ++i) {
        float x[1] = {sums[i]};
        finish(epilogue, row, column + i, x);
      }
    }
  }
}

// Which tile of the product a block makes: 8 tiles of rows go through the columns together, so that both operands of
// the blocks that run at once stay in the L2 cache.
struct TilePlace {
  int64_t row, column;
};
__device__ inline TilePlace placeOf(int64_t index, int64_t tileRows, int64_t tileColumns) {
  constexpr int64_t together = 8;
  const int64_t group = index / (together * tileColumns), within = index - group * together * tileColumns;
  const int64_t rest = tileRows - group * together, height = rest < together ? rest : together;
  return {group * together + within % height, within / height};
}

}  // namespace longspan::cuda
