// The causal core of Luna (Ma et al. 2021, "Luna: Linear Unified Nested Attention"). With omega_t = log2(1 + 2^(P k_t))
// and f(x, y, z)_t = x_t Σ_{j ≤ t} y_jᵀ z_j / t: a = softmax f(scale · q, k, omega), out = f(a, omega, v). Both sums
// over earlier chunks are the state, Σ kᵀ omega and Σ omegaᵀ v; within a chunk they are products of masked squares.

constexpr int64_t lunaChunk = 64;

// log2(1 + u) for 0 ≤ u ≤ 1, relative error 1e-7: 2 log2 e · atanh(u / (2 + u)), z ≤ 1/3
LONGSPAN_INLINE Vec log2OnePlus(Vec u) {
  Vec z = u / (u + 2.f), square = z * z;
  Vec p = broadcast(1.f / 15);
  p = p * square + 1.f / 13;
  p = p * square + 1.f / 11;
  p = p * square + 1.f / 9;
  p = p * square + 1.f / 7;
  p = p * square + 1.f / 5;
  p = p * square + 1.f / 3;
  p = p * square + 1.f;
  return 2.885390082f * z * p;
}
LONGSPAN_INLINE Vec softplus2(Vec x) { return max(x, Vec{}) + log2OnePlus(exp2NonPositive(-absolute(x))); }

struct LunaPlan {
  int64_t seqLenQ, seqLenKV, heads, group, kvGroup, extraLen;
  int64_t headDim, valueDim, keyWidth, extraWidth, valueWidth;  // widths in whole vectors
};
struct LunaScratch {
  float* extra;                     // P as [headDim][extraWidth]
  float *keySums, *valueSums;       // [headDim][extraWidth], [extraLen][valueWidth]
  float *keys, *values, *omega;     // [chunk][width]
  float *keysByDim, *omegaByExtra;  // [headDim][chunk], [extraLen][chunk]
  float *queries, *scores, *attention, *out;
  int64_t bytes;
};

LunaPlan planLuna(const LunaArgs& args) {
  LunaPlan plan = {};
  plan.seqLenQ = args.q.shape[1], plan.seqLenKV = args.k.shape[1];
  plan.heads = args.extra.shape[2], plan.extraLen = args.extra.shape[1];
  plan.group = args.q.shape[2] / max(int64_t(1), plan.heads);
  plan.kvGroup = plan.heads / max(int64_t(1), args.k.shape[2]);
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3];
  plan.keyWidth = roundUp(plan.headDim, lanes);
  plan.extraWidth = roundUp(plan.extraLen, lanes);
  plan.valueWidth = roundUp(plan.valueDim, lanes);
  return plan;
}

LunaScratch layOutLuna(const LunaPlan& plan, unsigned char* base) {
  ScratchPieces pieces = {base};
  LunaScratch s = {};
  s.extra = pieces.take<float>(plan.headDim * plan.extraWidth);
  s.keySums = pieces.take<float>(plan.headDim * plan.extraWidth);
  s.valueSums = pieces.take<float>(plan.extraLen * plan.valueWidth);
  s.keys = pieces.take<float>(lunaChunk * plan.keyWidth);
  s.values = pieces.take<float>(lunaChunk * plan.valueWidth);
  s.omega = pieces.take<float>(lunaChunk * plan.extraWidth);
  s.keysByDim = pieces.take<float>(plan.headDim * lunaChunk);
  s.omegaByExtra = pieces.take<float>(plan.extraLen * lunaChunk);
  s.queries = pieces.take<float>(lunaChunk * plan.keyWidth);
  s.scores = pieces.take<float>(lunaChunk * lunaChunk);
  s.attention = pieces.take<float>(lunaChunk * plan.extraWidth);
  s.out = pieces.take<float>(lunaChunk * plan.valueWidth);
  s.bytes = pieces.used;
  return s;
}

