// matmul for many rows, in tiles of out: bfloat16 on bfloat16 and on quantised weights by tensor cores, all else in
// float32. The whole numbers of a quantised weight are bfloat16 as they are; their scales go to the sums of each block.
#pragma once
#include "epilogue.cuh"
#include "launch.cuh"
#include "ptx.cuh"
#include "quantised.cuh"
#include "walk.cuh"

namespace longspan::cuda {

struct GemmLaunch {
  const void *x, *weight;  // [rows, depth], [columns, depth]
  int64_t depth, xStride, weightStride;
  bool xVectors, weightVectors;  // 16 bytes (of float32 x: and of 4 values) lie aligned in every row
  int64_t tileRows, tileColumns;
  Epilogue epilogue;
};

// A tile of rows × columns, its k cut into tiles of `depth`; stages − 1 of these are under way while one is multiplied
// by down × across warps.
template <int tileRows, int tileColumns, int tileDepth, int tileStages, int down, int across>
struct TensorTile {
  static constexpr int rows = tileRows, columns = tileColumns, depth = tileDepth, stages = tileStages;
  static constexpr int warpsAcross = across, threads = 32 * down * across;
  static constexpr int warpRows = rows / down, warpColumns = columns / across;
  static constexpr int stageValues = (rows + columns) * depth;
  static constexpr int sumStride = columns + 8;  // of the tile of sums: the quads of a warp fall into different banks
  static constexpr int stageBytes = stages * stageValues * 2, sumBytes = rows * sumStride * 4;
  static constexpr int sharedBytes = stageBytes > sumBytes ? stageBytes : sumBytes;
};

// Where 8 values of a row lie in a tile: turned so that 8 rows of a column of them fall into different banks
template <int depth>
__device__ inline int placeOfEight(int row, int eight) {
  constexpr int eights = depth / 8, rowsPerLine = eights < 8 ? 8 / eights : 1;
  return row * depth + (eight ^ (row / rowsPerLine % eights)) * 8;
}

template <class Tile, int count, bool vectors>
__device__ void fetchRows(__nv_bfloat16* shared, const void* matrix, int64_t stride, int64_t first, int64_t end,
                          int64_t k, int64_t depth) {
  constexpr int eights = Tile::depth / 8;
#pragma unroll
  for (int base = 0; base < count * eights; base += Tile::threads) {
    const int at = base + threadIdx.x;
    if (count * eights % Tile::threads != 0 && at >= count * eights) break;
    const int row = at / eights, eight = at % eights;
    const int64_t from = k + eight * 8;
    const bool valid = first + row < end && from < depth;
    const __nv_bfloat16* values =
        static_cast<const __nv_bfloat16*>(matrix) + (valid ? (first + row) * stride + from : 0);
    __nv_bfloat16* to = shared + placeOfEight<Tile::depth>(row, eight);
    if constexpr (vectors) {
      copyAsync16(to, values, valid);
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) to[i] = valid && from + i < depth ? values[i] : __float2bfloat16_rn(0.f);
    }
  }
}

// The whole numbers of rows of blocks, which end where their padding does
template <class Tile, int count, class Format>
__device__ void fetchQuantised(__nv_bfloat16* shared, const QuantisedRows<Format>& rows, int64_t first, int64_t end,
                               int64_t k) {
  constexpr int eights = Tile::depth / 8;
#pragma unroll
  for (int base = 0; base < count * eights; base += Tile::threads) {
    const int at = base + threadIdx.x;
    if (count * eights % Tile::threads != 0 && at >= count * eights) break;
    const int row = at / eights, eight = at % eights;
    const int64_t from = k + eight * 8;
    float x[8] = {};
    if (first + row < end && from < rows.blocks * quantisedBlock) rows.levels(first + row, from, x);
    storeFloats(shared + placeOfEight<Tile::depth>(row, eight), x);
  }
}

