// Landmark attention (Mohtashami and Jaggi 2023, "Random-Access Infinite Context Length for Transformers"). A tile of
// rows walks the blocks once: keys of an earlier block get softmax within the block times the row's share of the
// block's landmark, keys of the own block their share as they are, both by one running maximum of the row. With topK a
// row first keeps its best landmarks, then opens their blocks alone (landmark_rows.inl).

struct LandmarkPlan {
  int64_t seqLenQ, seqLenKV, numKVHeads, group, headDim, valueDim, blockSize;
  int64_t rows, tiles;   // of a KV head
  int64_t width;         // rows of a tile
  int64_t keysPerChunk;  // whole blocks
  int64_t kept;          // blocks a row opens; −1: all
  bool byRow;
  LONGSPAN_INLINE int64_t positionOf(int64_t row) const { return row / group + seqLenKV - seqLenQ; }
};

LandmarkPlan planLandmark(const LandmarkArgs& args) {
  LandmarkPlan plan = {};
  plan.seqLenQ = args.q.shape[1], plan.seqLenKV = args.k.shape[1];
  plan.numKVHeads = args.k.shape[2], plan.group = args.q.shape[2] / max(int64_t(1), plan.numKVHeads);
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3];
  plan.blockSize = args.blockSize;
  plan.rows = plan.seqLenQ * plan.group;
  const int64_t earlier = plan.seqLenKV > 0 ? (plan.seqLenKV - 1) / plan.blockSize : 0;
  plan.kept = args.topK >= 0 && args.topK < earlier ? args.topK : -1;
  plan.byRow = plan.kept >= 0 || plan.rows <= lanes / 2;
  constexpr int64_t mostKept = 256 << 10;  // of all rows of a tile: 2 MB
  plan.width = min(rowsPerTile, roundUp(plan.rows, lanes));
  while (plan.width > lanes && plan.width * plan.kept > mostKept) plan.width -= lanes;
  plan.keysPerChunk = max(int64_t(1), rowsPerTile / plan.blockSize) * plan.blockSize;
  plan.tiles = ceilDiv(plan.rows, max(plan.width, int64_t(1)));
  return plan;
}

struct LandmarkScratch {
  RowTile tile;
  float *keys, *values;  // a chunk as float32
  int32_t *block, *end;  // of each row: its own block, and the first key it does not see; −1 and 0: nothing
  Ranked* kept;          // [width][kept]
  float* threshold;      // [width] a landmark must beat it to be kept
  int64_t bytes;
};
LandmarkScratch layOutLandmark(const LandmarkPlan& plan, unsigned char* base) {
  ScratchPieces pieces = {base};
  LandmarkScratch s = {};
  const int64_t keys = max(plan.keysPerChunk, rowsPerTile);
  s.tile = pieces.takeTile(plan.width, plan.headDim, plan.valueDim, keys);
  s.keys = pieces.take<float>(keys * roundUp(plan.headDim, lanes));
  s.values = pieces.take<float>(keys * roundUp(plan.valueDim, lanes));
  s.block = pieces.take<int32_t>(plan.width);
  s.end = pieces.take<int32_t>(plan.width);
  s.kept = pieces.take<Ranked>(plan.width * max(int64_t(0), plan.kept));
  s.threshold = pieces.take<float>(plan.width);
  s.bytes = pieces.used;
  return s;
}

// Some rows' scores of whole blocks, [key][row] at one vector of rows, become their weights
struct LandmarkColumn {
  float* scores;
  int64_t width, blockSize, firstKey, count;
  VecInt block, end;  // of the rows

