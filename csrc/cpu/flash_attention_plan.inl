// How a call of flash attention is cut: into items (batch, KV head, query tile, part of the keys), and what an item
// keeps in the scratch of its thread. Everything follows from lengths alone, never from the number of threads.

constexpr int tileKV = 192;       // a multiple of keysPerBlock, of 8 and of lanes; 96 and 384 were slower
constexpr int keysPerGroup = 8;   // packed together, or not at all
constexpr int rowsPerItem = 512;  // query rows that share one packed K/V tile; packing costs 4 % then
constexpr int fewItems = 16;      // enough for a slice of a sum: the next one follows
constexpr int enoughItems = 64;   // below it smaller tiles, down to leastRows, then parts of the keys; fits 16 threads
constexpr int leastRows = 256;    // 128 lost 2 to 3 % to packing at 1024, 8/8 heads
constexpr int64_t partBytes = 4 << 20;  // of all parts together

LONGSPAN_INLINE int64_t roundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

struct FlashPlan {
  int batch, numHeads, numKVHeads, seqLenQ, seqLenKV, headDim, valueDim;
  int headsPerItem;  // query heads that share the K/V tile
  int tileQ;         // positions; a tile has tileQ * headsPerItem rows
  int numTiles, numParts;
  int64_t units;      // of the reduction over headDim
  int64_t keyPitch;   // units from one packed key to the next
  int64_t queryRows;  // rows of the largest tile, whole subtiles
  int64_t outDims;    // valueDim in whole panels
  int64_t panelPitch;
  bool normaliseKeys;
  bool adjusts;         // scores are changed before the mask: softcap, ALiBi, bias
  float exponentScale;  // from (adjusted) scores to powers of 2
  float scoreScale;     // from scores to natural logarithms
  float selfScore;      // in scores
  int64_t numItems() const { return int64_t(numTiles) * batch * (numHeads / headsPerItem) * numParts; }
};

LONGSPAN_INLINE int headsSharing(const AttentionArgs& args, int group) {
  if (args.pattern->each && args.pattern->eachHead > 1) return 1;
  int heads = group < 64 ? group : 64;
  while (group % heads != 0) --heads;
  return heads;
}

LONGSPAN_INLINE int positionsPerTile(const FlashPlan& plan, int64_t itemsPerTile, int enough) {
  int rows = plan.headDim > 128 || plan.valueDim > 128 ? rowsPerItem / 2 : rowsPerItem;
  int positions = longspan::maxOf(rows / plan.headsPerItem, 1);
  if (positions >= subtileRows) positions = int(roundUp(positions - subtileRows / 2, subtileRows));
  while (itemsPerTile * ceilDiv(plan.seqLenQ, positions) < enough && positions >= 2 * subtileRows &&
         positions * plan.headsPerItem > leastRows)
    positions = int(roundUp(positions / 2, subtileRows));
  return longspan::maxOf(longspan::minOf(positions, plan.seqLenQ), 1);
}