template <class Tile, bool vectors, class W>
__device__ void fetchStage(const GemmLaunch& launch, __nv_bfloat16* shared, int64_t firstRow, int64_t firstColumn,
                           int64_t k) {
  fetchRows<Tile, Tile::rows, vectors>(shared, launch.x, launch.xStride, firstRow, launch.epilogue.rows, k,
                                       launch.depth);
  __nv_bfloat16* weights = shared + Tile::rows * Tile::depth;
  const int64_t columns = launch.epilogue.columns;
  if constexpr (isQuantised<W>) {
    const QuantisedRows<W> rows(launch.weight, columns, launch.weightStride);
    fetchQuantised<Tile, Tile::columns>(weights, rows, firstColumn, columns, k);
  } else {
    fetchRows<Tile, Tile::columns, vectors>(weights, launch.weight, launch.weightStride, firstColumn, columns, k,
                                            launch.depth);
  }
}

// `depth` values of k of a stage: `down` fragments of 16 rows and `across` of 8 columns a warp
template <class Tile, int depth, int down, int across>
__device__ void multiplyStage(const __nv_bfloat16* x, const __nv_bfloat16* weight, int warpRow, int warpColumn,
                              int firstEight, float (&sums)[down][across][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int eight = firstEight; eight < firstEight + depth / 8; eight += 2) {
    uint32_t a[down][4];
#pragma unroll
    for (int i = 0; i < down; ++i) {
      loadMatrices(a[i], x + placeOfEight<Tile::depth>(warpRow + i * 16 + lane % 16, eight + lane / 16));
    }
#pragma unroll
    for (int j = 0; j < across; j += 2) {
      uint32_t b[4];
      const int column = warpColumn + j * 8 + lane / 16 * 8 + lane % 8;
      loadMatrices(b, weight + placeOfEight<Tile::depth>(column, eight + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < down; ++i) {
        multiply<__nv_bfloat16>(sums[i][j], a[i], b[0], b[1]);
        multiply<__nv_bfloat16>(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// A stage whose weight is whole numbers, block by block: column is the warp's first
template <class Tile, class Format, int down, int across>
__device__ void multiplyBlocks(const __nv_bfloat16* x, const __nv_bfloat16* weight, const QuantisedRows<Format>& rows,
                               int64_t column, int64_t end, int64_t k, int warpRow, int warpColumn,
                               float (&sums)[down][across][4]) {
#pragma unroll
  for (int part = 0; part < Tile::depth / quantisedBlock; ++part) {
    const int64_t block = k / quantisedBlock + part;
    float scales[across][2], products[down][across][4] = {};
#pragma unroll
    for (int j = 0; j < 2 * across; ++j) {
      const int64_t at = column + j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2;
      scales[j / 2][j % 2] = at < end && block < rows.blocks ? rows.scale(at, block) : 0.f;
    }
    multiplyStage<Tile, quantisedBlock>(x, weight, warpRow, warpColumn, part * quantisedBlock / 8, products);
#pragma unroll
    for (int i = 0; i < down * across * 4; ++i) {
      const int row = i / (across * 4), j = i / 4 % across;
      sums[row][j][i % 4] += scales[j][i % 2] * products[row][j][i % 4];
    }
  }
}

template <class Tile, bool vectors, class W>
__global__ void __launch_bounds__(Tile::threads) tensorGemm(const __grid_constant__ GemmLaunch launch) {
  constexpr int down = Tile::warpRows / 16, across = Tile::warpColumns / 8, stages = Tile::stages;
  __nv_bfloat16* shared = reinterpret_cast<__nv_bfloat16*>(dynamicShared());
  const TilePlace place = placeOf(blockIdx.x, launch.tileRows, launch.tileColumns);
  const int64_t firstRow = place.row * Tile::rows, firstColumn = place.column * Tile::columns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warpRow = warp / Tile::warpsAcross * Tile::warpRows;
  const int warpColumn = warp % Tile::warpsAcross * Tile::warpColumns;
  const int64_t steps = (launch.depth + Tile::depth - 1) / Tile::depth;
  auto fetch = [&](int64_t step) {
    if (step < steps) {
      __nv_bfloat16* stage = shared + step % stages * Tile::stageValues;
      fetchStage<Tile, vectors, W>(launch, stage, firstRow, firstColumn, step * Tile::depth);
    }
    commitCopies();
  };

  float sums[down][across][4] = {};
#pragma unroll
  for (int step = 0; step < stages - 1; ++step) fetch(step);
#pragma unroll 1
  for (int64_t step = 0; step < steps; ++step) {
    waitCopies<stages - 2>();
    __syncthreads();
    fetch(step + stages - 1);
    const __nv_bfloat16* stage = shared + step % stages * Tile::stageValues;
    const __nv_bfloat16* weights = stage + Tile::rows * Tile::depth;
    if constexpr (isQuantised<W>) {
      const QuantisedRows<W> rows(launch.weight, launch.epilogue.columns, launch.weightStride);
      multiplyBlocks<Tile>(stage, weights, rows, firstColumn + warpColumn, launch.epilogue.columns, step * Tile::depth,
                           warpRow, warpColumn, sums);
    } else {
      multiplyStage<Tile, Tile::depth>(stage, weights, warpRow, warpColumn, 0, sums);
    }
  }
  waitCopies<0>();
  __syncthreads();

  float* tile = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < down; ++i) {
#pragma unroll
    for (int j = 0; j < across; ++j) {
      float* to = tile + (warpRow + i * 16 + lane / 4) * Tile::sumStride + warpColumn + j * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(to) = make_float2(sums[i][j][0], sums[i][j][1]);
      *reinterpret_cast<float2*>(to + 8 * Tile::sumStride) = make_float2(sums[i][j][2], sums[i][j][3]);
    }
  }
  __syncthreads();
  finishTile<Tile::rows, Tile::columns, Tile::sumStride, Tile::threads>(launch.epilogue, tile, firstRow, firstColumn);
}

// float32: 16 × 16 threads, each with parts² blocks of 4 × 4 sums, 64 rows and columns apart. Two tiles of k in turn,
// k before rows, so that a thread reads 4 rows at once.
template <int parts>
struct FloatTile {
  static constexpr int edge = 64 * parts, depth = 16, threads = 256, stride = edge + 4;
  static constexpr int stageValues = 2 * depth * stride;
  static constexpr int stageBytes = 2 * stageValues * 4, sumBytes = edge * stride * 4;
  static constexpr int sharedBytes = stageBytes > sumBytes ? stageBytes : sumBytes;
};

// What a thread brings of a tile of k: 4 values of `parts` rows
template <int parts>
struct Brought {
  float values[parts][4];
};

template <class T, int parts>
__device__ void bring(Brought<parts>& brought, const void* matrix, int64_t stride, int64_t first, int64_t end,
                      int64_t k, int64_t depth, bool vectors) {
  const int64_t from = k + threadIdx.x % 4 * 4;
#pragma unroll
  for (int part = 0; part < parts; ++part) {
    const int64_t row = first + threadIdx.x / 4 + part * 64;
    const T* values = static_cast<const T*>(matrix) + row * stride + from;
    float(&x)[4] = brought.values[part];
    if (vectors && row < end && from < depth) {
      loadFloats(values, x);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = !vectors && row < end && from + i < depth ? toFloat(values[i]) : 0.f;
    }
  }
}

template <class Format, int parts>
__device__ void bringQuantised(Brought<parts>& brought, const QuantisedRows<Format>& rows, int64_t first, int64_t end,
                               int64_t k) {
  const int64_t from = k + threadIdx.x % 4 * 4;
#pragma unroll
  for (int part = 0; part < parts; ++part) {
    const int64_t row = first + threadIdx.x / 4 + part * 64;
    float(&x)[4] = brought.values[part];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = 0.f;
    if (row >= end || from >= rows.blocks * quantisedBlock) continue;
    rows.levels(row, from, x);
    const float scale = rows.scale(row, from / quantisedBlock);
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] *= scale;
  }
}

template <int parts>
__device__ void put(const Brought<parts>& brought, float* tile) {
  constexpr int stride = FloatTile<parts>::stride;
#pragma unroll
  for (int part = 0; part < parts; ++part) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      tile[(threadIdx.x % 4 * 4 + i) * stride + threadIdx.x / 4 + part * 64] = brought.values[part][i];
    }
  }
}

template <int parts>
__device__ void multiplyTile(const float* x, const float* weight, float (&sums)[4 * parts][4 * parts]) {
  constexpr int stride = FloatTile<parts>::stride;
  const int down = threadIdx.x / 16 * 4, across = threadIdx.x % 16 * 4;
#pragma unroll
  for (int k = 0; k < FloatTile<parts>::depth; ++k) {
    float a[4 * parts], b[4 * parts];
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      const float4 rows = *reinterpret_cast<const float4*>(x + k * stride + down + part * 64);
      const float4 columns = *reinterpret_cast<const float4*>(weight + k * stride + across + part * 64);
      a[part * 4] = rows.x, a[part * 4 + 1] = rows.y, a[part * 4 + 2] = rows.z, a[part * 4 + 3] = rows.w;
      b[part * 4] = columns.x, b[part * 4 + 1] = columns.y, b[part * 4 + 2] = columns.z, b[part * 4 + 3] = columns.w;
    }
#pragma unroll
    for (int i = 0; i < 4 * parts; ++i) {
#pragma unroll
      for (int j = 0; j < 4 * parts; ++j) sums[i][j] += a[i] * b[j];
    }
  }
}

template <class X, class W, int parts>
__global__ void __launch_bounds__(256, 2) floatGemm(const __grid_constant__ GemmLaunch launch) {
  using Tile = FloatTile<parts>;
  float* shared = reinterpret_cast<float*>(dynamicShared());
  const TilePlace place = placeOf(blockIdx.x, launch.tileRows, launch.tileColumns);
  const int64_t firstRow = place.row * Tile::edge, firstColumn = place.column * Tile::edge;
  Brought<parts> x, weight;
  auto bringBoth = [&](int64_t k) {
    bring<X>(x, launch.x, launch.xStride, firstRow, launch.epilogue.rows, k, launch.depth, launch.xVectors);
    const int64_t columns = launch.epilogue.columns;
    if constexpr (isQuantised<W>) {
      const QuantisedRows<W> rows(launch.weight, columns, launch.weightStride);
      bringQuantised(weight, rows, firstColumn, columns, k);
    } else {
      bring<W>(weight, launch.weight, launch.weightStride, firstColumn, columns, k, launch.depth,
               launch.weightVectors);
    }
  };
  auto putBoth = [&](int turn) {
    put(x, shared + turn * Tile::stageValues);
    put(weight, shared + turn * Tile::stageValues + Tile::depth * Tile::stride);
  };

  float sums[4 * parts][4 * parts] = {};
  bringBoth(0);
  putBoth(0);
  __syncthreads();
  int turn = 0;
#pragma unroll 1
  for (int64_t k = 0; k < launch.depth; k += Tile::depth, turn ^= 1) {
    const bool isLast = k + Tile::depth >= launch.depth;
    if (!isLast) bringBoth(k + Tile::depth);
    const float* stage = shared + turn * Tile::stageValues;
    multiplyTile<parts>(stage, stage + Tile::depth * Tile::stride, sums);
    if (!isLast) putBoth(turn ^ 1);
    __syncthreads();
  }

  const int down = threadIdx.x / 16 * 4, across = threadIdx.x % 16 * 4;
#pragma unroll
  for (int i = 0; i < 4 * parts; ++i) {
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      float* to = shared + (down + i / 4 * 64 + i % 4) * Tile::stride + across + part * 64;
      const float* from = sums[i] + part * 4;
      *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    }
  }
  __syncthreads();
  finishTile<Tile::edge, Tile::edge, Tile::stride, Tile::threads>(launch.epilogue, shared, firstRow, firstColumn);
}

}  // namespace longspan::cuda