  LONGSPAN_INLINE Vec score(int64_t key) const { return load(scores + key * width); }
  LONGSPAN_INLINE Vec seen(int64_t key, VecInt whole, VecInt own) const {
    VecInt sees = whole | (own & (broadcast(int32_t(firstKey + key)) < end));
    return sees ? score(key) : broadcast(-__builtin_inff());
  }
  // f(first key, its ordinary keys, rows that see the block from outside, rows within it)
  template <class F>
  LONGSPAN_INLINE void forBlocks(const F& f) const {
    for (int64_t first = 0; first < count; first += blockSize) {
      VecInt here = broadcast(int32_t((firstKey + first) / blockSize));
      f(first, min(blockSize - 1, count - first), VecInt(here < block), VecInt(here == block));
    }
  }
  LONGSPAN_INLINE Vec highest(Vec top) const {
    forBlocks([&](int64_t first, int64_t ordinary, VecInt earlier, VecInt own) {
      if (anyLane(earlier)) top = max(earlier ? score(first + blockSize - 1) : broadcast(lowestScore), top);
      if (anyLane(own))
        for (int64_t i = 0; i < ordinary; ++i) top = max(seen(first + i, VecInt{}, own), top);
    });
    return top;
  }
  LONGSPAN_INLINE void weigh(Vec top, float* sum) const {
    forBlocks([&](int64_t first, int64_t ordinary, VecInt earlier, VecInt own) {
      const bool whole = first + blockSize <= count;
      Vec inside = broadcast(lowestScore), total = {}, share = broadcast(1.f);
      if (anyLane(earlier))
        for (int64_t i = 0; i < ordinary; ++i) inside = max(score(first + i), inside);
      Vec shift = earlier ? inside : top;
      for (int64_t i = 0; i < ordinary; ++i) {
        Vec p = exp2NonPositive(seen(first + i, earlier, own) - shift);
        total += p;
        store(scores + (first + i) * width, p);
      }
      if (anyLane(earlier)) {
        Vec above = score(first + blockSize - 1) - top;  // of rows in whose group 0 the landmark is
        Vec weight = exp2NonPositive(earlier ? above : Vec{});
        share = earlier ? weight / total : share;
        total = earlier ? weight : total;
        for (int64_t i = 0; i < ordinary; ++i) store(scores + (first + i) * width, score(first + i) * share);
      }
      store(sum, load(sum) + total);
      if (whole) store(scores + (first + blockSize - 1) * width, Vec{});
    });
  }
};

template <class T>
void attendChunk(const LandmarkPlan& plan, const LandmarkScratch& s, const FloatRows& keys, const FloatRows& values,
                 int64_t first, int64_t count) {
  const RowTile& tile = s.tile;
  product(count, {keys.data, keys.stride, 1}, tile.queries, tile.width, plan.headDim, tile.scores, true);
  auto column = [&](int64_t r) {
    return LandmarkColumn{tile.scores + r,
                          tile.width,
                          plan.blockSize,
                          first,
                          count,
                          *(const UnalignedVecInt*)(s.block + r),
                          *(const UnalignedVecInt*)(s.end + r)};
  };
  float raised[rowsPerTile];
  for (int64_t r = 0; r < tile.width; r += lanes)
    store(raised + r, wholeAbove(column(r).highest(load(tile.maximum + r))));
  raiseMaximum(tile, raised);
  for (int64_t r = 0; r < tile.width; r += lanes) column(r).weigh(load(tile.maximum + r), tile.sum + r);
  product(plan.valueDim, {values.data, 1, values.stride}, tile.scores, tile.width, count, tile.out, false);
}

template <class T>
void attendAll(const LandmarkPlan& plan, const LandmarkScratch& s, HeadRows<const T> keys, HeadRows<const T> values,
               int64_t lastBlock, const Parallel& parallel) {
  const int64_t end = min(plan.seqLenKV, (lastBlock + 1) * plan.blockSize);
  beginTile(s.tile);
  for (int64_t first = 0; first < end && !parallel.cancelled(); first += plan.keysPerChunk) {
    const int64_t count = min(plan.keysPerChunk, end - first);
    attendChunk<T>(plan, s, floatRows(keys[first], keys.stride, count, plan.headDim, s.keys),
                   floatRows(values[first], values.stride, count, plan.valueDim, s.values), first, count);
  }
}

// Each row's best landmarks of the blocks before its own; the lower block of equals
template <class T>
void keepLandmarks(const LandmarkPlan& plan, const LandmarkScratch& s, HeadRows<const T> keys, int64_t lastBlock,
                   Kept* kept, const Parallel& parallel) {
  const RowTile& tile = s.tile;
  for (int64_t r = 0; r < tile.width; ++r) {
    kept[r] = {s.kept + r * plan.kept, plan.kept};
    s.threshold[r] = -__builtin_inff();
  }
  if (plan.kept == 0) return;
  const int64_t step = plan.blockSize * keys.stride;
  for (int64_t first = 0; first < lastBlock && !parallel.cancelled(); first += rowsPerTile) {
    const int64_t count = min(rowsPerTile, lastBlock - first);
    const FloatRows landmarks = floatRows(keys[(first + 1) * plan.blockSize - 1], step, count, plan.headDim, s.keys);
    product(count, {landmarks.data, landmarks.stride, 1}, tile.queries, tile.width, plan.headDim, tile.scores, true);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t r = 0; r < tile.width; r += lanes) {
        const Vec x = load(tile.scores + i * tile.width + r);
        const VecInt better =
            (x > load(s.threshold + r)) & (int32_t(first + i) < *(const UnalignedVecInt*)(s.block + r));
        if (!anyLane(better)) continue;
        const VecInt order = orderOf(x);
        for (int lane = 0; lane < lanes; ++lane) {
          if (!better[lane]) continue;
          Kept& best = kept[r + lane];
          best.offer(rank(order[lane], first + i));
          if (best.size == best.k) s.threshold[r + lane] = valueOf(best.heap[0]);
        }
      }
  }
}

