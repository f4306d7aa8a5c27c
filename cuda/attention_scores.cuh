// What becomes of the scores of a row before they are masked: the terms of csrc/cpu/score_terms.inl and
// flash_attention_softmax.inl, in their order. They are rare and long, so they work on scores in local memory and are
// there once, not in every kernel of tiles.
#pragma once
#include "attention_block.cuh"

namespace longspan::cuda {

// A bias by distance from a table, and spans that expire: the logarithm of a weight
__device__ __forceinline__ float scoreTerms(const AttentionLaunch& launch, int batch, int head, int position, int key) {
  float term = 0;
  const int distance = position - key;
  if (launch.distanceBias) {
    const DeviceTensor& table = launch.distanceBias;
    const int at = minOf(maxOf(distance - launch.firstDistance, 0), launch.numDistances - 1);
    term += table.as<float>()[head * table.strides[0] + at * table.strides[1]];
  }
  if (launch.expireSpans) {
    const DeviceTensor& spans = launch.expireSpans;
    const float span = spans.as<float>()[batch * spans.strides[0] + key * spans.strides[1]];
    const float weight = (span - float(distance)) / launch.expireRamp + 1;
    term += weight >= 1 ? 0 : weight > 0 ? logf(weight) : -INFINITY;
  }
  return term;
}

// The score of one pair, as a natural logarithm, from q · k
__device__ __forceinline__ float changedScore(const AttentionBlock& block, const AttentionRow& row, int key,
                                              float rowScale, float slope, float x) {
  const AttentionLaunch& launch = *block.launch;
  const int position = row.query + block.offset;
  if (launch.keyNorms)
    x *= launch.keyNorms[(int64_t(block.batch) * launch.numKVHeads + block.kvHead) * launch.seqLenKV + key];
  x *= launch.scale;
  if (launch.queryScale) x *= rowScale;
  if (launch.softcap > 0) x = launch.softcap * tanhf(x / launch.softcap);
  if (launch.alibiSlopes) x -= slope * fabsf(float(key - position));
  if (launch.distanceBias || launch.expireSpans) x += scoreTerms(launch, block.batch, row.head, position, key);
  if (launch.bias) {
    const int64_t* strides = launch.bias.strides;
    x += loadFloat(launch.bias.data, launch.bias.dtype,
                   block.batch * strides[0] + row.head * strides[1] + row.query * strides[2] + key * strides[3]);
  }
  return launch.selfScore != 0 && key == row.query ? launch.selfScore : x;
}

// scores [tileKV / 8][4] of this lane, as they lie in fragments; `firstRow` is the warp's
__device__ __noinline__ inline void changeScores(const AttentionBlock& block, int firstRow, const Rows& keys,
                                                 int tileKV, float* scores) {
  const AttentionLaunch& launch = *block.launch;
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int half = 0; half < 2; ++half) {
    const AttentionRow row = rowOf(block, firstRow + lane / 4 + 8 * half);
    float rowScale = 1, slope = 0;
    if (launch.queryScale) {
      const int64_t* strides = launch.queryScale.strides;
      rowScale =
          launch.queryScale.as<float>()[block.batch * strides[0] + row.head * strides[1] + row.query * strides[2]];
    }
    if (launch.alibiSlopes) slope = launch.alibiSlopes.as<float>()[row.head * launch.alibiSlopes.strides[0]];
#pragma unroll 1
    for (int i = 0; i < tileKV / 4; ++i) {
      const int at = i / 2 * 8 + lane % 4 * 2 + i % 2;
      float& score = scores[i / 2 * 4 + 2 * half + i % 2];
      if (at < keys.count) score = changedScore(block, row, keys[at], rowScale, slope, score);
    }
  }
}

// Which keys the rows of this lane see: a byte for each eight keys, those of row l / 4 in the low half of the word, of
// row l / 4 + 8 in the high half; the lanes of a quad hold one byte after the other, or two.
__device__ __noinline__ inline uint32_t seenKeys(const AttentionBlock& block, int firstRow, const Rows& keys,
                                                 int tileKV) {
  const int lane = threadIdx.x % 32, perLane = tileKV >= 64 ? tileKV / 32 : 1;
  const Pattern& pattern = *block.pattern;
  uint32_t seen = 0;
#pragma unroll 1
  for (int i = 0; i < 2 * perLane; ++i) {
    const int half = i / perLane, byte = lane % 4 * perLane + i % perLane, count = minOf(keys.count - 8 * byte, 8);
    if (count <= 0) continue;
    const AttentionRow row = rowOf(block, firstRow + lane / 4 + 8 * half);
    const Rows eight = keys.part(8 * byte, count);
    const uint32_t bits = pattern.kind == Pattern::Kind::Buckets
                              ? eightOfRow(pattern.buckets, block.queries.start + row.place, eight)
                              : eightOf<compositeDepth>(pattern, row.query, eight);
    seen |= bits << (16 * half + 8 * (i % perLane));
  }
  return seen;
}

}  // namespace longspan::cuda
