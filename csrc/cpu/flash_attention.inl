// Flash attention forward (Dao 2023, FlashAttention-2) over any pattern: for each query tile, its key tiles; S^T,
// online softmax, O^T. An item packs Q once and each K/V tile once for all heads of a group; a pattern decides which
// tiles, by Rows; a subtile of queries skips what it does not see, column by column. Few items are cut along the keys
// and merged in a fixed order.

// f(a null pointer to the type) for the dtypes that Products can pack
template <class Products, class F>
LONGSPAN_INLINE void withDType(DType dtype, const F& f) {
  if constexpr (Products::perUnit == 2) {
    f((BFloat16*)nullptr);
  } else if (dtype == DType::Float16) {
    f((Float16*)nullptr);
  } else if (dtype == DType::BFloat16) {
    f((BFloat16*)nullptr);
  } else {
    f((float*)nullptr);
  }
}

template <class Products>
LONGSPAN_INLINE void packTile(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item, const Rows& rows,
                              FlashScratch& s) {
  if (args.cache.slabs) {
    if constexpr (Products::perUnit == 1)
      if (args.cache.dtype == DType::Float32) return packCachedTile<Products, float>(args, plan, item, rows, s);
    return packCachedTile<Products, BFloat16>(args, plan, item, rows, s);
  }
  withDType<Products>(args.k.dtype, [&]<class T>(T*) {
    PlainRows<T> source(args, plan, item);
    packTileKeys<Products>(source, plan, rows, s);
    packTileValues(Products{}, source, plan, rows, s);
  });
}

// Rows of the item, what they see, O = 0
void beginItem(const FlashPlan& plan, const FlashItem& item, const Pattern& pattern, const PatternWalk& walk,
               FlashScratch& s) {
  FlashRows& rows = s.rows;
  rows.positions = walk.queryRows(pattern, item.tile, plan.tileQ);
  int perHead = rows.positions.count;
  rows.count = perHead * plan.headsPerItem;
  int64_t padded = roundUp(rows.count, subtileRows);
  rows.hasZeroKeys = pattern.kind == Pattern::Kind::Dilated && pattern.dilated.zeroPadding;
  const Buckets* buckets = pattern.kind == Pattern::Kind::Buckets ? &pattern.buckets : nullptr;
  if (walk.ranges) walk.ranges(pattern, rows.positions, s.rangeOf);
  for (int64_t r = 0; r < padded; ++r) {
    int64_t row = min(r, int64_t(rows.count - 1));
    int head = int(row / perHead), i = int(row % perHead);
    rows.position[r] = rows.positions[i];
    rows.head[r] = item.firstHead + head;
    rows.target[r] = rows.position[r];
    if (rows.hasZeroKeys) rows.zeroKeys[r] = float(pattern.dilated.zeroKeys(rows.position[r]));
    if (buckets) bucketRanges(*buckets, rows.positions.start + i, r, rows);
    if (!walk.ranges) continue;
    const KeyRange& range = s.rangeOf[i];
    int ends[4] = {range.begin, range.end, range.begin2, range.end2};
    for (int n = 0; n < 4; ++n) rows.ranges[n][r] = ends[n];
  }
  for (int64_t r = 0; r < padded; r += lanes) {
    store(s.maximum + r, broadcast(-__FLT_MAX__));
    store(s.sum + r, Vec{});
  }
  for (int64_t n = 0; n < padded / subtileRows; ++n) s.begun[n] = false;
}

// O = 0 in the subtiles that saw no key, or in one
LONGSPAN_INLINE void clearSubtile(const FlashPlan& plan, int64_t firstRow, FlashScratch& s) {
  float* out = s.out + firstRow * plan.outDims;
  for (int64_t i = 0; i < plan.outDims * subtileRows; i += lanes) store(out + i, Vec{});
  s.begun[firstRow / subtileRows] = true;
}
LONGSPAN_INLINE void clearUnbegun(const FlashPlan& plan, FlashScratch& s) {
  for (int64_t row = 0; row < s.rows.count; row += subtileRows)
    if (!s.begun[row / subtileRows]) clearSubtile(plan, row, s);
}

