// The delta rule (Schlag et al. 2021; Yang et al. 2024, DeltaNet): S += beta kᵀ (v − k S), token by token. Columns of S
// are independent, so an item is some columns of a head. A token's update, the read of its query and the read of the
// next token's key pass over S together.

struct DeltaPlan {
  int64_t seqLenQ, seqLenKV, numHeads, group, headDim, valueDim, blocks, pitch;
  static constexpr int vecs = 2;
  static constexpr int64_t width = vecs * lanes, chunk = longestChunk;
};

struct DeltaItem {
  int64_t batch, head, kvHead, column, columns;
};

struct DeltaScratch {
  float *queries, *keys;  // [chunk][pitch]
  float *values, *out;    // [chunk][width]
  float* beta;            // [chunk]
  float* state;           // [headDim][width]
  int64_t bytes;
};

LONGSPAN_INLINE DeltaScratch layOutDelta(const DeltaPlan& plan, unsigned char* base) {
  DeltaScratch s = {};
  auto floats = [&](int64_t n) {
    float* at = (float*)(base + s.bytes);
    s.bytes += ceilDiv(n * 4, 64) * 64;
    return at;
  };
  s.queries = floats(plan.chunk * plan.pitch);
  s.keys = floats(plan.chunk * plan.pitch);
  s.values = floats(plan.chunk * plan.width);
  s.out = floats(plan.chunk * plan.width);
  s.beta = floats(plan.chunk);
  s.state = floats(plan.headDim * plan.width);
  return s;
}

// out = query S after S += keyᵀ added; next = nextKey S
LONGSPAN_INLINE void deltaStep(const float* query, const float* key, const float* nextKey, int64_t headDim,
                               const Vec (&added)[DeltaPlan::vecs], float* state, float* out,
                               Vec (&next)[DeltaPlan::vecs]) {
  constexpr int vecs = DeltaPlan::vecs;
  Vec sums[vecs] = {}, ahead[vecs] = {};
#pragma GCC unroll 2
  for (int64_t d = 0; d < headDim; ++d) {
    const Vec k = broadcast(key[d]), q = broadcast(query[d]), n = broadcast(nextKey[d]);
#pragma GCC unroll 2
    for (int j = 0; j < vecs; ++j) {
      float* at = state + d * DeltaPlan::width + j * lanes;
      const Vec s = load(at) + k * added[j];
      store(at, s);
      sums[j] += q * s;
      ahead[j] += n * s;
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < vecs; ++j) {
    store(out + j * lanes, sums[j]);
    next[j] = ahead[j];
  }
}

LONGSPAN_INLINE void readDelta(const float* row, int64_t headDim, const float* state, Vec (&sums)[DeltaPlan::vecs]) {
  for (Vec& sum : sums) sum = Vec{};
  for (int64_t d = 0; d < headDim; ++d)
#pragma GCC unroll 2
    for (int j = 0; j < DeltaPlan::vecs; ++j)
      sums[j] += broadcast(row[d]) * load(state + d * DeltaPlan::width + j * lanes);
}

void deltaTokens(const DeltaPlan& plan, int64_t tokens, DeltaScratch& s) {
  Vec seen[DeltaPlan::vecs], added[DeltaPlan::vecs];
  readDelta(s.keys, plan.headDim, s.state, seen);
  for (int64_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 2
    for (int j = 0; j < DeltaPlan::vecs; ++j)
      added[j] = (load(s.values + t * plan.width + j * lanes) - seen[j]) * s.beta[t];
    const float* key = s.keys + t * plan.pitch;
    deltaStep(s.queries + t * plan.pitch, key, t + 1 < tokens ? key + plan.pitch : key, plan.headDim, added, s.state,
              s.out + t * plan.width, seen);
  }
}

LONGSPAN_INLINE void readRows(const TensorView& x, int64_t batch, int64_t head, int64_t first, int64_t tokens,
                              int64_t column, int64_t n, float scale, float* out, int64_t pitch) {
  const FloatSource source(x);
  const int64_t at = batch * x.strides[0] + first * x.strides[1] + head * x.strides[2] + column * x.strides[3];
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = out + t * pitch;
    source.toFloats(source.data + (at + t * x.strides[1]) * bytesOf(x.dtype), x.strides[3], row, 1, n);
    if (scale != 1) mapRow(row, row, n, [&](Vec a) { return a * scale; });
  }
}

