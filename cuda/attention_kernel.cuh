// Attention of a tile of queries (Dao 2023, FlashAttention-2), for sm_80 and later: online softmax in powers of two
// over the tiles of keys that the pattern visits, rows of K and V under way while others are multiplied. The one body
// for prefill, where the warps of a block have rows of their own and share each tile of keys, and for few rows, where
// they share the rows and each has its own tiles.
#pragma once
#include "attention_products.cuh"
#include "attention_rows.cuh"
#include "attention_scores.cuh"
#include "launch.cuh"

namespace longspan::cuda {

template <class T, int Dim, bool FewRows>
struct AttentionTile {
  static constexpr bool isFloat32 = sizeof(T) == 4;
  static constexpr TileShape shape = tileShape(isFloat32, FewRows, Dim);
  static constexpr int tileKV = shape.tileKV, stages = shape.stages, columns = tileKV / 8;
  static constexpr int loaders = FewRows ? 32 : shape.threads();  // of one tile of keys
  using Layout = TileLayout<T, Dim>;

  static constexpr int endLength = Dim + 8;  // floats of a row at the end
  static constexpr size_t queryBytes = Layout::bytes(shape.rows()), tileBytes = Layout::bytes(tileKV);
  static constexpr size_t loopBytes = queryBytes + shape.keyWarps * stages * 2 * tileBytes;
  static constexpr size_t endBytes = size_t(shape.rows()) * shape.keyWarps * (endLength + 2) * sizeof(float);
  static constexpr size_t sharedBytes = loopBytes > endBytes ? loopBytes : endBytes;
  static_assert(sharedBytes <= sharedLimit);
  static_assert(queryBytes % 128 == 0 && tileBytes % 128 == 0);

  const AttentionBlock& block;
  const int lane, warp, firstRow;  // of the warp's rows in the block
  T *queryTile, *keyTiles, *valueTiles;
  KeyTiles tiles;
  int taken = 0;  // tiles of keys, by all warps
  Products<T, Dim, tileKV> products;
  float out[Dim / 8][4];
  float maximum[2], sum[2];  // of the lane's two rows; sums of its own columns

  __device__ __forceinline__ explicit AttentionTile(const AttentionBlock& b)
      : block(b), lane(threadIdx.x % 32), warp(threadIdx.x / 32), firstRow(FewRows ? 0 : warp * 16) {
    unsigned char* shared = dynamicShared();
    queryTile = reinterpret_cast<T*>(shared);
    keyTiles = reinterpret_cast<T*>(shared + queryBytes + (FewRows ? warp : 0) * stages * 2 * tileBytes);
    valueTiles = keyTiles + stages * tileBytes / sizeof(T);
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) out[n][0] = out[n][1] = out[n][2] = out[n][3] = 0;
    maximum[0] = maximum[1] = -INFINITY;
    sum[0] = sum[1] = 0;
  }

  __device__ __forceinline__ static float power(float x) {
    if constexpr (isFloat32) return exp2f(x);
    return exp2Fast(x);
  }
  // Those who load a tile together
  __device__ __forceinline__ static void meet() {
    if constexpr (FewRows)
      __syncwarp();
    else
      __syncthreads();
  }

  struct Tile {
    Rows keys;  // none: there are no more
    bool full;
  };
  __device__ __forceinline__ Tile take() {
    for (;;) {
      if (!tiles.visited) {
        if (tiles.next() >= tiles.end) return {Rows{}, false};
        tiles = moreTiles(*block.pattern, block.queries, tileKV, tiles);
        if (!tiles.visited) return {Rows{}, false};
      }
      const int first = __ffs(int(tiles.visited)) - 1;
      tiles.visited &= tiles.visited - 1;
      if (FewRows && taken++ % shape.keyWarps != warp) continue;
      const Rows keys = tiles.rowsOf(first, tileKV);
      return {keys, (tiles.full >> first & 1) && keys.count == tileKV};
    }
  }

