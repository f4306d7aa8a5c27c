// What the options add to a score beyond scale, softcap, ALiBi and bias: a bias by distance from a table (T5, KERPLE,
// Sandwich), and spans that expire (Sukhbaatar et al. 2021, Expire-Span: the weight of a key falls along a ramp, as the
// logarithm that is added here). One pair at a time: these are the slow, general terms.

LONGSPAN_INLINE bool hasTerms(const AttentionArgs& args) { return args.distanceBias || args.expireSpans; }

LONGSPAN_INLINE float scoreTerms(const AttentionArgs& args, int batch, int head, int position, int key) {
  float term = 0;
  int distance = position - key;
  if (args.distanceBias) {
    const TensorView& table = args.distanceBias;
    int last = int(table.shape[1]) - 1, at = distance - args.firstDistance;
    at = at < 0 ? 0 : at > last ? last : at;
    term += table.as<float>()[head * table.strides[0] + at * table.strides[1]];
  }
  if (args.expireSpans) {
    const TensorView& spans = args.expireSpans;
    float span = spans.as<float>()[batch * spans.strides[0] + key * spans.strides[1]];
    float weight = (span - float(distance)) / args.expireRamp + 1;
    term += weight >= 1 ? 0 : weight > 0 ? __builtin_logf(weight) : -__builtin_inff();
  }
  return term;
}

LONGSPAN_INLINE float queryScaleOf(const AttentionArgs& args, int batch, int head, int query) {
  const TensorView& scale = args.queryScale;
  if (!scale) return 1;
  return scale.as<float>()[batch * scale.strides[0] + head * scale.strides[1] + query * scale.strides[2]];
}