// Which blocks and columns of the tile the subtile from firstRow on sees
void coverSubtile(const FlashPlan& plan, const Pattern& pattern, const PatternWalk& walk, int64_t firstRow,
                  const Rows& keys, FlashScratch& s, FlashCover& cover) {
  const FlashRows& rows = s.rows;
  int perHead = rows.positions.count, i = int(firstRow % perHead);
  Rows queries = i + subtileRows <= perHead ? rows.positions.part(i, subtileRows) : rows.positions;
  Cover all = walk.cover(pattern, queries, keys);
  cover.numSegments = 0;
  __builtin_memset(cover.hasSelf, 0, sizeof cover.hasSelf);
  if (all == Cover::None) return;
  if (pattern.kind == Pattern::Kind::Buckets)
    return coverBuckets(pattern.buckets, plan.selfScore != 0, firstRow, keys, s, cover);
  if (all == Cover::Full) return coverWhole(s.words, keys.count, cover);
  if (walk.ranges) {
    wordsFromRanges(rows, firstRow, keys, s.words);
  } else {
    walk.mask(pattern, rows.position + firstRow, subtileRows, keys, s.words);
  }
  int numBlocks = ceilDiv(keys.count, keysPerBlock);
  for (int k = keys.count; k < numBlocks * keysPerBlock; ++k) s.words[k] = 0;
  coverFromWords(s.words, numBlocks, cover);
}

// One subtile and one key tile: S, softmax, O
template <class Products>
void attendSubtile(const FlashPlan& plan, const Rows& keys, const ScoreChange* change, const FlashCover& cover,
                   int64_t firstRow, FlashScratch& s) {
  alignas(64) float maximum[subtileRows], ignored[subtileRows];
  float *oldMaximum = s.maximum + firstRow, *sum = s.sum + firstRow;
  const float* queries = s.queries + firstRow * plan.keyPitch;
  for (int j = 0; j < subtileRows; j += lanes) {
    store(maximum + j, load(oldMaximum + j));
    store(ignored + j, Vec{});
  }
  for (int n = 0; n < cover.numSegments; ++n) {
    const FlashSegment& segment = cover.segments[n];
    withColumns(segment.firstColumn, segment.endColumn, [&]<int First, int Last>() {
      for (int block = segment.firstBlock; block < segment.endBlock; ++block) {
        int key = block * keysPerBlock;
        s.ahead.fetch();
        float* scores = s.scores + key * subtileRows;
        bool self = cover.hasSelf[block],
             later = change || self || cover.masked[block];  // then the maximum is not that of the raw scores
        scoreBlock<Products, First, Last>(s.keys + key * plan.keyPitch, plan.keyPitch, queries, plan.units, scores,
                                          later ? ignored : maximum);
        if (change) changeScores(*change, keys, key, scores);
        if (self) setSelfScores(s.selves + key, plan.selfScore, scores);
        if (later) maskBlock(cover.masked[block] ? s.words + key : nullptr, First, Last, scores, maximum);
      }
    });
  }
  for (int j = 0; j < subtileRows; j += lanes) {
    Vec m = load(maximum + j), alpha = exp2NonPositive((load(oldMaximum + j) - m) * plan.exponentScale);
    store(oldMaximum + j, m);
    store(s.alpha + j, alpha);
    store(sum + j, load(sum + j) * alpha);
  }
  // The first keys of all columns at once begin O; else it begins as 0.
  bool whole = cover.numSegments == 1 && cover.segments[0].endColumn - cover.segments[0].firstColumn == subtileColumns;
  bool begins = whole && !s.begun[firstRow / subtileRows];
  if (!whole && !s.begun[firstRow / subtileRows]) clearSubtile(plan, firstRow, s);
  s.begun[firstRow / subtileRows] = true;
  for (int n = 0; n < cover.numSegments; ++n) {
    const FlashSegment& segment = cover.segments[n];
    int first = segment.firstBlock * keysPerBlock, count = (segment.endBlock - segment.firstBlock) * keysPerBlock;
    float* probabilities = s.scores + first / Products::perUnit * subtileRows;
    withColumns(segment.firstColumn, segment.endColumn, [&]<int First, int Last>() {
      exponentiate<Products, First, Last>(s.scores + first * subtileRows, probabilities, count, maximum,
                                          plan.exponentScale, sum);
      valueBlock<Products, First, Last>(s.values + first / Products::perUnit * dimsPerBlock, plan.panelPitch,
                                        plan.outDims / dimsPerBlock, probabilities, count / Products::perUnit,
                                        begins ? nullptr : s.alpha, s.out + firstRow * plan.outDims);
      for (int j = First; j < Last; ++j) store(s.alpha + j * lanes, broadcast(1.f));  // O is rescaled once a tile
    });
  }
}