  __device__ __forceinline__ void loadKeys(const Tile& tile, int stage) {
    const int thread = FewRows ? lane : int(threadIdx.x);
    if (tile.keys.count)
      loadKeyRows<T, Dim, tileKV, loaders>(keyTiles + stage * tileBytes / sizeof(T), block, block.launch->keys,
                                           block.keys, tile.keys, thread);
    commitCopies();
  }
  __device__ __forceinline__ void loadValues(const Tile& tile, int stage) {
    const int thread = FewRows ? lane : int(threadIdx.x);
    if (tile.keys.count)
      loadKeyRows<T, Dim, tileKV, loaders>(valueTiles + stage * tileBytes / sizeof(T), block, block.launch->values,
                                           block.values, tile.keys, thread);
    commitCopies();
  }

  // −∞ where a row does not see the key
  __device__ __forceinline__ void hide(float (&s)[columns][4], uint32_t seen) {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) words[i] = __shfl_sync(everyLane, seen, (lane & ~3) | i) >> lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      const uint32_t bits = columns == 8 ? words[j / 2] >> j % 2 * 8 : words[j];
      if (!(bits & 1)) s[j][0] = -INFINITY;
      if (!(bits & 2)) s[j][1] = -INFINITY;
      if (!(bits & 1 << 16)) s[j][2] = -INFINITY;
      if (!(bits & 2 << 16)) s[j][3] = -INFINITY;
    }
  }

  // Scores become probabilities, O and the sums are brought to the new maximum
  __device__ __forceinline__ void exponentiate(float (&s)[columns][4]) {
    const float scale = block.launch->exponentScale;
    float factor[2], base[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float highest = maximum[r];
#pragma unroll
      for (int j = 0; j < columns; ++j) highest = fmaxf(highest, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
      highest = fmaxf(highest, __shfl_xor_sync(everyLane, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(everyLane, highest, 2));
      base[r] = highest == -INFINITY ? 0 : highest;
      factor[r] = power((maximum[r] - base[r]) * scale);
      maximum[r] = highest;
      sum[r] *= factor[r];
    }
    if (__any_sync(everyLane, factor[0] != 1 || factor[1] != 1)) {
#pragma unroll
      for (int n = 0; n < Dim / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) out[n][i] *= factor[i / 2];
    }
#pragma unroll
    for (int j = 0; j < columns; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (isFloat32)
          s[j][i] = power((s[j][i] - base[i / 2]) * scale);
        else
          s[j][i] = power(fmaf(s[j][i], scale, -base[i / 2] * scale));
        sum[i / 2] += s[j][i];
      }
  }

  __device__ __forceinline__ void change(float (&s)[columns][4], const Rows& keys) {
    float changed[columns * 4];
#pragma unroll
    for (int i = 0; i < columns * 4; ++i) changed[i] = s[i / 4][i % 4];
    changeScores(block, firstRow, keys, tileKV, changed);
#pragma unroll
    for (int i = 0; i < columns * 4; ++i) s[i / 4][i % 4] = changed[i];
  }

  __device__ __forceinline__ void attend() {
    const bool hasRows = firstRow < block.numRows();
    tiles = beginTiles(*block.pattern, block.queries, tileKV, block.part, block.launch->numParts);
    Tile now = take();
    loadQueryRows<T, Dim, shape.rows(), shape.threads()>(queryTile, block, threadIdx.x);
    loadKeys(now, 0);
    if constexpr (stages == 2) loadValues(now, 0);
    waitCopies<stages - 1>();
    __syncthreads();
    products.begin(queryTile, firstRow, lane);
#pragma unroll 1
    for (int stage = 0; now.keys.count; stage = stages == 2 ? stage ^ 1 : 0) {
      const Tile next = take();
      waitCopies<stages - 1>();
      meet();
      if constexpr (stages == 2)
        loadKeys(next, stage ^ 1);
      else
        loadValues(now, 0);
      uint32_t seen = ~0u;
      if (!now.full) seen = hasRows ? seenKeys(block, firstRow, now.keys, tileKV) : 0;
      const bool sees = __any_sync(everyLane, seen != 0);
      float s[columns][4];
      if (sees) {
        products.scores(s, queryTile, firstRow, keyTiles + stage * tileBytes / sizeof(T), block.launch->headDim, lane);
        if (block.launch->bent) change(s, now.keys);
        if (!now.full) hide(s, seen);
      }
      waitCopies<stages - 1>();
      meet();
      if constexpr (stages == 2)
        loadValues(next, stage ^ 1);
      else
        loadKeys(next, 0);
      if (sees) {
        exponentiate(s);
        products.addValues(out, s, valueTiles + stage * tileBytes / sizeof(T), lane);
      }
      now = next;
    }
    waitCopies<0>();
  }

  // O, maximum and sum of all rows to shared memory, and from there a row a warp to where they belong
  __device__ __forceinline__ void finish() {
    __syncthreads();
    float* outs = reinterpret_cast<float*>(dynamicShared());
    float* states = outs + shape.rows() * shape.keyWarps * endLength;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum[r] += __shfl_xor_sync(everyLane, sum[r], 1);
      sum[r] += __shfl_xor_sync(everyLane, sum[r], 2);
      const int row = warp * 16 + lane / 4 + 8 * r;
#pragma unroll
      for (int n = 0; n < Dim / 8; ++n)
        *reinterpret_cast<float2*>(outs + row * endLength + products.columnOf(n, lane)) =
            make_float2(out[n][2 * r], out[n][2 * r + 1]);
      if (lane % 4 == 0) *reinterpret_cast<float2*>(states + row * 2) = make_float2(maximum[r], sum[r]);
    }
    __syncthreads();
    const AttentionLaunch& launch = *block.launch;
    const int numRows = minOf(block.numRows(), shape.rows());
#pragma unroll 1
    for (int row = warp; row < numRows; row += shape.threads() / 32) {
      const RowParts parts = {outs + row * endLength, states + row * 2, shape.keyWarps, 16 * endLength, 32};
      const MergedRow<Dim> merged = mergeParts<Dim>(launch, parts, lane);
      const AttentionRow place = rowOf(block, row);
      if (!place.exists) continue;
      if (launch.numParts == 1) {
        finishRow(block, place, merged, lane);
        continue;
      }
      const int64_t at = (block.slot * launch.numParts + block.part) * launch.rowsPerBlock + row;
#pragma unroll
      for (int i = 0; i < Dim / 32; ++i) launch.partOuts[at * Dim + lane + 32 * i] = merged.out[i];
      if (lane == 0) launch.partStates[at * 2] = merged.maximum, launch.partStates[at * 2 + 1] = merged.sum;
    }
  }
};

