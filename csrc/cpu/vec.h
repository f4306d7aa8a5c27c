// The vector of an ISA: `lanes` floats, written with compiler vector extensions; intrinsics only where the extensions
// have no word for it. Included by each isa_*.cc inside its anonymous namespace, after LONGSPAN_LANES is set.
// Nothing here, or in the .inl files, may use std templates: they would leak as weak symbols (house.md 1.6).
// GCC 12 finds its own _mm512_undefined_ps uninitialized
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define LONGSPAN_INLINE [[gnu::always_inline]] inline

constexpr int lanes = LONGSPAN_LANES;
typedef float Vec __attribute__((vector_size(lanes * 4)));
typedef int32_t VecInt __attribute__((vector_size(lanes * 4)));
typedef float UnalignedVec __attribute__((vector_size(lanes * 4), aligned(2), may_alias));  // also pairs of 16 bits
typedef int32_t UnalignedVecInt __attribute__((vector_size(lanes * 4), aligned(2), may_alias));
typedef uint16_t HalfBits __attribute__((vector_size(lanes * 2)));
typedef uint16_t UnalignedHalfBits __attribute__((vector_size(lanes * 2), aligned(2), may_alias));

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

LONGSPAN_INLINE Vec broadcast(float x) { return x - Vec{}; }
LONGSPAN_INLINE VecInt broadcast(int32_t x) { return x - VecInt{}; }
// of a NaN and a number: b
#if LONGSPAN_LANES == 16
LONGSPAN_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
LONGSPAN_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
#elif LONGSPAN_LANES == 8
LONGSPAN_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
LONGSPAN_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
#elif defined(__SSE2__)
LONGSPAN_INLINE Vec max(Vec a, Vec b) { return _mm_max_ps(a, b); }
LONGSPAN_INLINE Vec min(Vec a, Vec b) { return _mm_min_ps(a, b); }
#else
LONGSPAN_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
LONGSPAN_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
#endif
LONGSPAN_INLINE float max(float a, float b) { return a > b ? a : b; }
LONGSPAN_INLINE float min(float a, float b) { return a < b ? a : b; }
LONGSPAN_INLINE int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
LONGSPAN_INLINE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
LONGSPAN_INLINE Vec asFloat(VecInt x) { return (Vec)x; }
LONGSPAN_INLINE VecInt asInt(Vec x) { return (VecInt)x; }

// --- single values of the 16-bit dtypes
LONGSPAN_INLINE float toFloat(float x) { return x; }
LONGSPAN_INLINE float toFloat(BFloat16 x) { return __builtin_bit_cast(float, uint32_t(x.bits) << 16); }
LONGSPAN_INLINE float toFloat(Float16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#elif defined(__aarch64__)
  return float(__builtin_bit_cast(__fp16, x.bits));
#else
  uint32_t sign = uint32_t(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  if (rest >= 0x7c00) return __builtin_bit_cast(float, sign | 0x7f800000 | (rest & 0x3ff) << 13);
  float magnitude = __builtin_bit_cast(float, rest << 13) * 0x1p112f;  // subnormals come right by the product
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, magnitude));
#endif
}
template <class T>
LONGSPAN_INLINE T fromFloat(float x);
template <>
LONGSPAN_INLINE float fromFloat<float>(float x) {
  return x;
}
template <>
LONGSPAN_INLINE BFloat16 fromFloat<BFloat16>(float x) {  // to nearest even; NaN stays NaN
  uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7fffffff) > 0x7f800000) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
LONGSPAN_INLINE Float16 fromFloat<Float16>(float x) {
#if defined(__F16C__)
  return {uint16_t(_cvtss_sh(x, 0))};
#elif defined(__aarch64__)
  return {__builtin_bit_cast(uint16_t, __fp16(x))};
#else
  uint32_t bits = __builtin_bit_cast(uint32_t, x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return {uint16_t(sign | 0x7e00)};
  if (rest >= 0x47800000) return {uint16_t(sign | 0x7c00)};
  if (rest < 0x38800000) {  // subnormal: adding 0.5 leaves the rounded mantissa in the low bits
    float shifted = __builtin_bit_cast(float, rest) + 0.5f;
    return {uint16_t(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000))};
  }
  return {uint16_t(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13))};