template <class Products>
FlashPlan planFlash(const AttentionArgs& args) {
  FlashPlan plan = {};
  plan.batch = int(args.q.shape[0]);
  plan.seqLenQ = int(args.q.shape[1]);
  plan.numHeads = int(args.q.shape[2]);
  plan.headDim = int(args.q.shape[3]);
  plan.seqLenKV = int(args.cache.slabs ? args.cache.length : args.k.shape[1]);
  plan.numKVHeads = args.cache.slabs ? args.cache.numKVHeads : int(args.k.shape[2]);
  plan.valueDim = args.cache.slabs ? args.cache.valueDim : int(args.v.shape[3]);
  plan.headsPerItem = headsSharing(args, plan.numHeads / plan.numKVHeads);
  plan.units = ceilDiv(plan.headDim, Products::perUnit);
  plan.keyPitch = roundUp(plan.units, args.cache.slabs ? 2 * lanes : lanes);  // unpackKeys widens 2 * lanes at once
  plan.outDims = roundUp(plan.valueDim, dimsPerBlock);
  plan.panelPitch = tileKV / Products::perUnit * dimsPerBlock;
  plan.normaliseKeys = args.normaliseKeys;
  plan.adjusts =
      args.softcap > 0 || args.alibiSlopes || args.bias || args.queryScale || hasTerms(args) || !(args.scale > 0);
  plan.exponentScale = plan.adjusts ? 1.44269504f : args.scale * 1.44269504f;
  plan.scoreScale = plan.adjusts ? 1.f : args.scale;
  plan.selfScore = args.selfScore / plan.scoreScale;
  int64_t itemsPerTile = int64_t(plan.batch) * (plan.numHeads / plan.headsPerItem);
  const int enough = args.accumulate ? fewItems : enoughItems;
  plan.tileQ = positionsPerTile(plan, itemsPerTile, enough);
  plan.queryRows = roundUp(int64_t(plan.tileQ) * plan.headsPerItem, subtileRows);
  const Pattern& pattern = *args.pattern;
  for (int i = 0; i < (pattern.each ? pattern.eachBatch * pattern.eachHead : 1); ++i) {
    const Pattern& one = pattern.each ? pattern.each[i] : pattern;
    plan.numTiles = longspan::maxOf(plan.numTiles, walkOf(one).numQueryTiles(one, plan.tileQ));
  }
  int64_t items = max(itemsPerTile * plan.numTiles, int64_t(1));
  int64_t bytesOfPart = plan.queryRows * (plan.outDims + 2) * 4;
  int64_t parts = min((enough + items - 1) / items, int64_t(ceilDiv(plan.seqLenKV, 4 * tileKV)));
  plan.numParts = int(max(min(parts, partBytes / (items * bytesOfPart)), int64_t(1)));
  const Pattern& first = pattern.each ? *pattern.each : pattern;
  if (first.kind == Pattern::Kind::Buckets) plan.numParts = 1;  // a query tile sees few keys
  return plan;
}

// Where the rows of a sequence of the batch begin
struct BatchBase {
  int64_t q, k, v, out, lse;
  int offset;
  const int* pages;
};
LONGSPAN_INLINE BatchBase batchBase(const AttentionArgs& args, int batch) {
  if (args.sequences) {
    const SequenceView& s = args.sequences[batch];
    return {s.q, s.k, s.v, s.out, s.lse, s.offset, s.pages};
  }
  return {batch * args.q.strides[0],
          batch * args.k.strides[0],
          batch * args.v.strides[0],
          batch * args.out.strides[0],
          batch * args.lse.strides[0],
          args.offset,
          nullptr};
}

struct FlashItem {
  int batch, firstHead, kvHead, tile, part;
  int64_t slot;  // of the parts of this tile
};

LONGSPAN_INLINE FlashItem flashItem(const FlashPlan& plan, int64_t item) {  // the last tiles first: causal's heaviest
  int perTile = plan.batch * (plan.numHeads / plan.headsPerItem);
  int64_t slot = item / plan.numParts;
  int at = int(slot % perTile), head = at % (plan.numHeads / plan.headsPerItem) * plan.headsPerItem;
  return {at / (plan.numHeads / plan.headsPerItem),
          head,
          head / (plan.numHeads / plan.numKVHeads),
          plan.numTiles - 1 - int(slot / perTile),
          int(item % plan.numParts),
          slot};
}

// What one row of a query tile is: a position of one head. Rows are head by head, so that a subtile is one head where
// tiles are long, and several where they are short.
struct FlashRows {
  Rows positions;
  int count;        // positions.count * heads
  int* position;    // [queryRows], the last one repeated to the end of its subtile
  int* head;        // [queryRows]
  int* target;      // [queryRows] where the row goes in out and lse
  float* zeroKeys;  // [queryRows] keys of zeros that the row sees besides, where the pattern has such
  bool hasZeroKeys;
  int* ranges[4];  // [queryRows] each: begin, end, begin2, end2; when the pattern has ranges
};