template <class T, int Dim, bool FewRows>
__global__ void __launch_bounds__(AttentionTile<T, Dim, FewRows>::shape.threads(), 1)
    attentionTile(const __grid_constant__ AttentionLaunch launch) {
  const AttentionBlock block = blockOf(launch, blockIdx.x / launch.numParts, blockIdx.x % launch.numParts);
  if (block.queries.count == 0) return;
  AttentionTile<T, Dim, FewRows> tile(block);
  tile.attend();
  tile.finish();
}

template <class T, int Dim, bool FewRows>
bool launchTiles(const AttentionLaunch& description) {
  using Tile = AttentionTile<T, Dim, FewRows>;
  const int64_t blocks = description.numSlots() * description.numParts;
  return launch("attention", attentionTile<T, Dim, FewRows>, unsigned(blocks), unsigned(Tile::shape.threads()),
                Tile::sharedBytes, description);
}
template <class T, bool FewRows>
bool launchTilesOf(const AttentionLaunch& description) {
  switch (description.dim) {
    case 64:
      return launchTiles<T, 64, FewRows>(description);
    case 96:
      return launchTiles<T, 96, FewRows>(description);
    case 128:
      return launchTiles<T, 128, FewRows>(description);
    case 192:
      return launchTiles<T, 192, FewRows>(description);
    default:
      return launchTiles<T, 256, FewRows>(description);
  }
}

}  // namespace longspan::cuda
