// How decode attention is cut: chunks of keys that depend on lengths and pattern only, the scratch of a thread, the
// rows of a KV head with their packed queries, and which keys of a block they see.

// Up to so many rows of a KV head decode is faster than flash attention, whose subtile of 64 rows would be mostly
// empty. Measured on Zen 4, 32/8 heads × 128, every ISA and both dtypes: at 32 rows 0.6 to 0.8 of its time, at 64 about
// equal.
constexpr int decodeMaxRows = 48;

constexpr int64_t decodeStateBytes = 4 << 20;  // of all chunks together
constexpr int decodeMaxChunks = 64;

struct DecodePlan {
  const AttentionArgs& args;
  const Pattern& pattern;
  const PatternWalk& walk;
  int numKVHeads, group, seqLenQ, rows;
  int64_t seqLenKV;
  int headDim, valueDim, keyDim, paddedValueDim;
  bool bent;                 // scores are more than scale · q k: they are kept in natural units, else as q k
  bool headsInside;          // tensors [seq, heads, dim]: all heads of a block of keys before the next, as memory lies
  int64_t firstKey, endKey;  // whole slabs: no query sees a key outside
  int64_t chunkKeys, chunks, batches, stateStride;
  int64_t queryBytes, scoreBytes, keyBytes, valueBytes;  // scratch of a thread