// The rows of K and V that are packed next. In [seq, heads, dim] they are a page or two apart, so that no hardware
// prefetcher follows; a few are asked for before each block of products, so that all are when the last one is done.
struct FlashAhead {
  const char *k, *v;
  int64_t kStride, vStride;  // bytes from row to row
  int64_t kBytes, vBytes;    // of a row
  Rows rows;
  uint32_t needed;  // groups of them that some row will see
  int at, perBlock;
  LONGSPAN_INLINE void fetch() {
    for (int left = perBlock; left > 0 && at < rows.count; ++at) {
      if (!(needed >> at / keysPerGroup & 1)) continue;
      const char *key = k + rows[at] * kStride, *value = v + rows[at] * vStride;
      for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(key + i, 0, 2);
      for (int64_t i = 0; i < vBytes; i += 64) __builtin_prefetch(value + i, 0, 2);
      --left;
    }
  }
  // The rest within so many blocks of products
  LONGSPAN_INLINE void spread(int numBlocks) {
    perBlock = longspan::ceilDiv(__builtin_popcount(needed) * keysPerGroup, longspan::maxOf(numBlocks, 1));
  }
};

struct FlashSegment {  // consecutive key blocks seen by the same columns
  int firstBlock, endBlock, firstColumn, endColumn;
};

// What a subtile does with a key tile: its segments, and which blocks need the mask
struct FlashCover {
  static constexpr int maxBlocks = tileKV / keysPerBlock;
  FlashSegment segments[maxBlocks];
  int numSegments;
  bool masked[maxBlocks];
  bool hasSelf[maxBlocks];  // some row meets its own key; set where own keys have a score of their own
};

struct FlashView {  // of one subtile on one key tile
  FlashCover cover;
  uint64_t words[tileKV];   // which rows of the subtile see a key
  uint64_t selves[tileKV];  // which row of the subtile is the key's own query
};
static_assert(tileKV / keysPerGroup < 32);

struct FlashScratch {
  float* queries;            // [subtile][keyPitch][subtileRows] units
  float* out;                // [subtile][outDims][subtileRows], the parts' format
  float *maximum, *sum;      // [queryRows], behind `out` as in the parts' format
  float* keys;               // [tileKV][keyPitch] units
  float* values;             // [outDims / 4][tileKV / perUnit][4] units
  float* scores;             // [tileKV][subtileRows]
  float* alpha;              // [subtileRows]
  float* stage;              // 8 rows of 256 values
  KeyRange* rangeOf;         // [tileQ]
  FlashView* views;          // [subtile]
  uint64_t *words, *selves;  // of the view that is looked at
  uint32_t needed;           // groups of keys of the tile that some row sees
  bool* begun;               // [subtile] O holds something
  FlashRows rows;
  FlashAhead ahead;
  int64_t bytes;
  LONGSPAN_INLINE FlashCover& look(int subtile) {
    words = views[subtile].words;
    selves = views[subtile].selves;
    return views[subtile].cover;
  }
  LONGSPAN_INLINE bool needs(int key) const { return needed >> key / keysPerGroup & 1; }
};

LONGSPAN_INLINE FlashScratch layOutFlash(const FlashPlan& plan, unsigned char* base) {
  FlashScratch s = {};
  auto take = [&](int64_t n, int64_t size) {
    unsigned char* at = base + s.bytes;
    s.bytes += roundUp(n * size, 64);
    return at;
  };
  int64_t spareDims = lanes;  // transposes write and read whole vectors
  s.queries = (float*)take(plan.queryRows * plan.keyPitch, 4);
  s.out = (float*)take(plan.queryRows * (plan.outDims + 2) + spareDims * subtileRows, 4);
  s.maximum = s.out + plan.queryRows * plan.outDims;
  s.sum = s.maximum + plan.queryRows;
  s.keys = (float*)take(tileKV * plan.keyPitch, 4);
  s.values = (float*)take((plan.outDims + 2 * lanes) / dimsPerBlock * plan.panelPitch, 4);
  s.scores = (float*)take(tileKV * subtileRows, 4);
  s.alpha = (float*)take(subtileRows, 4);
  s.stage = (float*)take(8 * 256, 4);
  s.rangeOf = (KeyRange*)take(plan.tileQ, sizeof(KeyRange));
  s.views = (FlashView*)take(plan.queryRows / subtileRows, sizeof(FlashView));
  s.begun = (bool*)take(plan.queryRows / subtileRows, 1);
  s.rows.position = (int*)take(plan.queryRows, 4);
  s.rows.head = (int*)take(plan.queryRows, 4);
  s.rows.target = (int*)take(plan.queryRows, 4);
  s.rows.zeroKeys = (float*)take(plan.queryRows, 4);
  for (int*& r : s.rows.ranges) r = (int*)take(plan.queryRows, 4);
  return s;
}