#endif
}

// --- loads and stores of `lanes` values of any float dtype, as float32
LONGSPAN_INLINE Vec load(const float* p) { return *(const UnalignedVec*)p; }
LONGSPAN_INLINE void store(float* p, Vec x) { *(UnalignedVec*)p = x; }
LONGSPAN_INLINE Vec load(const BFloat16* p) {
  return asFloat(__builtin_convertvector(*(const UnalignedHalfBits*)p, VecInt) << 16);
}
LONGSPAN_INLINE Vec load(const Float16* p) {
#if LONGSPAN_LANES == 16
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif LONGSPAN_LANES == 8
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#elif defined(__aarch64__)
  return (Vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits)));
#else
  VecInt bits = __builtin_convertvector(*(const UnalignedHalfBits*)p, VecInt), rest = bits & 0x7fff;
  Vec magnitude = asFloat(rest << 13) * 0x1p112f;  // subnormals come right by the product
  VecInt special = 0x7f800000 | rest << 13;        // infinity and NaN
  return asFloat((rest >= 0x7c00 ? special : asInt(magnitude)) | (bits & 0x8000) << 16);
#endif
}
LONGSPAN_INLINE VecInt loadBytes(const int8_t* p) {
#if LONGSPAN_LANES == 16
  return (VecInt)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
#elif LONGSPAN_LANES == 8
  return (VecInt)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
#else
  return VecInt{p[0], p[1], p[2], p[3]};
#endif
}
LONGSPAN_INLINE void storeExactly(BFloat16* p, Vec x) {
  VecInt bits = asInt(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  rounded = (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16 | 0x40) : rounded;
  *(UnalignedHalfBits*)p = __builtin_convertvector(rounded, HalfBits);
}
LONGSPAN_INLINE void store(BFloat16* p, Vec x) {
#ifdef __AVX512BF16__
  _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));  // float32 subnormals become 0
#else
  storeExactly(p, x);
#endif
}
LONGSPAN_INLINE void store(Float16* p, Vec x) {
#if LONGSPAN_LANES == 16
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(x, 0));
#elif LONGSPAN_LANES == 8
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(x, 0));
#elif defined(__aarch64__)
  vst1_u16(&p->bits, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x)));
#else
  VecInt bits = asInt(x), rest = bits & 0x7fffffff;
  VecInt subnormal = asInt(asFloat(rest) + 0.5f) - 0x3f000000;  // as in fromFloat<Float16>
  VecInt half = (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13;
  half = rest < 0x38800000 ? subnormal : half;
  half = rest >= 0x47800000 ? broadcast(0x7c00) : half;
  half = rest > 0x7f800000 ? broadcast(0x7e00) : half;
  *(UnalignedHalfBits*)p = __builtin_convertvector((bits >> 16 & 0x8000) | half, HalfBits);
#endif
}
// the first n < lanes values; the rest reads as `fill`, and is not written
#if LONGSPAN_LANES == 16
LONGSPAN_INLINE __mmask16 firstLanes(int n) { return __mmask16((1u << n) - 1); }
LONGSPAN_INLINE Vec loadPart(const float* p, int n, float fill = 0) {
  return _mm512_mask_loadu_ps(broadcast(fill), firstLanes(n), p);
}
LONGSPAN_INLINE Vec loadPart(const BFloat16* p, int n, float fill = 0) {
  Vec x = asFloat((VecInt)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(firstLanes(n), p)) << 16);
  return _mm512_mask_mov_ps(broadcast(fill), firstLanes(n), x);
}
LONGSPAN_INLINE Vec loadPart(const Float16* p, int n, float fill = 0) {
  Vec x = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(firstLanes(n), p));
  return _mm512_mask_mov_ps(broadcast(fill), firstLanes(n), x);
}
LONGSPAN_INLINE void storePart(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, firstLanes(n), x); }
#else
template <class T>
LONGSPAN_INLINE Vec loadPart(const T* p, int n, float fill = 0) {
  Vec x = broadcast(fill);
  for (int i = 0; i < n; ++i) x[i] = toFloat(p[i]);
  return x;
}
#endif
template <class T>
LONGSPAN_INLINE void storePart(T* p, Vec x, int n) {
  for (int i = 0; i < n; ++i) p[i] = fromFloat<T>(x[i]);
}
template <class T>
LONGSPAN_INLINE Vec loadUpTo(const T* p, int64_t n, float fill = 0) {
  return n >= lanes ? load(p) : loadPart(p, int(n), fill);
}
template <class T>
LONGSPAN_INLINE void storeUpTo(T* p, Vec x, int64_t n) {
  if (n >= lanes) {
    store(p, x);
  } else {
    storePart(p, x, int(n));
  }
}