// The changes of scores of the subtile from firstRow on; arrays of subtileRows in `buffers`
struct ScoreChangeBuffers {
  float slopes[subtileRows], scales[subtileRows];
  int position[subtileRows];
  int64_t biasRow[subtileRows];
};
ScoreChange scoreChange(const AttentionArgs& args, const FlashItem& item, int64_t firstRow, const FlashScratch& s,
                        ScoreChangeBuffers& buffers) {
  const TensorView& bias = args.bias;
  int offset = batchBase(args, item.batch).offset;
  for (int r = 0; r < subtileRows; ++r) {
    int head = s.rows.head[firstRow + r], position = s.rows.position[firstRow + r];
    buffers.position[r] = position + offset;
    if (args.alibiSlopes) buffers.slopes[r] = args.alibiSlopes.as<float>()[head * args.alibiSlopes.strides[0]];
    if (args.queryScale) buffers.scales[r] = queryScaleOf(args, item.batch, head, position);
    if (bias) buffers.biasRow[r] = item.batch * bias.strides[0] + head * bias.strides[1] + position * bias.strides[2];
  }
  ScoreChange change = {args.scale, args.softcap};
  if (args.alibiSlopes) change.slopes = buffers.slopes;
  change.position = buffers.position;
  change.bias = bias;
  change.biasRow = buffers.biasRow;
  if (args.queryScale) change.scales = buffers.scales;
  if (hasTerms(args)) change.termed = &args;
  change.batch = item.batch;
  change.heads = s.rows.head + firstRow;
  return change;
}

template <class Products>
void attendTile(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item, const Pattern& pattern,
                const PatternWalk& walk, const Rows& keys, FlashScratch& s) {
  ScoreChangeBuffers buffers;
  int perHead = s.rows.positions.count;  // heads share the cover where subtiles hold one head each
  int heads = perHead % subtileRows == 0 ? plan.headsPerItem : 1, numSubtiles = ceilDiv(s.rows.count, subtileRows);
  s.needed = 0;
  int numBlocks = 0;
  for (int n = 0; n < numSubtiles; n += heads) {  // first what is seen: only that is packed
    FlashCover& cover = s.look(n / heads);
    coverSubtile(plan, pattern, walk, int64_t(n / heads) * subtileRows, keys, s, cover);
    for (int i = 0; i < cover.numSegments; ++i) {
      s.needed |= groupsOf(cover.segments[i]);
      numBlocks += (cover.segments[i].endBlock - cover.segments[i].firstBlock) * heads;
    }
  }
  if (!s.needed) return;
  s.ahead.spread(numBlocks);
  packTile<Products>(args, plan, item, keys, s);
  for (int n = 0; n < numSubtiles; ++n) {
    int64_t row = n % heads * int64_t(perHead) + n / heads * subtileRows;
    const FlashCover& cover = s.look(n / heads);
    if (!cover.numSegments) continue;
    ScoreChange change;
    if (plan.adjusts) change = scoreChange(args, item, row, s, buffers);
    attendSubtile<Products>(plan, keys, plan.adjusts ? &change : nullptr, cover, row, s);
  }
}

// The groups of the tile that some query sees; all where queries see runs of keys
uint32_t seenGroups(const Pattern& pattern, const PatternWalk& walk, const Rows& queries, const Rows& keys) {
  if (walk.ranges || pattern.kind == Pattern::Kind::Buckets) return ~0u;
  Cover all = walk.cover(pattern, queries, keys);
  if (all != Cover::Partial) return all == Cover::Full ? ~0u : 0;
  uint32_t seen = 0;
  for (int i = 0; i < keys.count; i += keysPerGroup) {
    Rows group = keys.part(i, longspan::minOf(keysPerGroup, keys.count - i));
    seen |= uint32_t(walk.cover(pattern, queries, group) != Cover::None) << i / keysPerGroup;
  }
  return seen;
}

LONGSPAN_INLINE FlashAhead lookAhead(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item,
                                     const Pattern& pattern, const PatternWalk& walk, const Rows& queries,
                                     const Rows& rows, int numFetches) {
  const TensorView &k = args.k, &v = args.v;
  if (args.cache.slabs) return {nullptr, nullptr, 0, 0, 0, 0, rows, 0, 0, 0};  // the hardware follows its one stream
  BatchBase base = batchBase(args, item.batch);
  if (base.pages || !rows.count) return {nullptr, nullptr, 0, 0, 0, 0, rows, 0, 0, 0};
  int64_t size = k.dtype == DType::Float32 ? 4 : 2;
  return {k.as<char>() + (base.k + item.kvHead * k.strides[2]) * size,
          v.as<char>() + (base.v + item.kvHead * v.strides[2]) * size,
          k.strides[1] * size,
          v.strides[1] * size,
          k.strides[3] == 1 ? plan.headDim * size : 0,
          v.strides[3] == 1 ? plan.valueDim * size : 0,
          rows,
          seenGroups(pattern, walk, queries, rows),
          0,
          longspan::ceilDiv(rows.count, numFetches)};
}

