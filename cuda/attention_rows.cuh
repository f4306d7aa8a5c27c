// The end of a row of attention: its parts over disjoint keys are weighed against each other, then sink logits, keys of
// zeros and what `out` holds already are joined. A warp does a row: the one code for warps of a block that share rows,
// for parts of the keys, and for a row that was done at once.
#pragma once
#include "attention_block.cuh"

namespace longspan::cuda {

constexpr float naturalLog2 = 0.69314718055994531f, log2e = 1.44269504088896341f;

// Where the parts of a row are: values not divided by their sum, and maximum (in scores) and sum
struct RowParts {
  const float* outs;
  const float* states;
  int count, outStride, stateStride;  // from part to part, in floats
};

template <int Dim>
struct MergedRow {
  float out[Dim / 32];  // columns lane, lane + 32, …
  float maximum = -INFINITY, sum = 0;
};

template <int Dim>
__device__ __forceinline__ MergedRow<Dim> mergeParts(const AttentionLaunch& launch, const RowParts& parts, int lane) {
  MergedRow<Dim> row;
#pragma unroll
  for (int i = 0; i < Dim / 32; ++i) row.out[i] = 0;
  for (int part = 0; part < parts.count; ++part)
    row.maximum = fmaxf(row.maximum, parts.states[part * parts.stateStride]);
  if (row.maximum == -INFINITY) {  // nothing was seen, or nothing but NaN
    for (int part = 0; part < parts.count; ++part) row.sum += parts.states[part * parts.stateStride + 1];
    return row;
  }
  for (int part = 0; part < parts.count; ++part) {
    const float* state = parts.states + part * parts.stateStride;
    const float* out = parts.outs + int64_t(part) * parts.outStride;
    const float weight = exp2f((state[0] - row.maximum) * launch.exponentScale);
    row.sum += state[1] * weight;
#pragma unroll
    for (int i = 0; i < Dim / 32; ++i) row.out[i] += out[lane + 32 * i] * weight;
  }
  return row;
}

__device__ __forceinline__ float sinkLogitOf(const AttentionLaunch& launch, int head) {
  return launch.sinkLogits.as<float>()[head * launch.sinkLogits.strides[0]];
}

// Where the results of a row go
struct RowTarget {
  int64_t out;  // in elements
  float* lse;   // or null
};
__device__ __forceinline__ RowTarget targetOf(const AttentionBlock& block, const AttentionRow& row) {
  const AttentionLaunch& launch = *block.launch;
  int64_t place = row.query;
  if (block.pattern->kind == Pattern::Kind::Buckets && block.pattern->buckets.outputPerRow)
    place = block.queries.start + row.place;
  RowTarget target = {block.out + place * launch.out.strides[1] + row.head * launch.out.strides[2], nullptr};
  if (launch.lse)
    target.lse = launch.lse.as<float>() + block.lse + row.head * launch.lse.strides[1] + place * launch.lse.strides[2];
  return target;
}

__device__ __forceinline__ void storeFloat(const DeviceTensor& tensor, int64_t at, float x) {
  if (tensor.dtype == DType::Float32) {
    tensor.as<float>()[at] = x;
  } else if (tensor.dtype == DType::Float16) {
    tensor.as<__half>()[at] = fromFloat<__half>(x);
  } else {
    tensor.as<__nv_bfloat16>()[at] = fromFloat<__nv_bfloat16>(x);
  }
}

template <int Dim>
__device__ __forceinline__ void finishRow(const AttentionBlock& block, const AttentionRow& place,
                                          const MergedRow<Dim>& row, int lane) {
  const AttentionLaunch& launch = *block.launch;
  float top = row.maximum * launch.scoreScale, sum = row.sum, weight = 1;
  if (row.maximum == -INFINITY) top = -INFINITY;  // the scale may be 0
  if (launch.sinkLogits) {                        // one more key without a value
    const float sink = sinkLogitOf(launch, place.head), higher = fmaxf(top, sink);
    if (higher > -INFINITY) {
      weight = exp2f((top - higher) * log2e);
      sum = sum * weight + exp2f((sink - higher) * log2e);
      top = higher;
    }
  }
  if (block.pattern->kind == Pattern::Kind::Dilated && block.pattern->dilated.zeroPadding) {
    const int zeroKeys = block.pattern->dilated.zeroKeys(place.query);  // of score 0, without a value
    if (zeroKeys > 0) {
      const float higher = fmaxf(top, 0.f), lower = exp2f((top - higher) * log2e);
      sum = sum * lower + float(zeroKeys) * exp2f(-higher * log2e);
      weight *= lower;
      top = higher;
    }
  }
  const float lse = sum == 0 ? -INFINITY : top + logf(sum);
  const RowTarget target = targetOf(block, place);
  float factor = sum == 0 ? 0 : weight / sum, kept = 0, newLse = lse;
  if (launch.accumulate) {
    const float old = *target.lse, higher = fmaxf(fmaxf(old, lse), -3.4e38f);
    const float a = exp2f((old - higher) * log2e), b = exp2f((lse - higher) * log2e), both = a + b;
    newLse = both == 0 ? -INFINITY : higher + logf(both);
    kept = both == 0 ? 0 : a / both;
    factor = both == 0 ? 0 : factor * (b / both);
  }
  __syncwarp();
  if (target.lse && lane == 0) *target.lse = newLse;
#pragma unroll
  for (int i = 0; i < Dim / 32; ++i) {
    const int column = lane + 32 * i;
    if (column >= launch.valueDim) continue;
    const int64_t at = target.out + column * launch.out.strides[3];
    float x = row.out[i] * factor;
    if (launch.accumulate) x += loadFloat(launch.out.data, launch.out.dtype, at) * kept;
    storeFloat(launch.out, at, x);
  }
}

// Row `row` of a block by the whole warp: to where it belongs, or, of a part of the keys, to the other parts
template <int Dim>
__device__ __noinline__ void endRow(const AttentionBlock& block, const RowParts& parts, int row, bool isWhole,
                                    int lane) {
  const AttentionLaunch& launch = *block.launch;
  const AttentionRow place = rowOf(block, row);
  if (!place.exists) return;
  const MergedRow<Dim> merged = mergeParts<Dim>(launch, parts, lane);
  if (isWhole) return finishRow(block, place, merged, lane);
  const int64_t at = (block.slot * launch.numParts + block.part) * launch.rowsPerBlock + row;
#pragma unroll
  for (int i = 0; i < Dim / 32; ++i) launch.partOuts[at * Dim + lane + 32 * i] = merged.out[i];
  if (lane == 0) launch.partStates[at * 2] = merged.maximum, launch.partStates[at * 2 + 1] = merged.sum;
}

}  // namespace longspan::cuda