#ifdef __AVX512BF16__
// accumulator + a.low * b.low + a.high * b.high of bfloat16 pairs, one pair a lane
LONGSPAN_INLINE Vec dotPairs(Vec accumulator, VecInt a, VecInt b) {
  return (Vec)_mm512_dpbf16_ps((__m512)accumulator, (__m512bh)a, (__m512bh)b);
}
// (low, high) rounded to bfloat16 pairs
LONGSPAN_INLINE VecInt toPairs(Vec low, Vec high) {
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                              6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (VecInt)_mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
// the first n ≤ 2 * lanes values as pairs; the rest reads as 0
LONGSPAN_INLINE VecInt loadPairs(const BFloat16* p, int64_t n) {
  return (VecInt)_mm512_maskz_loadu_epi16(n >= 32 ? ~__mmask32(0) : (__mmask32(1) << n) - 1, p);
}
#endif

LONGSPAN_INLINE float sum(Vec x) {
  float s = 0;
  for (int i = 0; i < lanes; ++i) s += x[i];
  return s;
}
LONGSPAN_INLINE float maxOfLanes(Vec x) {
  float m = x[0];
  for (int i = 1; i < lanes; ++i) m = x[i] > m ? x[i] : m;
  return m;
}

// 2^x, relative error 1e-7 (degree 5 on [0, 1)); −inf and very negative x give 0, x > 128 gives inf.
LONGSPAN_INLINE Vec exp2(Vec x) {
#if LONGSPAN_LANES == 16
  Vec f = _mm512_reduce_ps(x, 0x01);  // x − floor(x)
#else
  x = max(x, broadcast(-150.f));
  x = min(x, broadcast(129.f));
  VecInt whole = __builtin_convertvector(x, VecInt);
  Vec truncated = __builtin_convertvector(whole, Vec);
  VecInt below = (VecInt)(truncated > x);  // −1 where truncation went up
  whole += below;
  Vec f = x - __builtin_convertvector(whole, Vec);
#endif
  Vec p = broadcast(0.0018671348f);
  p = p * f + 0.0090170156f;
  p = p * f + 0.0557999291f;
  p = p * f + 0.2401644430f;
  p = p * f + 0.6931513129f;
  p = p * f + 1.f;
#if LONGSPAN_LANES == 16
  return _mm512_scalef_ps(p, x);
#else
  VecInt half = whole >> 1;  // two factors, so that subnormals and overflow come right
  return p * asFloat((half + 127) << 23) * asFloat((whole - half + 127) << 23);
#endif
}

// 2^x for x ≤ 0, as softmax meets it: below 2^-125 it may be 0. 2^0 is 1. Degree 5 has a relative error
// of 9e-8, degree 3 of 9e-5.
template <int degree = 5>
LONGSPAN_INLINE Vec exp2NonPositive(Vec x) {
#if LONGSPAN_LANES == 16
  Vec f = _mm512_reduce_ps(x, 0x01);
  Vec p;
  if constexpr (degree == 3) {
    p = 0.0770670687f * f + 0.2276449617f;
    p = p * f + 0.6951167933f;
  } else {
    p = 0.0018671348f * f + 0.0090170156f;
    p = p * f + 0.0557999291f;
    p = p * f + 0.2401644430f;
    p = p * f + 0.6931513129f;
  }
  p = p * f + 1.f;
  return _mm512_scalef_ps(p, x);
#else
  constexpr float roundToInteger = 12582912.f;  // 1.5 * 2^23: the sum's low bits are the nearest integer
  Vec clamped = max(broadcast(-125.f), x), whole = clamped + roundToInteger;
  Vec f = clamped - (whole - roundToInteger);  // in [−1/2, 1/2]
  Vec p = 0.0013264383f * f + 0.0096715157f;
  p = p * f + 0.0555073490f;
  p = p * f + 0.2402224202f;
  p = p * f + 0.6931469768f;
  p = p * f + 1.f;
  VecInt scaled = asInt(p) + (asInt(whole) << 23);
  return asFloat(~(VecInt)(x < -125.f) & scaled);
#endif
}

// bit i: a[i] < b[i]
LONGSPAN_INLINE uint32_t lessBits(VecInt a, VecInt b) {
#if LONGSPAN_LANES == 16
  return _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b);
#elif LONGSPAN_LANES == 8
  return uint32_t(_mm256_movemask_ps((__m256)(a < b)));
#elif defined(__SSE2__)
  return uint32_t(_mm_movemask_ps((__m128)(a < b)));
#else
  return vaddvq_u32(vandq_u32((uint32x4_t)(a < b), uint32x4_t{1, 2, 4, 8}));
#endif
}
// lane i: bit i of `bits` ? x : otherwise
LONGSPAN_INLINE Vec selectBits(uint32_t bits, Vec x, Vec otherwise) {
#if LONGSPAN_LANES == 16
  return _mm512_mask_mov_ps(otherwise, __mmask16(bits), x);
#else
  VecInt ofLane;
  for (int i = 0; i < lanes; ++i) ofLane[i] = 1 << i;
  return (broadcast(int32_t(bits)) & ofLane) != 0 ? x : otherwise;
#endif
}