// Rows of a state tensor [batch, heads, rows, columns], to and from rows of `width`
LONGSPAN_INLINE float* stateRows(const TensorView& t, int64_t batch, int64_t head) {
  return t.as<float>() + batch * t.strides[0] + head * t.strides[1];
}
void readState(const TensorView& t, int64_t batch, int64_t head, float* out, int64_t rows, int64_t width) {
  if (!t) return (void)__builtin_memset(out, 0, size_t(rows * width * 4));
  copyRows(stateRows(t, batch, head), t.strides[2], rows, t.shape[3], out);
}
void writeState(const TensorView& t, int64_t batch, int64_t head, const float* from, int64_t rows, int64_t width) {
  if (!t) return;
  for (int64_t r = 0; r < rows; ++r)
    __builtin_memcpy(stateRows(t, batch, head) + r * t.strides[2], from + r * width, size_t(t.shape[3]) * 4);
}

// scores[row][key] of keys behind the row's own are 0
void cutLaterKeys(float* scores, int64_t rows, int64_t firstKey) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t key = firstKey + r + 1; key < lunaChunk; ++key) scores[r * lunaChunk + key] = 0;
}
void softmaxExtra(const LunaPlan& plan, float* row, float share) {
  for (int64_t i = 0; i < plan.extraWidth; i += lanes) store(row + i, load(row + i) * share);
  const float total = exponentiateRow(row, plan.extraLen, maxOf(row, plan.extraLen));
  for (int64_t i = 0; i < plan.extraWidth; i += lanes) store(row + i, load(row + i) / total);
}

struct LunaChunk {
  int64_t first, count;    // keys
  int64_t firstRow, rows;  // queries whose own key is in the chunk
  int64_t position;        // 1-based, of the first of these queries
  int64_t offset;          // of its key within the chunk
};

// keys, values, omega of the chunk, and the two that come second in a product
template <class T>
void loadChunk(const LunaPlan& plan, const LunaScratch& s, const HeadRows<const T>& keys,
               const HeadRows<const T>& values, const LunaChunk& chunk) {
  copyRows(keys[chunk.first], keys.stride, chunk.count, plan.headDim, s.keys);
  copyRows(values[chunk.first], values.stride, chunk.count, plan.valueDim, s.values);
  product(chunk.count, {s.keys, plan.keyWidth, 1}, s.extra, plan.extraWidth, plan.headDim, s.omega, true);
  for (int64_t i = 0; i < chunk.count * plan.extraWidth; i += lanes) store(s.omega + i, softplus2(load(s.omega + i)));
  packColumns(
      chunk.count, plan.headDim, 1, [&](int64_t r) { return s.keys + r * plan.keyWidth; }, s.keysByDim, lunaChunk);
  packColumns(
      chunk.count, plan.extraLen, 1, [&](int64_t r) { return s.omega + r * plan.extraWidth; }, s.omegaByExtra,
      lunaChunk);
}

template <class T>
void attendChunkOf(const LunaArgs& args, const LunaPlan& plan, const LunaScratch& s, const LunaChunk& chunk,
                   const HeadRows<const T>& queries, const HeadRows<T>& outs) {
  const int64_t rows = chunk.rows;
  copyRows(queries[chunk.firstRow], queries.stride, rows, plan.headDim, s.queries);
  const float factor = powersOf2(args.scale);
  product(rows, {s.queries, plan.keyWidth, 1}, s.keysByDim, lunaChunk, plan.headDim, s.scores, true);
  cutLaterKeys(s.scores, rows, chunk.offset);
  product(rows, {s.queries, plan.keyWidth, 1}, s.keySums, plan.extraWidth, plan.headDim, s.attention, true);
  product(rows, {s.scores, lunaChunk, 1}, s.omega, plan.extraWidth, chunk.count, s.attention, false);
  for (int64_t r = 0; r < rows; ++r)
    softmaxExtra(plan, s.attention + r * plan.extraWidth, factor / float(chunk.position + r));
  product(rows, {s.attention, plan.extraWidth, 1}, s.omegaByExtra, lunaChunk, plan.extraLen, s.scores, true);
  cutLaterKeys(s.scores, rows, chunk.offset);
  product(rows, {s.attention, plan.extraWidth, 1}, s.valueSums, plan.valueWidth, plan.extraLen, s.out, true);
  product(rows, {s.scores, lunaChunk, 1}, s.values, plan.valueWidth, chunk.count, s.out, false);
  for (int64_t r = 0; r < rows; ++r) {
    const float share = 1.f / float(chunk.position + r);
    for (int64_t d = 0; d < plan.valueDim; d += lanes)
      storeUpTo(outs[chunk.firstRow + r] + d, load(s.out + r * plan.valueWidth + d) * share, plan.valueDim - d);
  }
}

