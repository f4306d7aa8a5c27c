// The pyramid of hierarchical attention: at level l a coarse row stands for 2^l tokens. It is never held whole. Sums of
// tokens are kept at one high level for all the sequence (the table, at most 2 MB a stream), and at one low level for
// the tile at work; a coarse block is summed from the nearest of these, or from the tokens, when it is asked for.

struct HierarchyPlan {
  int64_t seqLenQ, seqLenKV, offset, numKVHeads, group, headDim, valueDim, blockSize;
  bool causal, coarsenQueries;
  int levels;      // blockSize << levels covers the sequence
  int tileLevel;   // a tile is blockSize << tileLevel tokens: an item, and the table's rows are of this level
  int innerLevel;  // of the tile's own sums
  int64_t valueAt, queryAt, sumWidth;  // a row of sums: keys, values, and queries where they are coarsened
  int64_t streams, streamsPerPass;     // (batch, KV head), or (batch, head) where queries are coarsened
  int64_t tiles, tableRows;            // of a stream
  int64_t innerRows;
  LONGSPAN_INLINE int64_t tokensOf(int level, int64_t row) const {
    return max(int64_t(0), min(int64_t(1) << level, seqLenKV - (row << level)));
  }
  LONGSPAN_INLINE int64_t headsOfQuery() const { return numKVHeads * group; }
};

constexpr int64_t leastTileTokens = 256, mostInnerRows = 512, tableBytes = 2 << 20, tableBytesOfPass = 4 << 20;

HierarchyPlan planHierarchy(const HierarchicalArgs& args) {
  HierarchyPlan plan = {};
  plan.seqLenQ = args.q.shape[1], plan.seqLenKV = args.k.shape[1], plan.offset = plan.seqLenKV - plan.seqLenQ;
  plan.numKVHeads = args.k.shape[2], plan.group = args.q.shape[2] / max(int64_t(1), plan.numKVHeads);
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3], plan.blockSize = args.blockSize;
  plan.causal = args.causal, plan.coarsenQueries = args.coarsenQueries;
  while (plan.blockSize << plan.levels < plan.seqLenKV) ++plan.levels;
  plan.valueAt = roundUp(plan.headDim, lanes);
  plan.queryAt = plan.valueAt + roundUp(plan.valueDim, lanes);
  plan.sumWidth = plan.queryAt + (plan.coarsenQueries ? plan.valueAt : 0);
  auto bytesAt = [&](int level) { return ceilDiv(plan.seqLenKV, int64_t(1) << level) * plan.sumWidth * 4; };
  while (plan.tileLevel < plan.levels &&
         (plan.blockSize << plan.tileLevel < leastTileTokens || bytesAt(plan.tileLevel) > tableBytes))
    ++plan.tileLevel;
  plan.innerLevel = longspan::minOf(4, plan.tileLevel);
  while (plan.blockSize << (plan.tileLevel - plan.innerLevel) > max(mostInnerRows, plan.blockSize)) ++plan.innerLevel;
  plan.innerRows = plan.innerLevel < plan.tileLevel ? plan.blockSize << (plan.tileLevel - plan.innerLevel) : 0;
  plan.streams = args.q.shape[0] * (plan.coarsenQueries ? args.q.shape[2] : plan.numKVHeads);
  plan.tiles = ceilDiv(plan.seqLenKV, plan.blockSize << plan.tileLevel);
  plan.tableRows = plan.tiles > 1 ? ceilDiv(plan.seqLenKV, int64_t(1) << plan.tileLevel) : 0;
  const int64_t bytes = plan.tableRows * plan.sumWidth * 4;
  plan.streamsPerPass = bytes ? max(int64_t(1), tableBytesOfPass / bytes) : plan.streams;
  return plan;
}

struct CoarseBlock {              // of keys; rows are means of keys and sums of values
  float *keys, *values, *tokens;  // [blockSize][width], [blockSize]
  int64_t block = -1;             // whose it is
  int64_t count = 0;
};

// out = Σ of some rows; out has whole vectors
template <class T>
void sumRows(const T* rows, int64_t stride, int64_t count, int64_t dim, float* out) {
  constexpr int64_t atOnce = 64;
  alignas(64) float ones[atOnce];
  for (float& one : ones) one = 1;
  __builtin_memset(out, 0, size_t(roundUp(dim, lanes)) * 4);
  for (int64_t first = 0; first < count; first += atOnce)
    addWeightedRows(out, ones, rows + first * stride, stride, min(atOnce, count - first), dim);
}

