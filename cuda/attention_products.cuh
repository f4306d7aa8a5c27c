// The two products of attention for 16 rows of a warp: S = Q Kᵀ and O += P V. Rows and columns lie as in the fragments
// of mma.sync: lane l holds rows l / 4 and l / 4 + 8; of S columns 8 j + 2 (l % 4) and the next. 16-bit values are
// multiplied by tensor cores, float32 by plain fused multiply-adds, with O in runs of four columns.
#pragma once
#include "attention_tiles.cuh"

namespace longspan::cuda {

__device__ __forceinline__ uint32_t packPair(float low, float high, __half) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, 4);
  return bits;
}
__device__ __forceinline__ uint32_t packPair(float low, float high, __nv_bfloat16) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, 4);
  return bits;
}

template <class T, int Dim, int TileKV>
struct Products {  // of 16-bit values
  using Layout = TileLayout<T, Dim>;
  static constexpr bool keepsQueries = Dim <= 128;  // in registers
  uint32_t queries[keepsQueries ? Dim / 16 : 1][4];

  // The first column of the pair n (of 8 columns) that this lane holds of O
  __device__ __forceinline__ static int columnOf(int n, int lane) { return 8 * n + 2 * (lane % 4); }

  __device__ __forceinline__ static void loadQueries(uint32_t (&fragment)[4], const T* tile, int firstRow, int step,
                                                     int lane) {
    loadMatrices(fragment, tile + Layout::at(firstRow + lane % 16, 16 * step + lane / 16 * 8));
  }
  __device__ __forceinline__ void begin(const T* tile, int firstRow, int lane) {
    if constexpr (keepsQueries)
#pragma unroll
      for (int step = 0; step < Dim / 16; ++step) loadQueries(queries[step], tile, firstRow, step, lane);
  }
  __device__ __forceinline__ void scores(float (&s)[TileKV / 8][4], const T* queryTile, int firstRow, const T* keys,
                                         int, int lane) {
#pragma unroll
    for (int j = 0; j < TileKV / 8; ++j) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
#pragma unroll
    for (int step = 0; step < Dim / 16; ++step) {
      if constexpr (!keepsQueries) loadQueries(queries[0], queryTile, firstRow, step, lane);
#pragma unroll
      for (int j = 0; j < TileKV / 8; j += 2) {
        uint32_t b[4];
        loadMatrices(b, keys + Layout::at(8 * j + lane % 8 + lane / 16 * 8, 16 * step + lane / 8 % 2 * 8));
        multiply<T>(s[j], queries[keepsQueries ? step : 0], b[0], b[1]);
        multiply<T>(s[j + 1], queries[keepsQueries ? step : 0], b[2], b[3]);
      }
    }
  }
  __device__ __forceinline__ static void addValues(float (&out)[Dim / 8][4], const float (&p)[TileKV / 8][4],
                                                   const T* values, int lane) {
#pragma unroll
    for (int step = 0; step < TileKV / 16; ++step) {
      const float(&low)[4] = p[2 * step], (&high)[4] = p[2 * step + 1];
      const uint32_t a[4] = {packPair(low[0], low[1], T{}), packPair(low[2], low[3], T{}),
                             packPair(high[0], high[1], T{}), packPair(high[2], high[3], T{})};
#pragma unroll
      for (int n = 0; n < Dim / 8; n += 2) {
        uint32_t b[4];
        loadMatricesTransposed(b, values + Layout::at(16 * step + lane % 16, 8 * n + lane / 16 * 8));
        multiply<T>(out[n], a, b[0], b[1]);
        multiply<T>(out[n + 1], a, b[2], b[3]);
      }
    }
  }
};

template <int Dim, int TileKV>
struct Products<float, Dim, TileKV> {
  using Layout = TileLayout<float, Dim>;

  __device__ __forceinline__ static int columnOf(int n, int lane) {
    return 16 * (n / 2) + 4 * (lane % 4) + 2 * (n % 2);
  }
  __device__ __forceinline__ void begin(const float*, int, int) {}
  __device__ __forceinline__ static void addDot(float& s, const float4& a, const float4& b) {
    s = fmaf(a.x, b.x, s);
    s = fmaf(a.y, b.y, s);
    s = fmaf(a.z, b.z, s);
    s = fmaf(a.w, b.w, s);
  }
  __device__ __forceinline__ static const float4& fourAt(const float* tile, int row, int column) {
    return *reinterpret_cast<const float4*>(tile + Layout::at(row, column));
  }
  __device__ __forceinline__ void scores(float (&s)[TileKV / 8][4], const float* queryTile, int firstRow,
                                         const float* keys, int headDim, int lane) {
#pragma unroll
    for (int j = 0; j < TileKV / 8; ++j) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
    const int row = firstRow + lane / 4, column = 2 * (lane % 4);
#pragma unroll 2
    for (int d = 0; d < headDim; d += 4) {
      const float4 upper = fourAt(queryTile, row, d), lower = fourAt(queryTile, row + 8, d);
#pragma unroll
      for (int j = 0; j < TileKV / 8; ++j) {
        const float4 first = fourAt(keys, 8 * j + column, d), second = fourAt(keys, 8 * j + column + 1, d);
        addDot(s[j][0], upper, first);
        addDot(s[j][1], upper, second);
        addDot(s[j][2], lower, first);
        addDot(s[j][3], lower, second);
      }
    }
  }
  __device__ __forceinline__ static void addValues(float (&out)[Dim / 8][4], const float (&p)[TileKV / 8][4],
                                                   const float* values, int lane) {
    float stored[TileKV / 8][4];  // in local memory: one loop for all columns
#pragma unroll
    for (int j = 0; j < TileKV / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) stored[j][i] = p[j][i];
#pragma unroll 1
    for (int j = 0; j < TileKV / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int holder = (lane & ~3) | i / 2;
        const float upper = __shfl_sync(everyLane, stored[j][i % 2], holder);
        const float lower = __shfl_sync(everyLane, stored[j][2 + i % 2], holder);
#pragma unroll
        for (int n = 0; n < Dim / 8; n += 2) {
          const float4 v = fourAt(values, 8 * j + i, columnOf(n, lane));
          out[n][0] = fmaf(upper, v.x, out[n][0]);
          out[n][1] = fmaf(upper, v.y, out[n][1]);
          out[n + 1][0] = fmaf(upper, v.z, out[n + 1][0]);
          out[n + 1][1] = fmaf(upper, v.w, out[n + 1][1]);
          out[n][2] = fmaf(lower, v.x, out[n][2]);
          out[n][3] = fmaf(lower, v.y, out[n][3]);
          out[n + 1][2] = fmaf(lower, v.z, out[n + 1][2]);
          out[n + 1][3] = fmaf(lower, v.w, out[n + 1][3]);
        }
      }
    }
  }
};

}  // namespace longspan::cuda