// The key tiles of an item, or of its part, one after the other
struct FlashKeys {
  const Pattern& pattern;
  const PatternWalk& walk;
  const Rows& queries;
  int next, end;
  int endKey;  // no query sees it or a later one

  FlashKeys(const FlashPlan& plan, const FlashItem& item, const Pattern& p, const PatternWalk& w, const FlashScratch& s)
      : pattern(p), walk(w), queries(s.rows.positions), endKey(plan.seqLenKV) {
    end = walk.endKeyTile(pattern, queries, tileKV);
    next = walk.nextKeyTile(pattern, queries, 0, tileKV);
    int64_t first = next < 0 ? end : next, span = end - first;
    next = int(first + span * item.part / plan.numParts);
    end = int(first + span * (item.part + 1) / plan.numParts);
    if (!walk.ranges) return;
    endKey = 0;
    for (int i = 0; i < queries.count; ++i)
      endKey = longspan::maxOf(endKey, longspan::maxOf(s.rangeOf[i].end, s.rangeOf[i].end2));
  }
  Rows take() {  // no rows: the end
    for (; (next = walk.nextKeyTile(pattern, queries, next, tileKV)) >= 0 && next < end; ++next) {
      Rows rows = walk.keyRows(pattern, next, tileKV);
      if (!rows.index && rows.stride == 1) rows.count = longspan::minOf(rows.count, endKey - rows.start);
      if (rows.count > 0) return ++next, rows;
    }
    next = end;
    return Rows{};
  }
};

// O, maximum and sum of the item, in its thread's scratch
template <class Products>
bool attendItem(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item, Parallel& parallel,
                FlashScratch& s) {
  const Pattern& pattern = args.pattern->of(item.batch, item.firstHead);
  const PatternWalk& walk = walkOf(pattern);
  s.rows.count = 0;
  if (item.tile >= walk.numQueryTiles(pattern, plan.tileQ)) return false;
  beginItem(plan, item, pattern, walk, s);
  if (!s.rows.count) return false;
  FlashKeys tiles(plan, item, pattern, walk, s);
  Rows keys = tiles.take();
  s.ahead = lookAhead(args, plan, item, pattern, walk, s.rows.positions, keys, longspan::ceilDiv(s.rows.count, lanes));
  withDType<Products>(args.q.dtype, [&]<class T>(T*) { packTileQueries<Products, T>(args, plan, item.batch, s); });
  int numBlocks = longspan::ceilDiv(s.rows.count, subtileRows) * FlashCover::maxBlocks;
  for (; keys.count > 0; keys = s.ahead.rows) {
    if (parallel.cancelled()) return false;
    s.ahead = lookAhead(args, plan, item, pattern, walk, s.rows.positions, tiles.take(), numBlocks);
    attendTile<Products>(args, plan, item, pattern, walk, keys, s);
  }
  clearUnbegun(plan, s);
  return true;
}

template <class Products>
LONGSPAN_INLINE void finishItem(const AttentionArgs& args, const FlashPlan& plan, const FlashItem& item,
                                FlashScratch& s) {
  if (args.out.dtype == DType::Float32) return unpackOut<float>(args, plan, item.batch, s);  // or an accumulator
  withDType<Products>(args.out.dtype, [&]<class T>(T*) { unpackOut<T>(args, plan, item.batch, s); });
}

// s.out, s.maximum, s.sum += a part of the same rows, kept at `part`
void mergePart(const FlashPlan& plan, const float* part, FlashScratch& s) {
  const float *partMaximum = part + plan.queryRows * plan.outDims, *partSum = partMaximum + plan.queryRows;
  for (int64_t r = 0; r < s.rows.count; r += lanes) {
    Vec a = load(s.maximum + r), b = load(partMaximum + r), m = max(a, b);
    Vec wa = exp2NonPositive((a - m) * plan.exponentScale), wb = exp2NonPositive((b - m) * plan.exponentScale);
    store(s.maximum + r, m);
    store(s.sum + r, load(s.sum + r) * wa + load(partSum + r) * wb);
    int64_t at = r / subtileRows * plan.outDims * subtileRows + r % subtileRows;
    for (int64_t d = 0; d < plan.outDims; ++d, at += subtileRows)
      store(s.out + at, load(s.out + at) * wa + load(part + at) * wb);
  }
}