template <class T>
void lunaItem(const LunaArgs& args, const LunaPlan& plan, const LunaScratch& s, int64_t batch, int64_t head,
              const Parallel& parallel) {
  const HeadRows<const T> keys(args.k, batch, head / plan.kvGroup), values(args.v, batch, head / plan.kvGroup);
  const HeadRows<const T> extra(args.extra, batch, head);
  packColumns(
      plan.extraLen, plan.headDim, 1, [&](int64_t r) { return extra[r]; }, s.extra, plan.extraWidth);
  readState(args.keySums, batch, head, s.keySums, plan.headDim, plan.extraWidth);
  readState(args.valueSums, batch, head, s.valueSums, plan.extraLen, plan.valueWidth);
  const int64_t offset = plan.seqLenKV - plan.seqLenQ;
  for (int64_t first = 0; first < plan.seqLenKV && !parallel.cancelled(); first += lunaChunk) {
    LunaChunk chunk = {first, min(lunaChunk, plan.seqLenKV - first), 0, 0, 0, 0};
    loadChunk(plan, s, keys, values, chunk);
    const int64_t firstSeen = max(first, offset);
    chunk.firstRow = firstSeen - offset;
    chunk.rows = first + chunk.count - firstSeen;
    chunk.position = args.positions + firstSeen + 1;
    chunk.offset = firstSeen - first;
    if (chunk.rows > 0)
      for (int64_t h = head * plan.group; h < (head + 1) * plan.group; ++h)
        attendChunkOf<T>(args, plan, s, chunk, {args.q, batch, h}, {args.out, batch, h});
    product(plan.headDim, {s.keys, 1, plan.keyWidth}, s.omega, plan.extraWidth, chunk.count, s.keySums, false);
    product(plan.extraLen, {s.omega, 1, plan.extraWidth}, s.values, plan.valueWidth, chunk.count, s.valueSums, false);
  }
  for (int64_t h = head * plan.group; h < (head + 1) * plan.group; ++h)
    for (int64_t row = 0; row < min(-offset, plan.seqLenQ); ++row)  // before the first key
      __builtin_memset(HeadRows<T>(args.out, batch, h)[row], 0, size_t(plan.valueDim) * sizeof(T));
  writeState(args.newKeySums, batch, head, s.keySums, plan.headDim, plan.extraWidth);
  writeState(args.newValueSums, batch, head, s.valueSums, plan.extraLen, plan.valueWidth);
}

void lunaAttention(const LunaArgs& args, Parallel& parallel) {
  const LunaPlan plan = planLuna(args);
  parallel.reserveScratch(parallel, size_t(layOutLuna(plan, nullptr).bytes), 0);
  parallelFor(parallel, args.q.shape[0] * plan.heads, [&](int64_t item, int thread) {
    const LunaScratch s = layOutLuna(plan, parallel.threadScratch(parallel, thread));
    withFloatType(args.q.dtype,
                  [&]<class T>(T*) { lunaItem<T>(args, plan, s, item / plan.heads, item % plan.heads, parallel); });
  });
}