  int64_t threadBytes() const {
    return queryBytes + 2 * scoreBytes + 2 * (keyBytes + valueBytes) + roundUp64(rows * 4) + cacheKeys * 8;
  }
  int64_t stateOfBatch() const { return chunks * numKVHeads * rows * stateStride; }
  static int64_t roundUp64(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

// Does any query of any head see a key of this slab?
bool seesSlab(const Pattern& pattern, int seqLenQ, int64_t slab, int64_t seqLenKV) {
  const int64_t first = slab * KVCacheView::keysPerSlab;
  const Rows queries = {0, seqLenQ}, keys = {int(first), int(min(int64_t(KVCacheView::keysPerSlab), seqLenKV - first))};
  for (int i = 0; i < (pattern.each ? pattern.eachBatch * pattern.eachHead : 1); ++i) {
    const Pattern& one = pattern.each ? pattern.each[i] : pattern;
    if (walkOf(one).cover(one, queries, keys) != Cover::None) return true;
  }
  return false;
}

DecodePlan planDecode(const AttentionArgs& args) {
  const KVCacheView& cache = args.cache;
  DecodePlan plan = {args, *args.pattern, walkOf(*args.pattern)};
  plan.numKVHeads = cache.slabs ? cache.numKVHeads : int(args.k.shape[2]);
  plan.group = int(args.q.shape[2]) / plan.numKVHeads;
  plan.seqLenQ = int(args.q.shape[1]);
  plan.rows = plan.group * plan.seqLenQ;
  plan.seqLenKV = cache.slabs ? cache.length : args.k.shape[1];
  plan.headDim = int(args.q.shape[3]);
  plan.valueDim = int(args.out.shape[3]);
  KVCacheView dims = {.headDim = plan.headDim, .valueDim = plan.valueDim};
  plan.keyDim = dims.keyDim();
  plan.paddedValueDim = dims.paddedValueDim();
  plan.bent = args.softcap > 0 || args.alibiSlopes || args.bias || args.queryScale || hasTerms(args) || args.scale <= 0;
  plan.headsInside = !cache.slabs && args.k.strides[2] < args.k.strides[1];
  plan.stateStride = plan.paddedValueDim + stateExtra;
  int64_t headStates = int64_t(plan.numKVHeads) * plan.rows * plan.stateStride * 4;
  int64_t begin = 0, end = dims.numSlabs(plan.seqLenKV);  // threads get equal shares only of what is seen
  while (end > begin + 1 && !seesSlab(plan.pattern, plan.seqLenQ, end - 1, plan.seqLenKV)) --end;
  while (begin + 1 < end && !seesSlab(plan.pattern, plan.seqLenQ, begin, plan.seqLenKV)) ++begin;
  plan.firstKey = begin * KVCacheView::keysPerSlab;
  plan.endKey = min(end * KVCacheView::keysPerSlab, plan.seqLenKV);
  int64_t slabs = end - begin;
  int64_t maxChunks = max(int64_t(1), min(int64_t(decodeMaxChunks), decodeStateBytes / headStates));
  int64_t slabsPerChunk = max(int64_t(1), (slabs + maxChunks - 1) / maxChunks);
  plan.chunkKeys = slabsPerChunk * KVCacheView::keysPerSlab;
  plan.chunks = max(int64_t(1), (slabs + slabsPerChunk - 1) / slabsPerChunk);
  plan.batches = max(int64_t(1), min(args.q.shape[0], decodeStateBytes / (plan.chunks * headStates)));
  plan.queryBytes =
      DecodePlan::roundUp64(int64_t(plan.headsInside ? plan.numKVHeads : 1) * plan.rows * plan.keyDim * 4);
  plan.scoreBytes = int64_t(plan.rows) * cacheKeys * 4;
  plan.keyBytes = int64_t(cacheKeys) * plan.keyDim * 4;
  plan.valueBytes = int64_t(cacheKeys) * plan.paddedValueDim * 4;
  return plan;
}

// What a thread needs for one item; row r is query r / group of head kvHead * group + r % group.
struct DecodeItem {
  const DecodePlan& plan;
  int64_t batch, firstKey, endKey;
  unsigned char *query, *keys, *values, *staged;  // q factors of every head of the item; a block; its source rows
  float *scores, *states;                         // states of [head][row]
  void* probabilities;
  uint32_t* live;  // [row]: bit i: row may see key i of the block
  uint64_t* mask;
};

DecodeItem beginItem(const DecodePlan& plan, unsigned char* scratch, float* states, int64_t batch, int64_t chunk,
                     int heads) {
  const int64_t first = plan.firstKey + chunk * plan.chunkKeys;
  DecodeItem item = {plan, batch, first, min(first + plan.chunkKeys, plan.endKey)};
  item.query = scratch;
  item.scores = (float*)(item.query + plan.queryBytes);
  item.probabilities = (unsigned char*)item.scores + plan.scoreBytes;
  item.keys = (unsigned char*)item.probabilities + plan.scoreBytes;
  item.values = item.keys + plan.keyBytes;
  item.staged = item.values + plan.valueBytes;
  item.live = (uint32_t*)(item.staged + plan.keyBytes + plan.valueBytes);
  item.mask = (uint64_t*)((unsigned char*)item.live + DecodePlan::roundUp64(plan.rows * 4));
  item.states = states;
  for (int64_t row = 0; row < int64_t(heads) * plan.rows; ++row) {
    float* state = states + row * plan.stateStride;
    __builtin_memset(state, 0, plan.stateStride * 4);
    maximumOf(state, plan.paddedValueDim) = lowestScore;
  }
  return item;
}

template <class Factor, class T>
void packQueryRow(Factor* out, const T* q, int64_t stride, int dim, int padded) {
  for (int d = 0; d < dim; ++d) out[d] = fromFloat<Factor>(toFloat(q[d * stride]));
  for (int d = dim; d < padded; ++d) out[d] = fromFloat<Factor>(0);
}
template <class Factor>
void packQuery(Factor* out, const DecodePlan& plan, int64_t batch, int head) {
  const TensorView& q = plan.args.q;
  for (int r = 0; r < plan.rows; ++r, out += plan.keyDim) {
    int64_t at =
        batch * q.strides[0] + r / plan.group * q.strides[1] + (head * plan.group + r % plan.group) * q.strides[2];
    switch (q.dtype) {
      case DType::Float32:
        packQueryRow(out, q.as<float>() + at, q.strides[3], plan.headDim, plan.keyDim);
        break;
      case DType::Float16:
        packQueryRow(out, q.as<Float16>() + at, q.strides[3], plan.headDim, plan.keyDim);
        break;
      default:
        packQueryRow(out, q.as<BFloat16>() + at, q.strides[3], plan.headDim, plan.keyDim);
    }
  }
}

// --- which keys of a span are seen
Cover coverOf(const DecodeItem& item, int head, int64_t key, int64_t count) {
  const DecodePlan& plan = item.plan;
  Rows queries = {0, plan.seqLenQ}, keys = {int(key), int(count)};
  if (!plan.pattern.each) return plan.walk.cover(plan.pattern, queries, keys);
  bool none = true, full = true;
  for (int g = 0; g < plan.group; ++g) {
    const Pattern& own = plan.pattern.of(int(item.batch), head * plan.group + g);  // its kind is its own
    Cover cover = walkOf(own).cover(own, queries, keys);
    none = none && cover == Cover::None;
    full = full && cover == Cover::Full;
  }
  return none ? Cover::None : full ? Cover::Full : Cover::Partial;
}

void findLive(const DecodeItem& item, int head, int64_t key, int count) {
  const DecodePlan& plan = item.plan;
  __builtin_memset(item.live, 0, plan.rows * sizeof(uint32_t));
  for (int g = 0; g < plan.group; ++g) {
    const Pattern& pattern = plan.pattern.of(int(item.batch), head * plan.group + g);
    for (int first = 0; first < plan.seqLenQ; first += 64) {
      int queries[64], number = minOf(64, plan.seqLenQ - first);
      for (int i = 0; i < number; ++i) queries[i] = first + i;
      walkOf(pattern).mask(pattern, queries, number, Rows{int(key), count}, item.mask);
      for (int i = 0; i < number; ++i)
        for (int j = 0; j < count; ++j) item.live[(first + i) * plan.group + g] |= uint32_t(item.mask[j] >> i & 1) << j;
    }
    if (plan.pattern.each) continue;
    for (int r = 0; r < plan.rows; ++r) item.live[r] = item.live[r / plan.group * plan.group];
    return;
  }
}
