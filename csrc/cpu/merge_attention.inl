// Brings parts of attention over disjoint key sets together: lse = log Σ exp lseᵢ, out = Σ exp(lseᵢ − lse) outᵢ.
// Sums of patterns, ring attention and LongNet's several rates end here. A part that saw nothing (lse −∞) is ignored,
// whatever its out holds; a row that nobody saw is 0 with lse −∞. Key sets that overlap count as often as they appear.

template <class T>
void addPart(float* row, const T* out, int64_t stride, int dim, float weight) {
  int d = 0;
  if (stride == 1)
    for (; d + lanes <= dim; d += lanes) store(row + d, load(row + d) + load(out + d) * weight);
  for (; d < dim; ++d) row[d] += toFloat(out[d * stride]) * weight;
}

LONGSPAN_INLINE int64_t rowOf(const TensorView& t, int64_t batch, int64_t query, int64_t head) {
  return batch * t.strides[0] + query * t.strides[1] + head * t.strides[2];
}
LONGSPAN_INLINE float& lseOf(const TensorView& t, int64_t batch, int64_t query, int64_t head) {
  return t.as<float>()[batch * t.strides[0] + head * t.strides[1] + query * t.strides[2]];
}

void mergeRow(const MergeArgs& args, int64_t batch, int64_t query, int64_t head) {
  int dim = int(args.out.shape[3]);
  constexpr float none = -__builtin_inff();
  float highest = none, total = 0, row[256];
  for (int i = 0; i < args.parts; ++i) highest = max(highest, lseOf(args.lses[i], batch, query, head));
  __builtin_memset(row, 0, sizeof row);
  bool seen = highest > none;
  for (int i = 0; i < args.parts && seen; ++i) {
    float lse = lseOf(args.lses[i], batch, query, head);
    if (lse == none) continue;
    float weight = exp2(broadcast((lse - highest) * log2e))[0];
    total += weight;
    const TensorView& part = args.outs[i];
    int64_t at = rowOf(part, batch, query, head);
    switch (part.dtype) {
      case DType::Float32:
        addPart(row, part.as<float>() + at, part.strides[3], dim, weight);
        break;
      case DType::Float16:
        addPart(row, part.as<Float16>() + at, part.strides[3], dim, weight);
        break;
      default:
        addPart(row, part.as<BFloat16>() + at, part.strides[3], dim, weight);
    }
  }
  for (int d = 0; d < dim && seen; ++d) row[d] /= total;
  int64_t at = rowOf(args.out, batch, query, head);
  switch (args.out.dtype) {
    case DType::Float32:
      writeRow(args.out.as<float>() + at, args.out.strides[3], row, dim);
      break;
    case DType::Float16:
      writeRow(args.out.as<Float16>() + at, args.out.strides[3], row, dim);
      break;
    default:
      writeRow(args.out.as<BFloat16>() + at, args.out.strides[3], row, dim);
  }
  if (args.lse) lseOf(args.lse, batch, query, head) = seen ? highest + __builtin_logf(total) : none;
}

void mergeAttention(const MergeArgs& args, Parallel& parallel) {
  int64_t batch = args.out.shape[0], seqLenQ = args.out.shape[1], heads = args.out.shape[2];
  constexpr int64_t queriesPerItem = 16;
  int64_t tiles = (seqLenQ + queriesPerItem - 1) / queriesPerItem;
  parallelFor(parallel, batch * tiles, [&](int64_t item, int) {
    int64_t b = item / tiles, first = item % tiles * queriesPerItem;
    for (int64_t query = first; query < min(first + queriesPerItem, seqLenQ); ++query)
      for (int64_t head = 0; head < heads; ++head) mergeRow(args, b, query, head);
  });
}