template <class T>
void attendByRow(const LandmarkArgs& args, const LandmarkPlan& plan, const LandmarkScratch& s, int64_t batch,
                 int64_t kvHead, int64_t firstRow, int64_t count, const Kept* kept, const Parallel& parallel) {
  LandmarkRow<T> row = {args, {args.k, batch, kvHead}, {args.v, batch, kvHead}, {}, {}, {}, 0, 0};
  const GroupRows<const T> queries(args.q, batch, kvHead, plan.group, firstRow);
  const GroupRows<T> outs(args.out, batch, kvHead, plan.group, firstRow);
  for (int64_t r = 0; r < count; ++r) {
    row.begin(queries(r), powersOf2(args.scale));
    if (s.block[r] >= 0) {
      const int64_t blocks = kept ? kept[r].size : s.block[r];
      for (int64_t i = 0; i < blocks && !parallel.cancelled(); ++i) row.addBlock(kept ? indexOf(kept[r].heap[i]) : i);
      row.addOwn(plan.positionOf(firstRow + r));
    }
    row.finish(outs(r));
  }
}

template <class T>
void landmarkItem(const LandmarkArgs& args, const LandmarkPlan& plan, int64_t item, const LandmarkScratch& s,
                  const Parallel& parallel) {
  const int64_t heads = args.k.shape[0] * plan.numKVHeads, slot = item % heads;
  const int64_t batch = slot / plan.numKVHeads, kvHead = slot % plan.numKVHeads;
  const int64_t firstRow = (plan.tiles - 1 - item / heads) * plan.width;  // the longest first
  const int64_t count = min(plan.width, plan.rows - firstRow);
  int64_t lastBlock = -1;
  for (int64_t r = 0; r < plan.width; ++r) {
    const int64_t position = r < count ? plan.positionOf(firstRow + r) : -1;
    s.block[r] = position < 0 ? -1 : int32_t(position / plan.blockSize);
    s.end[r] = position < 0 ? 0 : int32_t(position + 1);
    lastBlock = max(lastBlock, int64_t(s.block[r]));
  }
  const HeadRows<const T> keys(args.k, batch, kvHead), values(args.v, batch, kvHead);
  if (plan.byRow && plan.kept < 0)
    return attendByRow<T>(args, plan, s, batch, kvHead, firstRow, count, nullptr, parallel);
  packColumns(count, plan.headDim, powersOf2(args.scale),
              GroupRows<const T>(args.q, batch, kvHead, plan.group, firstRow), s.tile.queries, plan.width);
  if (plan.byRow) {
    Kept kept[rowsPerTile];
    keepLandmarks(plan, s, keys, lastBlock, kept, parallel);
    return attendByRow<T>(args, plan, s, batch, kvHead, firstRow, count, kept, parallel);
  }
  attendAll(plan, s, keys, values, lastBlock, parallel);
  finishTile(s.tile, count, GroupRows<T>(args.out, batch, kvHead, plan.group, firstRow));
}

void landmarkAttention(const LandmarkArgs& args, Parallel& parallel) {
  const LandmarkPlan plan = planLandmark(args);
  parallel.reserveScratch(parallel, size_t(layOutLandmark(plan, nullptr).bytes), 0);
  parallelFor(parallel, args.k.shape[0] * plan.numKVHeads * plan.tiles, [&](int64_t item, int thread) {
    const LandmarkScratch s = layOutLandmark(plan, parallel.threadScratch(parallel, thread));
    withFloatType(args.q.dtype, [&]<class T>(T*) { landmarkItem<T>(args, plan, item, s, parallel); });
  });
}