LONGSPAN_INLINE void writeDelta(const TensorView& out, const DeltaItem& item, int64_t first, int64_t tokens,
                                const DeltaScratch& s) {
  const FloatSink sink(out);
  for (int64_t t = 0; t < tokens; ++t)
    sink.write(s.out + t * DeltaPlan::width,
               item.batch * out.strides[0] + (first + t) * out.strides[1] + item.head * out.strides[2] +
                   item.column * out.strides[3],
               out.strides[3], item.columns);
}

// f(value of the tensor, value of S)
template <class F>
LONGSPAN_INLINE void forDeltaState(const TensorView& view, const DeltaPlan& plan, const DeltaItem& item,
                                   const DeltaScratch& s, const F& f) {
  float* base = view.as<float>() + item.batch * view.strides[0] + item.head * view.strides[1];
  for (int64_t d = 0; d < plan.headDim; ++d)
    for (int64_t j = 0; j < item.columns; ++j)
      f(base[d * view.strides[2] + (item.column + j) * view.strides[3]], s.state[d * plan.width + j]);
}

void deltaItem(const DeltaRuleArgs& args, const DeltaPlan& plan, const DeltaItem& item, DeltaScratch& s,
               const Parallel& parallel) {
  const int64_t betaHead = args.beta.shape[2] == plan.numHeads ? item.head : item.kvHead;
  fill(s.values, plan.chunk * plan.width, 0);
  fill(s.state, plan.headDim * plan.width, 0);
  if (args.before) forDeltaState(args.before, plan, item, s, [](float from, float& to) { to = from; });
  // before the first key queries read the state as it is
  for (int64_t query = 0; query < min(plan.seqLenQ, -args.offset); ++query) {
    Vec sums[DeltaPlan::vecs];
    readRows(args.q, item.batch, item.head, query, 1, 0, plan.headDim, args.scale, s.queries, plan.pitch);
    readDelta(s.queries, plan.headDim, s.state, sums);
    for (int j = 0; j < DeltaPlan::vecs; ++j) store(s.out + j * lanes, sums[j]);
    writeDelta(args.out, item, query, 1, s);
  }
  for (int64_t first = 0; first < plan.seqLenKV && !parallel.cancelled(); first += plan.chunk) {
    const int64_t tokens = min(plan.chunk, plan.seqLenKV - first), query = first - args.offset;
    const int64_t skipped = min(tokens, max(int64_t(0), -query));  // keys before the first query
    readRows(args.k, item.batch, item.kvHead, first, tokens, 0, plan.headDim, 1, s.keys, plan.pitch);
    readRows(args.v, item.batch, item.kvHead, first, tokens, item.column, item.columns, 1, s.values, plan.width);
    readRows(args.beta, item.batch, betaHead, first, tokens, 0, 1, 1, s.beta, 1);
    if (skipped < tokens)
      readRows(args.q, item.batch, item.head, query + skipped, tokens - skipped, 0, plan.headDim, args.scale,
               s.queries + skipped * plan.pitch, plan.pitch);
    deltaTokens(plan, tokens, s);
    DeltaScratch rest = s;
    rest.out += skipped * plan.width;
    writeDelta(args.out, item, query + skipped, tokens - skipped, rest);
  }
  if (args.after) forDeltaState(args.after, plan, item, s, [](float& to, float from) { to = from; });
}

void deltaRule(const DeltaRuleArgs& args, Parallel& parallel) {
  DeltaPlan plan = {.seqLenQ = args.q.shape[1], .seqLenKV = args.k.shape[1], .numHeads = args.q.shape[2]};
  const int64_t batch = args.q.shape[0], items = batch * plan.numHeads;
  if (items == 0) return;
  plan.group = plan.numHeads / args.k.shape[2];
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3];
  plan.blocks = ceilDiv(plan.valueDim, plan.width);
  plan.pitch = ceilDiv(plan.headDim, 16) * 16;
  parallel.reserveScratch(parallel, layOutDelta(plan, nullptr).bytes, 0);
  parallelFor(parallel, items * plan.blocks, [&](int64_t index, int thread) {
    DeltaScratch s = layOutDelta(plan, parallel.threadScratch(parallel, thread));
    fill(s.queries, plan.chunk * plan.pitch, 0);  // of keys before the first query
    const int64_t column = index % plan.blocks * plan.width, head = index / plan.blocks % plan.numHeads;
    const DeltaItem item = {index / plan.blocks / plan.numHeads, head, head / plan.group, column,
                            min(plan.width, plan.valueDim - column)};
    deltaItem(args, plan, item, s, parallel);
  });
}
