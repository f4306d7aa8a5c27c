// rmsNorm (Zhang & Sennrich 2019) and layerNorm (Ba et al. 2016) over the last axis, statistics in float32. A row is
// read from memory once: both passes after the first find it in cache.

struct NormWeights {
  const float* weight;  // may be null
  const float* bias;    // may be null
};

template <class T, class F>
LONGSPAN_INLINE float sumOver(const T* x, int64_t n, const F& f) {
  Vec sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    for (int j = 0; j < 4; ++j) sums[j] += f(load(x + i + j * lanes));
  }
  for (; i + lanes <= n; i += lanes) sums[0] += f(load(x + i));
  float rest = 0;
  for (; i < n; ++i) rest += f(broadcast(toFloat(x[i])))[0];
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

typedef void (*RowNorm)(const void* x, const NormWeights& weights, void* out, const NormArgs& args);

// out may be x
template <class From, class To>
void normRow(const void* in, const NormWeights& weights, void* result, const NormArgs& args) {
  const From* x = static_cast<const From*>(in);
  To* out = static_cast<To*>(result);
  const int64_t n = args.out.shape[args.out.rank - 1];
  const float mean = args.centre ? sumOver(x, n, [](Vec v) { return v; }) / float(n) : 0.f;
  const float variance = sumOver(x, n, [&](Vec v) { return (v - mean) * (v - mean); }) / float(n);
  const float scale = 1.f / __builtin_sqrtf(variance + args.epsilon);
  const float *weight = weights.weight, *bias = weights.bias;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Vec value = (load(x + i) - mean) * scale;
    if (weight) value *= load(weight + i);
    if (bias) value += load(bias + i);
    store(out + i, value);
  }
  for (; i < n; ++i) {
    float value = (toFloat(x[i]) - mean) * scale;
    if (weight) value *= weight[i];
    if (bias) value += bias[i];
    out[i] = fromFloat<To>(value);
  }
}

template <class From>
RowNorm rowNormFrom(DType to) {
  if (to == DType::Float16) return normRow<From, Float16>;
  return to == DType::BFloat16 ? normRow<From, BFloat16> : normRow<From, float>;
}
inline RowNorm rowNorm(DType from, DType to) {
  if (from == DType::Float16) return rowNormFrom<Float16>(to);
  return from == DType::BFloat16 ? rowNormFrom<BFloat16>(to) : rowNormFrom<float>(to);
}

// whether FloatSource reads this vector through a buffer
LONGSPAN_INLINE bool isCopied(const TensorView& weight) {
  return weight && (weight.dtype != DType::Float32 || weight.strides[0] != 1);
}

void norm(const NormArgs& args, Parallel& parallel) {
  const TensorView &x = args.x, &out = args.out;
  const int last = out.rank - 1;
  const int64_t n = out.shape[last], padded = ceilDiv(n, 16) * 16;
  if (n == 0) return;
  const bool dense = x.strides[last] == 1 && out.strides[last] == 1;
  const size_t bytes = size_t(padded) * sizeof(float),
               sharedBytes = bytes * (isCopied(args.weight) + isCopied(args.bias));
  if (!dense || sharedBytes > 0) parallel.reserveScratch(parallel, dense ? 0 : bytes, sharedBytes);
  float* shared = sharedBytes > 0 ? reinterpret_cast<float*>(parallel.sharedScratch(parallel)) : nullptr;
  NormWeights weights = {};
  if (args.weight) weights.weight = FloatSource(args.weight).read(0, args.weight.strides[0], n, shared);
  if (isCopied(args.weight)) shared += padded;
  if (args.bias) weights.bias = FloatSource(args.bias).read(0, args.bias.strides[0], n, shared);
  const FloatSource source(x);
  const FloatSink sink(out);
  const RowNorm f = dense ? rowNorm(x.dtype, out.dtype) : normRow<float, float>;
  forRows(makeWalk<2>({&x, &out}, last), n, parallel, [&](const int64_t(&at)[2], int thread) {
    if (dense) {
      f(source.data + at[0] * bytesOf(x.dtype), weights, sink.data + at[1] * bytesOf(out.dtype), args);
      return;
    }
    float* buffer = reinterpret_cast<float*>(parallel.threadScratch(parallel, thread));
    f(source.read(at[0], x.strides[last], n, buffer), weights, buffer, args);
    sink.write(buffer, at[1], out.strides[last], n);
  });
}
