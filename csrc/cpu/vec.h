// The vector of an ISA: `lanes` floats, written with compiler vector extensions; intrinsics only where the extensions
// have no word for it. Included by each isa_*.cc inside its anonymous namespace, after LONGSPAN_LANES is set.
// Nothing here, or in the .inl files, may use std templates: they would leak as weak symbols (house.md 1.6).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_ps

#define LONGSPAN_INLINE [[gnu::always_inline]] inline

constexpr int lanes = LONGSPAN_LANES;
typedef float Vec __attribute__((vector_size(lanes * 4)));
typedef int32_t VecInt __attribute__((vector_size(lanes * 4)));
typedef float UnalignedVec __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef int32_t UnalignedVecInt __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef uint16_t HalfBits __attribute__((vector_size(lanes * 2)));
typedef uint16_t UnalignedHalfBits __attribute__((vector_size(lanes * 2), aligned(2), may_alias));

struct BFloat16 { uint16_t bits; };
struct Float16 { uint16_t bits; };

LONGSPAN_INLINE Vec broadcast(float x) { return x - Vec{}; }
LONGSPAN_INLINE VecInt broadcast(int32_t x) { return x - VecInt{}; }
LONGSPAN_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
LONGSPAN_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
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
template <class T> LONGSPAN_INLINE T fromFloat(float x);
template <> LONGSPAN_INLINE float fromFloat<float>(float x) { return x; }
template <> LONGSPAN_INLINE BFloat16 fromFloat<BFloat16>(float x) {  // to nearest even; NaN stays NaN
  uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7fffffff) > 0x7f800000) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <> LONGSPAN_INLINE Float16 fromFloat<Float16>(float x) {
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
LONGSPAN_INLINE void store(BFloat16* p, Vec x) {
  VecInt bits = asInt(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  rounded = (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16 | 0x40) : rounded;
  *(UnalignedHalfBits*)p = __builtin_convertvector(rounded, HalfBits);
}
LONGSPAN_INLINE void store(Float16* p, Vec x) {
#if LONGSPAN_LANES == 16
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(x, 0));
#elif LONGSPAN_LANES == 8
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(x, 0));
#else
  for (int i = 0; i < lanes; ++i) p[i] = fromFloat<Float16>(x[i]);
#endif
}
// the first n < lanes values; the rest reads as `fill`, and is not written
template <class T> LONGSPAN_INLINE Vec loadPart(const T* p, int n, float fill = 0) {
  Vec x = broadcast(fill);
  for (int i = 0; i < n; ++i) x[i] = toFloat(p[i]);
  return x;
}
template <class T> LONGSPAN_INLINE void storePart(T* p, Vec x, int n) {
  for (int i = 0; i < n; ++i) p[i] = fromFloat<T>(x[i]);
}

#ifdef __AVX512BF16__
// accumulator + a.low * b.low + a.high * b.high of bfloat16 pairs, one pair a lane
LONGSPAN_INLINE Vec dotPairs(Vec accumulator, VecInt a, VecInt b) {
  return (Vec)_mm512_dpbf16_ps((__m512)accumulator, (__m512bh)a, (__m512bh)b);
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
  Vec p = broadcast(0.0018775767f);
  p = p * f + 0.0089893397f;
  p = p * f + 0.0558263175f;
  p = p * f + 0.2401536107f;
  p = p * f + 0.6931530833f;
  p = p * f + 0.9999999404f;
#if LONGSPAN_LANES == 16
  return _mm512_scalef_ps(p, x);
#else
  VecInt half = whole >> 1;  // two factors, so that subnormals and overflow come right
  return p * asFloat((half + 127) << 23) * asFloat((whole - half + 127) << 23);
#endif
}
