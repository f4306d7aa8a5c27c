// out[r] = Σ over tokens of projection[token][r] · x[token], per head: Linformer's E^T K (Wang et al. 2020). Tokens are
// read in chunks, in order; an item has some rows of the projection and all tokens.

constexpr int64_t tokensPerChunk = 128, projectedPerItem = 32;

template <class T>
void projectItem(const ProjectTokensArgs& args, int64_t batch, int64_t head, int64_t first, ScratchPieces scratch,
                 const Parallel& parallel) {
  const TensorView &x = args.x, &projection = args.projection, &out = args.out;
  const int64_t seqLen = x.shape[1], dim = x.shape[3], width = roundUp(dim, lanes);
  const int64_t count = min(projectedPerItem, out.shape[1] - first);
  float* weights = scratch.take<float>(tokensPerChunk * projectedPerItem);
  float* rows = scratch.take<float>(tokensPerChunk * width);
  float* sums = scratch.take<float>(projectedPerItem * width);
  const HeadRows<const T> tokens(x, batch, head);
  const FloatSource source(projection);
  const int64_t at = head * projection.strides[0] + first * projection.strides[2];
  __builtin_memset(sums, 0, size_t(count * width * 4));
  for (int64_t token = 0; token < seqLen && !parallel.cancelled(); token += tokensPerChunk) {
    const int64_t n = min(tokensPerChunk, seqLen - token);
    copyRows(tokens[token], tokens.stride, n, dim, rows);
    for (int64_t i = 0; i < n; ++i) {
      float* weight = weights + i * projectedPerItem;
      const float* read = source.read(at + (token + i) * projection.strides[1], projection.strides[2], count, weight);
      if (read != weight) __builtin_memcpy(weight, read, size_t(count) * 4);
    }
    product(count, {weights, 1, projectedPerItem}, rows, width, n, sums, false);
  }
  const HeadRows<float> result(out, batch, head);
  for (int64_t r = 0; r < count; ++r) __builtin_memcpy(result[first + r], sums + r * width, size_t(dim) * 4);
}

void projectTokens(const ProjectTokensArgs& args, Parallel& parallel) {
  const int64_t heads = args.x.shape[2], width = roundUp(args.x.shape[3], lanes);
  const int64_t pieces = ceilDiv(args.out.shape[1], projectedPerItem);
  const int64_t floats = tokensPerChunk * (projectedPerItem + width) + projectedPerItem * width;
  parallel.reserveScratch(parallel, size_t(floats * 4 + 3 * 64), 0);
  parallelFor(parallel, args.x.shape[0] * heads * pieces, [&](int64_t item, int thread) {
    const int64_t slot = item / pieces;
    withFloatType(args.x.dtype, [&]<class T>(T*) {
      projectItem<T>(args, slot / heads, slot % heads, item % pieces * projectedPerItem,
                     {parallel.threadScratch(parallel, thread)}, parallel);
    });
  });
}
