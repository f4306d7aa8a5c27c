// Turning heads by their positions, for rope.cu and rope_append.cu: angles are positions times frequencies in float64,
// reduced before the sine, so that position 1,000,000 is as right as position 1. A block makes the table of one token.
#pragma once
#include "kernels.h"

namespace longspan::cuda {

constexpr int maxFrequencies = 256;  // they travel with the launch: 2 of the 4 KB that every driver takes

struct Rotation {
  const int32_t* positions;  // [batch, seqLen]
  int64_t positionStrides[2];
  int numFrequencies;
  float attentionScale;
  bool interleaved;
  double positionStep, positionOffset;
  double frequencies[maxFrequencies];
};

inline Rotation rotationOf(const RopeArgs& args) {
  Rotation rotation{};
  const bool perBatch = args.positions.rank == 2;
  rotation.positions = args.positions.as<const int32_t>();
  rotation.positionStrides[0] = perBatch ? args.positions.strides[0] : 0;
  rotation.positionStrides[1] = args.positions.strides[perBatch ? 1 : 0];
  rotation.numFrequencies = int(args.numFrequencies);
  rotation.attentionScale = args.attentionScale;
  rotation.interleaved = args.interleaved;
  rotation.positionStep = args.positionStep;
  rotation.positionOffset = args.positionOffset;
  for (int i = 0; i < rotation.numFrequencies; ++i) rotation.frequencies[i] = args.frequencies64[i];
  return rotation;
}

struct RotaryTable {
  float cosines[maxFrequencies], sines[maxFrequencies];
};

// By all threads of a block
__device__ inline void fillTable(const Rotation& rotation, int64_t batch, int64_t row, RotaryTable& table) {
  const int32_t position = rotation.positions[batch * rotation.positionStrides[0] + row * rotation.positionStrides[1]];
  for (int i = threadIdx.x; i < rotation.numFrequencies; i += blockDim.x) {
    const double place = double(position) * rotation.positionStep + rotation.positionOffset;
    const double turns = place * rotation.frequencies[i] * 0.15915494309189533577;  // 1 / 2π
    float sine, cosine;
    sincospif(float(2 * (turns - rint(turns))), &sine, &cosine);
    table.cosines[i] = cosine * rotation.attentionScale;
    table.sines[i] = sine * rotation.attentionScale;
  }
  __syncthreads();
}

struct Pair {
  int first, second;  // dims
};
__device__ inline Pair pairOf(const Rotation& rotation, int i) {
  if (rotation.interleaved) return {2 * i, 2 * i + 1};
  return {i, i + rotation.numFrequencies};
}

// Of the values a and b of pair i. Contracted by hand, so that every kernel rounds alike
__device__ inline float turnedFirst(const RotaryTable& table, int i, float a, float b) {
  return fmaf(a, table.cosines[i], -(b * table.sines[i]));
}
__device__ inline float turnedSecond(const RotaryTable& table, int i, float a, float b) {
  return fmaf(b, table.cosines[i], a * table.sines[i]);
}

}  // namespace longspan::cuda
