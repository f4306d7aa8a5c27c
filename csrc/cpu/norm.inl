// rmsNorm (Zhang & Sennrich 2019) and layerNorm (Ba et al. 2016) over the last axis, statistics in float32. A row is
// read from memory once: both passes after the first find it in cache.

struct NormWeights {
  const float* weight;  // may be null
  const float* bias;    // may be null
};

template <class F>
LONGSPAN_INLINE float sumOver(const float* x, int64_t n, const F& f) {
  Vec sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    for (int j = 0; j < 4; ++j) sums[j] += f(load(x + i + j * lanes));
  }
  for (; i + lanes <= n; i += lanes) sums[0] += f(load(x + i));
  float rest = 0;
  for (; i < n; ++i) rest += f(broadcast(x[i]))[0];
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

// out may be x
void normRow(const float* x, const NormWeights& weights, float* out, int64_t n, float epsilon, bool centre) {
  const float mean = centre ? sumOver(x, n, [](Vec v) { return v; }) / float(n) : 0.f;
  const float variance = sumOver(x, n, [&](Vec v) { return (v - mean) * (v - mean); }) / float(n);
  const float scale = 1.f / __builtin_sqrtf(variance + epsilon);
  const float *weight = weights.weight, *bias = weights.bias;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Vec value = (load(x + i) - mean) * scale;
    if (weight) value *= load(weight + i);
    if (bias) value += load(bias + i);
    store(out + i, value);
  }
  for (; i < n; ++i) {
    float value = (x[i] - mean) * scale;
    if (weight) value *= weight[i];
    if (bias) value += bias[i];
    out[i] = value;
  }
}

void norm(const NormArgs& args, Parallel& parallel) {
  const TensorView &x = args.x, &out = args.out;
  const int last = out.rank - 1;
  const int64_t n = out.shape[last], padded = ceilDiv(n, 16) * 16;
  if (n == 0) return;
  const bool direct =
      x.dtype == DType::Float32 && out.dtype == DType::Float32 && x.strides[last] == 1 && out.strides[last] == 1;
  parallel.reserveScratch(parallel, direct ? 0 : size_t(padded) * sizeof(float), size_t(2 * padded) * sizeof(float));
  float* shared = reinterpret_cast<float*>(parallel.sharedScratch(parallel));
  NormWeights weights = {};
  if (args.weight) weights.weight = FloatSource(args.weight).read(0, args.weight.strides[0], n, shared);
  if (args.bias) weights.bias = FloatSource(args.bias).read(0, args.bias.strides[0], n, shared + padded);
  const FloatSource source(x);
  const FloatSink sink(out);
  forRows(makeWalk<2>({&x, &out}, last), n, parallel, [&](const int64_t(&at)[2], int thread) {
    float* buffer = direct ? nullptr : reinterpret_cast<float*>(parallel.threadScratch(parallel, thread));
    const float* row = source.read(at[0], x.strides[last], n, buffer);
    float* values = sink.place(at[1], out.strides[last], buffer);
    normRow(row, weights, values, n, args.epsilon, args.centre);
    sink.write(values, at[1], out.strides[last], n);
  });
}
