// exp, tanh and sine/cosine for vectors, in house: libm has none for vectors and its scalar
// ones would cost more than the kernels around them. Polynomials are Chebyshev interpolants on the reduced range.

// e^x, relative error 1.5e-7; −inf gives 0, x > 88.7 gives inf, NaN stays NaN. Range reduction as of Cody and Waite:
// ln 2 = 0.693359375 (9 bits, so the product is exact) − 2.12194440e-4.
LONGSPAN_INLINE Vec exp(Vec x) {
  constexpr float toNearest = 0x1.8p23f;
  x = max(broadcast(-104.f), x);  // this order of arguments lets NaN through
  x = min(broadcast(89.f), x);
  Vec whole = (x * 1.442695041f + toNearest) - toNearest;
  Vec r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec p = broadcast(0.0013926251f);
  p = p * r + 0.0083632328f;
  p = p * r + 0.0416665542f;
  p = p * r + 0.1666657666f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.f;
#if LONGSPAN_LANES == 16
  return _mm512_scalef_ps(p, whole);
#else
  VecInt exponent = __builtin_convertvector(whole, VecInt);
  VecInt half = exponent >> 1;  // two factors, so that subnormals and overflow come right
  return p * asFloat((half + 127) << 23) * asFloat((exponent - half + 127) << 23);
#endif
}

// 1 / x within 2 ulp for 1e-37 < |x| < 1e37: an estimate and one step of Newton's take a third of a division's time
LONGSPAN_INLINE Vec reciprocal(Vec x) {
#if LONGSPAN_LANES == 16
  Vec estimate = _mm512_maskz_rcp14_ps(__mmask16(-1), x);
  return estimate * (2.f - x * estimate);
#elif LONGSPAN_LANES == 8
  Vec estimate = _mm256_rcp_ps(x);
  return estimate * (2.f - x * estimate);
#else
  return 1.f / x;
#endif
}

LONGSPAN_INLINE Vec absolute(Vec x) { return asFloat(asInt(x) & 0x7fffffff); }
LONGSPAN_INLINE Vec copySign(Vec magnitude, Vec sign) {
  return asFloat((asInt(magnitude) & 0x7fffffff) | (asInt(sign) & int32_t(0x80000000)));
}

// Relative error 3e-7: an odd polynomial near 0, where 1 − 2 / (e^2x + 1) would cancel
LONGSPAN_INLINE Vec tanh(Vec x) {
  Vec square = x * x, magnitude = absolute(x);
  Vec p = -0.00566002f * square + 0.02059102f;
  p = p * square - 0.05372108f;
  p = p * square + 0.13331128f;
  p = p * square - 0.33333261f;
  Vec large = copySign(1.f - 2.f / (exp(magnitude * 2.f) + 1.f), x);
  return magnitude < 0.625f ? x + x * square * p : large;
}

typedef double VecDouble __attribute__((vector_size(lanes * 8)));
typedef double UnalignedVecDouble __attribute__((vector_size(lanes * 8), aligned(8), may_alias));
typedef int64_t VecLong __attribute__((vector_size(lanes * 8)));

// Sine and cosine of an angle given in quarter turns, |quarters| < 2^51: the reduction is exact, the error is that of
// float32 (1e-7) at any angle.
LONGSPAN_INLINE void sinCos(VecDouble quarters, Vec& sine, Vec& cosine) {
  constexpr double toNearest = 0x1.8p52;
  VecDouble shifted = quarters + toNearest;
  Vec r = __builtin_convertvector(quarters - (shifted - toNearest), Vec);
  VecInt quadrant = __builtin_convertvector((VecLong)shifted, VecInt);  // its low bits
  Vec u = r * r;
  Vec s = broadcast(-0.0046021176f);
  s = s * u + 0.0796802078f;
  s = s * u - 0.6459634769f;
  s = (s * u + 1.5707963219f) * r;
  Vec c = broadcast(0.0009036219f);
  c = c * u - 0.0208600668f;
  c = c * u + 0.2536692032f;
  c = c * u - 1.2337005406f;
  c = c * u + 1.f;
  VecInt odd = -(quadrant & 1);
  Vec first = odd != 0 ? c : s, second = odd != 0 ? s : c;
  sine = asFloat(asInt(first) ^ ((quadrant & 2) << 30));
  cosine = asFloat(asInt(second) ^ (((quadrant + 1) & 2) << 30));
}
