// How heads turn by their positions: what rope and ropeAppend check alike, and hand to kernels alike.
#pragma once
#include <vector>

#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

struct Rotation {
  Tensor positions;     // on the device of the heads
  Numbers frequencies;  // a tensor of them is float32 on the CPU
  float attentionScale;
  bool interleaved;
  double positionStep, positionOffset;

  // What is waited for besides the inputs
  std::vector<const Tensor*> lists() const;
  // When the op runs
  std::vector<double> readFrequencies(Parallel& parallel) const;
  RopeArgs arguments(const Tensor& x, const Tensor& out, const std::vector<double>& frequencies) const;
};

// `dims` knows batch and seqLen of the heads, which lie on `device`.
Rotation rotationOf(const char* op, Dims& dims, int64_t headDim, const Integers& positions, const RopeOptions& options,
                    const Device& device);

}  // namespace longspan
