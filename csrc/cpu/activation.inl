// The activations of the feed-forward block, on one vector: used by gated() and by the epilogue of matmul().
// All are x times a probability, so no cancellation is met: silu(x) = x σ(x), geluTanh(x) = x σ(2u) because
// (1 + tanh u) / 2 = σ(2u), gelu(x) = x erfc(−x / √2) / 2 (Hendrycks and Gimpel 2016).

constexpr float log2OfE = 1.44269504f;  // exp2 of the product, 1e-7 |x| off, does here: it is half the work of exp

// Relative error 1.2e-7: Chebyshev fit in t = 1 / (1 + |x| / 2), Press et al., Numerical Recipes 6.2
LONGSPAN_INLINE Vec erfc(Vec x) {
  Vec magnitude = min(broadcast(20.f), max(x, -x)), t = reciprocal(1.f + 0.5f * magnitude);
  Vec p = broadcast(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  Vec tail = t * exp2((p - magnitude * magnitude) * log2OfE);
  return x < 0.f ? 2.f - tail : tail;
}

// absolute error 2e-7; below −80 it stays at 2e-35
LONGSPAN_INLINE Vec sigmoid(Vec x) { return reciprocal(1.f + exp2(min(broadcast(115.f), x * -log2OfE))); }

template <Activation kind>
LONGSPAN_INLINE Vec activate(Vec x) {
  if constexpr (kind == Activation::Silu) return x * sigmoid(x);
  if constexpr (kind == Activation::Gelu) return 0.5f * x * erfc(-0.70710678f * x);
  if constexpr (kind == Activation::GeluTanh) {
    constexpr float rootTwoOverPi = 0.79788456f;
    return x * sigmoid(2.f * rootTwoOverPi * (x + 0.044715f * x * x * x));
  }
  if constexpr (kind == Activation::Relu) return x < 0.f ? Vec{} : x;  // NaN stays NaN
  return x;
}