// rows[i][j] becomes rows[j][i]
LONGSPAN_INLINE void transpose(Vec (&r)[lanes]) {
#if LONGSPAN_LANES == 16
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = (Vec)_mm512_unpacklo_pd((__m512d)t[i], (__m512d)t[i + 2]);
    r[i + 1] = (Vec)_mm512_unpackhi_pd((__m512d)t[i], (__m512d)t[i + 2]);
    r[i + 2] = (Vec)_mm512_unpacklo_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
    r[i + 3] = (Vec)_mm512_unpackhi_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = (Vec)_mm512_shuffle_f32x4(t[i], t[8 + i], 0x88);
    r[8 + i] = (Vec)_mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd);
    r[4 + i] = (Vec)_mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88);
    r[12 + i] = (Vec)_mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd);
  }
#elif LONGSPAN_LANES == 8
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = (Vec)_mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = (Vec)_mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = (Vec)_mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = (Vec)_mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m256 low = r[i], high = r[i + 4];
    r[i] = (Vec)_mm256_permute2f128_ps(low, high, 0x20);
    r[i + 4] = (Vec)_mm256_permute2f128_ps(low, high, 0x31);
  }
#else
  Vec a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  Vec c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
}

// Four rows cut into groups of 4 lanes: group g of the rows goes to out + g * pitch, as [4 rows][4].
LONGSPAN_INLINE void storeGroups(const Vec (&r)[4], float* out, int64_t pitch) {
#if LONGSPAN_LANES == 16
  __m512 a = _mm512_shuffle_f32x4(r[0], r[1], 0x44), b = _mm512_shuffle_f32x4(r[0], r[1], 0xee);
  __m512 c = _mm512_shuffle_f32x4(r[2], r[3], 0x44), d = _mm512_shuffle_f32x4(r[2], r[3], 0xee);
  store(out, (Vec)_mm512_shuffle_f32x4(a, c, 0x88));
  store(out + pitch, (Vec)_mm512_shuffle_f32x4(a, c, 0xdd));
  store(out + 2 * pitch, (Vec)_mm512_shuffle_f32x4(b, d, 0x88));
  store(out + 3 * pitch, (Vec)_mm512_shuffle_f32x4(b, d, 0xdd));
#elif LONGSPAN_LANES == 8
  store(out, (Vec)_mm256_permute2f128_ps(r[0], r[1], 0x20));
  store(out + 8, (Vec)_mm256_permute2f128_ps(r[2], r[3], 0x20));
  store(out + pitch, (Vec)_mm256_permute2f128_ps(r[0], r[1], 0x31));
  store(out + pitch + 8, (Vec)_mm256_permute2f128_ps(r[2], r[3], 0x31));
#else
  (void)pitch;
  for (int i = 0; i < 4; ++i) store(out + 4 * i, r[i]);
#endif
}
