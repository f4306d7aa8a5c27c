// Gated activations (Shazeer 2020, "GLU variants improve transformer") and broadcasting add and mul. Each works on
// float32 spans, whatever the dtypes and strides of its tensors.

// out[i] = f(a[i], b[i]) for Vec; b may be null
template <class F>
LONGSPAN_INLINE void mapSpan(const float* a, const float* b, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(out + i, f(load(a + i), b ? load(b + i) : Vec{}));
  if (i < n) {
    int rest = int(n - i);
    storePart(out + i, f(loadPart(a + i, rest), b ? loadPart(b + i, rest) : Vec{}), rest);
  }
}

template <Activation activation>
void gateSpan(const float* gate, const float* up, float* out, int64_t n) {
  if (up) {
    mapSpan(gate, up, out, n, [](Vec g, Vec u) { return activate<activation>(g) * u; });
  } else {
    mapSpan(gate, nullptr, out, n, [](Vec g, Vec) { return activate<activation>(g); });
  }
}
void addSpan(const float* a, const float* b, float* out, int64_t n) {
  mapSpan(a, b, out, n, [](Vec x, Vec y) { return x + y; });
}
void mulSpan(const float* a, const float* b, float* out, int64_t n) {
  mapSpan(a, b, out, n, [](Vec x, Vec y) { return x * y; });
}

typedef void (*SpanFunction)(const float* a, const float* b, float* out, int64_t n);

inline SpanFunction gateFunction(Activation activation) {
  switch (activation) {
    case Activation::Silu:
      return gateSpan<Activation::Silu>;
    case Activation::Gelu:
      return gateSpan<Activation::Gelu>;
    case Activation::GeluTanh:
      return gateSpan<Activation::GeluTanh>;
    case Activation::Relu:
      return gateSpan<Activation::Relu>;
    case Activation::None:
      break;
  }
  return gateSpan<Activation::None>;
}

void mapTensors(const TensorView& a, const TensorView& b, const TensorView& out, SpanFunction f, Parallel& parallel) {
  const FloatSource sourceA(a), sourceB(b);
  const FloatSink sink(out);
  const bool hasB = bool(b);
  forSpans(makeWalk<3>({&a, &b, &out}, out.rank), spanLength, parallel,
           [&](const int64_t(&at)[3], const int64_t(&strides)[3], int64_t n) {
             alignas(64) float bufferA[spanLength], bufferB[spanLength], bufferOut[spanLength];
             const float* valuesA = sourceA.read(at[0], strides[0], n, bufferA);
             const float* valuesB = hasB ? sourceB.read(at[1], strides[1], n, bufferB) : nullptr;
             float* values = sink.place(at[2], strides[2], bufferOut);
             f(valuesA, valuesB, values, n);
             sink.write(values, at[2], strides[2], n);
           });
}

void gated(const GatedArgs& args, Parallel& parallel) {
  mapTensors(args.gate, args.up, args.out, gateFunction(args.activation), parallel);
}

void binary(const BinaryArgs& args, Parallel& parallel) {
  mapTensors(args.a, args.b, args.out, args.op == BinaryOp::Add ? addSpan : mulSpan, parallel);
}