template <class Products>
void flashAttentionAs(const AttentionArgs& args, Parallel& parallel) {
  FlashPlan plan = planFlash<Products>(args);
  int64_t threadBytes = layOutFlash(plan, nullptr).bytes;
  int64_t partSize = plan.queryRows * (plan.outDims + 2);  // O, maximum, sum as they lie in FlashScratch
  int64_t slots = plan.numItems() / plan.numParts;
  parallel.reserveScratch(parallel, threadBytes, plan.numParts > 1 ? plan.numItems() * partSize * 4 : 0);
  float* parts = plan.numParts > 1 ? (float*)parallel.sharedScratch(parallel) : nullptr;
  parallelFor(parallel, plan.numItems(), [&](int64_t index, int thread) {
    FlashScratch s = layOutFlash(plan, parallel.threadScratch(parallel, thread));
    FlashItem item = flashItem(plan, index);
    if (!attendItem<Products>(args, plan, item, parallel, s)) return;
    if (parts) {
      __builtin_memcpy(parts + index * partSize, s.out, partSize * 4);
    } else {
      finishItem<Products>(args, plan, item, s);
    }
  });
  if (!parts || parallel.cancelled()) return;
  parallelFor(parallel, slots, [&](int64_t slot, int thread) {
    FlashScratch s = layOutFlash(plan, parallel.threadScratch(parallel, thread));
    FlashItem item = flashItem(plan, slot * plan.numParts);
    const Pattern& pattern = args.pattern->of(item.batch, item.firstHead);
    const PatternWalk& walk = walkOf(pattern);
    if (item.tile >= walk.numQueryTiles(pattern, plan.tileQ)) return;
    beginItem(plan, item, pattern, walk, s);
    if (!s.rows.count) return;
    clearUnbegun(plan, s);
    for (int part = 0; part < plan.numParts; ++part)
      mergePart(plan, parts + (slot * plan.numParts + part) * partSize, s);
    finishItem<Products>(args, plan, item, s);
  });
}

LONGSPAN_INLINE int numQueriesOf(const Pattern& pattern) {
  return visit(pattern, [](const auto& p) { return p.seqLenQ; });
}

// Where the query tiles of a pattern leave rows out: zero, and the sink alone
void clearRows(const AttentionArgs& args, Parallel& parallel) {
  const TensorView &out = args.out, &lse = args.lse;
  int64_t size = out.dtype == DType::Float32 ? 4 : 2;
  parallelFor(parallel, out.shape[0] * out.shape[1], [&](int64_t row, int) {
    int64_t b = row / out.shape[1], q = row % out.shape[1];
    if (q >= numQueriesOf(args.pattern->of(int(b), 0))) return;
    BatchBase base = batchBase(args, int(b));
    for (int64_t h = 0; h < out.shape[2]; ++h) {
      unsigned char* at = out.as<unsigned char>() + (base.out + q * out.strides[1] + h * out.strides[2]) * size;
      __builtin_memset(at, 0, size_t(out.shape[3] * size));
      if (lse)
        lse.as<float>()[base.lse + h * lse.strides[1] + q * lse.strides[2]] =
            args.sinkLogits ? args.sinkLogits.as<float>()[h * args.sinkLogits.strides[0]] : -__builtin_inff();
    }
  });
}

LONGSPAN_INLINE bool everyQuery(const Pattern& pattern) {
  bool every = true;
  for (int i = 0; i < (pattern.each ? pattern.eachBatch * pattern.eachHead : 1); ++i) {
    const Pattern& one = pattern.each ? pattern.each[i] : pattern;
    every = every && (one.kind == Pattern::Kind::Buckets ? one.buckets.everyQueryRow : walkOf(one).everyQuery);
  }
  return every;
}

void flashAttention(const AttentionArgs& args, Parallel& parallel) {
  if (!args.accumulate && !everyQuery(*args.pattern)) clearRows(args, parallel);
#ifdef __AVX512BF16__
  DType keys = args.cache.slabs ? args.cache.dtype : args.k.dtype;
  if (args.q.dtype == DType::BFloat16 && keys == DType::BFloat16)
    return flashAttentionAs<BFloat16Products>(args, parallel);
#endif
  flashAttentionAs<Float32Products>(args, parallel);
}