template <class T>
struct Pyramid {  // of one stream
  const HierarchyPlan& plan;
  HeadRows<const T> keys, values, queries;  // queries only where they are coarsened
  float* table;                             // [tableRows][sumWidth]
  float* inner;                             // [innerRows][sumWidth] of the tile at work
  int64_t firstInner;

  // Σ of the keys (or the part of a row of sums at `at`) of one coarse row
  void sumOf(int level, int64_t row, const HeadRows<const T>& tokens, int64_t at, int64_t dim, float* out) const {
    auto fromSums = [&](const float* sums, int sumLevel, int64_t firstRow) {
      const int64_t first = row << (level - sumLevel), end = ceilDiv(plan.seqLenKV, int64_t(1) << sumLevel);
      const int64_t count = max(int64_t(0), min(int64_t(1) << (level - sumLevel), end - first));
      sumRows(sums + (first - firstRow) * plan.sumWidth + at, plan.sumWidth, count, dim, out);
    };
    if (level >= plan.tileLevel && plan.tableRows) return fromSums(table, plan.tileLevel, 0);
    if (level >= plan.innerLevel && plan.innerRows) return fromSums(inner, plan.innerLevel, firstInner);
    sumRows(tokens[row << level], tokens.stride, plan.tokensOf(level, row), dim, out);
  }

  void sumTokens(int level, int64_t row, float* out) const {
    const int64_t first = row << level, count = plan.tokensOf(level, row);
    sumRows(keys[first], keys.stride, count, plan.headDim, out);
    sumRows(values[first], values.stride, count, plan.valueDim, out + plan.valueAt);
    if (plan.coarsenQueries) sumRows(queries[first], queries.stride, count, plan.headDim, out + plan.queryAt);
  }
  void fillTable(int64_t tile) {
    for (int64_t row = tile * plan.blockSize, end = min(row + plan.blockSize, plan.tableRows); row < end; ++row)
      sumTokens(plan.tileLevel, row, table + row * plan.sumWidth);
  }
  void enterTile(int64_t tile) {
    firstInner = tile * plan.innerRows;
    for (int64_t i = 0; i < plan.innerRows; ++i)
      if (plan.tokensOf(plan.innerLevel, firstInner + i) > 0)
        sumTokens(plan.innerLevel, firstInner + i, inner + i * plan.sumWidth);
  }

  void fillKeys(int level, int64_t block, CoarseBlock& to) const {
    to.block = block;
    to.count = 0;
    const int64_t valueWidth = plan.queryAt - plan.valueAt;
    for (int64_t row = block * plan.blockSize; to.count < plan.blockSize; ++row, ++to.count) {
      const int64_t tokens = plan.tokensOf(level, row);
      if (tokens == 0) break;
      float* key = to.keys + to.count * plan.valueAt;
      sumOf(level, row, keys, 0, plan.headDim, key);
      const float share = 1.f / float(tokens);
      for (int64_t d = 0; d < plan.headDim; d += lanes) store(key + d, load(key + d) * share);
      sumOf(level, row, values, plan.valueAt, plan.valueDim, to.values + to.count * valueWidth);
      to.tokens[to.count] = float(tokens);
    }
  }
  // means of the queries of a block, [blockSize][valueAt]; how many there are
  int64_t fillQueries(int level, int64_t block, float* out) const {
    int64_t count = 0;
    for (int64_t row = block * plan.blockSize; count < plan.blockSize; ++row, ++count, out += plan.valueAt) {
      const int64_t tokens = plan.tokensOf(level, row);
      if (tokens == 0) break;
      sumOf(level, row, queries, plan.queryAt, plan.headDim, out);
      const float share = 1.f / float(tokens);
      for (int64_t d = 0; d < plan.headDim; d += lanes) store(out + d, load(out + d) * share);
    }
    return count;
  }
};

// The block whose keys the rows of `node` attend at a level: its sibling, −1 for none
LONGSPAN_INLINE int64_t siblingOf(const HierarchyPlan& plan, int level, int64_t node) {
  const int64_t sibling = node ^ 1;
  if (plan.causal && sibling > node) return -1;
  return plan.tokensOf(level, sibling * plan.blockSize) > 0 ? sibling : -1;
}
