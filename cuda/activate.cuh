// The activations of the feed-forward block: used by gated() and by the epilogue of matmul(). Formulas are those of
// csrc/cpu/activation.inl: x times a probability, so that no cancellation is met.
#pragma once
#include <cmath>

#include "kernels.h"

namespace longspan::cuda {

// below −80 it stays at 2e-35, so that −inf times it is not NaN
__device__ inline float sigmoid(float x) { return 1.f / (1.f + expf(fminf(80.f, -x))); }

template <Activation kind>
__device__ inline float activate(float x) {
  if constexpr (kind == Activation::Silu) return x * sigmoid(x);
  if constexpr (kind == Activation::Gelu) return 0.5f * x * erfcf(-0.70710678f * x);
  if constexpr (kind == Activation::GeluTanh) {
    constexpr float rootTwoOverPi = 0.79788456f;
    return x * sigmoid(2.f * rootTwoOverPi * (x + 0.044715f * x * x * x));
  }
  if constexpr (kind == Activation::Relu) return x < 0.f ? 0.f : x;  // NaN stays NaN
  return x;
}

template <Activation kind, int count>
__device__ inline void activateEach(float (&x)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) x[i] = activate<kind>(x[i]);
}

template <int count>
__device__ inline void activateAll(Activation kind, float (&x)[count]) {
  switch (kind) {
    case Activation::Silu:
      return activateEach<Activation::Silu>(x);
    case Activation::Gelu:
      return activateEach<Activation::Gelu>(x);
    case Activation::GeluTanh:
      return activateEach<Activation::GeluTanh>(x);
    case Activation::Relu:
      return activateEach<Activation::Relu>(x);
    case Activation::None:
      return;
  }
}

}  // namespace longspan::cuda
