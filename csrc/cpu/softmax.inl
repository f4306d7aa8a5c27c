// softmax over the last axis, and the negative log likelihood of targets. Both keep a running maximum and sum per block
// of a row (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"), so that memory is read once and
// float16 and bfloat16 rows need no copy. Sums of blocks are added in float64: a vocabulary has 150,000 terms.

LONGSPAN_INLINE float maxOf(const float* x, int64_t n) {
  const float lowestFloat = -__builtin_inff();
  Vec a = broadcast(lowestFloat), b = a;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = max(load(x + i), a);
    b = max(load(x + i + lanes), b);
  }
  float largest = maxOfLanes(max(a, b));
  for (; i < n; ++i) largest = max(x[i], largest);
  return largest;
}

// the sum of e^(x − shift); out, where given, takes the terms
LONGSPAN_INLINE float sumOfExp(const float* x, int64_t n, float shift, float* out) {
  Vec a = {}, b = {};
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    Vec first = exp(load(x + i) - shift), second = exp(load(x + i + lanes) - shift);
    if (out) store(out + i, first), store(out + i + lanes, second);
    a += first;
    b += second;
  }
  for (; i < n; i += lanes) {
    int rest = int(min(lanes, n - i));
    Vec terms = exp(loadPart(x + i, rest, -__builtin_inff()) - shift);
    if (out) storePart(out + i, terms, rest);
    a += terms;
  }
  return sum(a + b);
}

struct RunningSum {  // Σ e^(x − maximum)
  float maximum = -__builtin_inff();
  double sum = 0;
  void add(const float* x, int64_t n) {
    float largest = maxOf(x, n);
    if (largest == -__builtin_inff()) {  // nothing but −inf and NaN: only NaN leaves a trace
      sum += sumOfExp(x, n, 0, nullptr);
      return;
    }
    if (largest > maximum) {
      sum *= __builtin_exp(double(maximum) - double(largest));
      maximum = largest;
    }
    sum += sumOfExp(x, n, maximum, nullptr);
  }
};

constexpr int64_t blockLength = 2048;

// float32 values of a row lie in out itself or in scratch between the passes
struct SoftmaxRow {
  const FloatSource& source;
  const FloatSink& sink;
  int64_t n, atX, strideX, atOut, strideOut;
};

void softmaxRow(const SoftmaxRow& row, float* buffer) {
  const float* x = row.source.read(row.atX, row.strideX, row.n, buffer);
  float* values = row.sink.place(row.atOut, row.strideOut, buffer);
  const float shift = maxOf(x, row.n);
  double total = 0;
  for (int64_t first = 0; first < row.n; first += blockLength) {
    total += sumOfExp(x + first, min(blockLength, row.n - first), shift, values + first);
  }
  const float share = float(1 / total);
  for (int64_t i = 0; i < row.n; ++i) values[i] *= share;
  row.sink.write(values, row.atOut, row.strideOut, row.n);
}

// a row too long for scratch: every exponential is computed twice
void softmaxLongRow(const SoftmaxRow& row) {
  alignas(64) float bufferX[blockLength], bufferOut[blockLength];
  RunningSum total;
  for (int64_t first = 0; first < row.n; first += blockLength) {
    const int64_t count = min(blockLength, row.n - first);
    total.add(row.source.read(row.atX + first * row.strideX, row.strideX, count, bufferX), count);
  }
  const float share = float(1 / total.sum);
  for (int64_t first = 0; first < row.n; first += blockLength) {
    const int64_t count = min(blockLength, row.n - first), at = row.atOut + first * row.strideOut;
    const float* x = row.source.read(row.atX + first * row.strideX, row.strideX, count, bufferX);
    float* values = row.sink.place(at, row.strideOut, bufferOut);
    sumOfExp(x, count, total.maximum, values);
    for (int64_t i = 0; i < count; ++i) values[i] *= share;
    row.sink.write(values, at, row.strideOut, count);
  }
}

void softmax(const SoftmaxArgs& args, Parallel& parallel) {
  constexpr int64_t longest = 1 << 18;  // 1 MiB of scratch
  const TensorView &x = args.x, &out = args.out;
  const int last = out.rank - 1;
  const int64_t n = out.shape[last];
  const FloatSource source(x);
  const FloatSink sink(out);
  const bool direct =
      x.dtype == DType::Float32 && out.dtype == DType::Float32 && x.strides[last] == 1 && out.strides[last] == 1;
  if (!direct && n <= longest) parallel.reserveScratch(parallel, size_t(n) * sizeof(float), 0);
  forRows(makeWalk<2>({&x, &out}, last), n, parallel, [&](const int64_t(&at)[2], int thread) {
    const SoftmaxRow row = {source, sink, n, at[0], x.strides[last], at[1], out.strides[last]};
    if (n > longest)
      softmaxLongRow(row);
    else
      softmaxRow(row, direct ? nullptr : reinterpret_cast<float*>(parallel.threadScratch(parallel, thread)));
  });
}

void nll(const NllArgs& args, Parallel& parallel) {
  const TensorView& logits = args.logits;
  const int64_t n = logits.shape[1], stride = logits.strides[1];
  const FloatSource source(logits);
  const FloatSink sink(args.out);
  parallelGroups(parallel, logits.shape[0], max(int64_t(1), elementsPerItem / max(int64_t(1), n)),
                 [&](int64_t row, int) {
                   alignas(64) float buffer[blockLength];
                   const int64_t target = args.targets.as<const int32_t>()[row * args.targets.strides[0]];
                   float result = __builtin_nanf("");
                   if (target < 0 || target >= n) {
                     if (args.badIndex) keepLowest(args.badIndex, row);
                   } else {
                     const int64_t at = row * logits.strides[0];
                     RunningSum total;
                     for (int64_t first = 0; first < n; first += blockLength) {
                       int64_t count = min(blockLength, n - first);
                       total.add(source.read(at + first * stride, stride, count, buffer), count);
                     }
                     float logit = *source.read(at + target * stride, 1, 1, buffer);
                     result = float(double(total.maximum) - double(logit) + __builtin_log(total.sum));
                   }
                   sink.write(&result, row * args.out.strides[0], 1, 1);
                 });
}
