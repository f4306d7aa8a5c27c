// H-Transformer-1D (Zhu and Soricut 2021): a row attends its own block of tokens, and at each level the sibling of the
// block it lies in, whose keys are means, whose values are sums over 2^l tokens; one running maximum a row for all
// levels. With coarsened queries the rows of a level are means as well and their results go down to both children,
// which is O(n · blockSize · dim); else every token's query meets every level.

struct HierarchicalScratch {
  float* inner;
  CoarseBlock* coarse;  // [levels], or one where queries are coarsened
  CoarseBlock own;
  RowTile* states;   // [levels + 1] of coarsened queries, or one
  float* queryRows;  // [blockSize][headDim] means
  int32_t* endOfRow;
  int64_t* node;  // [levels] whose state is in `states`
  int64_t bytes;
};

HierarchicalScratch layOutHierarchical(const HierarchyPlan& plan, unsigned char* base) {
  ScratchPieces pieces = {base};
  HierarchicalScratch s = {};
  auto block = [&] {
    return CoarseBlock{pieces.take<float>(plan.blockSize * plan.valueAt),
                       pieces.take<float>(plan.blockSize * (plan.queryAt - plan.valueAt)),
                       pieces.take<float>(plan.blockSize)};
  };
  const int numBlocks = plan.coarsenQueries ? 1 : plan.levels, numStates = plan.coarsenQueries ? plan.levels + 1 : 1;
  const int64_t width = plan.coarsenQueries ? roundUp(plan.blockSize, lanes)
                                            : min(rowsPerTile, roundUp(plan.blockSize * plan.group, lanes));
  s.inner = pieces.take<float>(plan.innerRows * plan.sumWidth);
  s.coarse = pieces.take<CoarseBlock>(numBlocks);
  s.states = pieces.take<RowTile>(numStates);
  s.own = block();
  s.endOfRow = pieces.take<int32_t>(width);
  s.node = pieces.take<int64_t>(plan.levels);
  s.queryRows = pieces.take<float>(plan.coarsenQueries ? plan.blockSize * plan.valueAt : 0);
  const RowTile whole = pieces.takeTile(width, plan.headDim, plan.valueDim, plan.blockSize);
  for (int i = 0; i < numBlocks; ++i) {
    const CoarseBlock coarse = block();
    if (base) s.coarse[i] = coarse;
  }
  for (int i = 0; i < numStates; ++i) {
    RowTile state = whole;
    if (i > 0) {  // the last vector may be read beyond its end
      state.out = pieces.take<float>(plan.valueDim * width + lanes);
      state.maximum = pieces.take<float>(width + lanes);
      state.sum = pieces.take<float>(width + lanes);
    }
    if (base) s.states[i] = state;
  }
  for (int i = 0; base && i < plan.levels; ++i) s.node[i] = -1;
  s.bytes = pieces.used;
  return s;
}

LONGSPAN_INLINE TileKeys keysOf(const HierarchyPlan& plan, const CoarseBlock& block, const int32_t* endOfRow) {
  return {{block.keys, plan.valueAt},
          {block.values, plan.queryAt - plan.valueAt},
          block.count,
          endOfRow ? nullptr : block.tokens,
          endOfRow};
}

// --- queries as they are
template <class T>
void attendLevels(const HierarchicalArgs& args, const HierarchyPlan& plan, const HierarchicalScratch& s,
                  const Pyramid<T>& pyramid, int64_t batch, int64_t kvHead, int64_t block) {
  const int64_t first = max(block * plan.blockSize, plan.offset);
  const int64_t end = min((block + 1) * plan.blockSize, plan.seqLenKV), numRows = (end - first) * plan.group;
  if (numRows <= 0) return;
  for (int level = 0; level < plan.levels; ++level) {
    const int64_t sibling = siblingOf(plan, level, block >> level);
    if (sibling >= 0 && s.coarse[level].block != sibling) pyramid.fillKeys(level, sibling, s.coarse[level]);
  }
  CoarseBlock own = s.own;
  pyramid.fillKeys(0, block, own);
  const RowTile& tile = s.states[0];
  for (int64_t row = 0; row < numRows; row += tile.width) {
    const int64_t firstRow = (first - plan.offset) * plan.group + row, count = min(tile.width, numRows - row);
    packColumns(count, plan.headDim, powersOf2(args.scale),
                GroupRows<const T>(args.q, batch, kvHead, plan.group, firstRow), tile.queries, tile.width);
    for (int64_t r = 0; r < tile.width; ++r)
      s.endOfRow[r] = int32_t(first + (row + min(r, count - 1)) / plan.group - block * plan.blockSize + 1);
    beginTile(tile);
    attendKeys(tile, keysOf(plan, own, plan.causal ? s.endOfRow : nullptr));
    for (int level = 0; level < plan.levels; ++level)
      if (siblingOf(plan, level, block >> level) >= 0) attendKeys(tile, keysOf(plan, s.coarse[level], nullptr));
    finishTile(tile, count, GroupRows<T>(args.out, batch, kvHead, plan.group, firstRow));
  }
}

// --- queries as means
// The state of a coarse row begins both of its children's
void inherit(const RowTile& from, const RowTile& to, int64_t firstRow) {
  auto twice = [&](const float* parent, float* child) {
    for (int64_t r = 0; r < to.width; r += lanes) {
      const int64_t at = firstRow + r;
      Vec even = load(parent + (at >> 1)), odd = load(parent + ((at + 1) >> 1));
      store(child + r, __builtin_shufflevector(even, odd, LONGSPAN_ZIP_WORDS(0, lanes)));
    }
  };
  twice(from.maximum, to.maximum);
  twice(from.sum, to.sum);
  for (int64_t d = 0; d < to.valueDim; ++d) twice(from.out + d * from.width, to.out + d * to.width);
}

template <class T>
void packBlockQueries(const HierarchicalArgs& args, const HierarchyPlan& plan, const HierarchicalScratch& s,
                      const Pyramid<T>& pyramid, const RowTile& tile, int level, int64_t block) {
  const int64_t count = pyramid.fillQueries(level, block, s.queryRows);
  packColumns(
      count, plan.headDim, powersOf2(args.scale), [&](int64_t r) { return s.queryRows + r * plan.valueAt; },
      tile.queries, tile.width);
}

// states[l + 1] is the state of the rows of level l above `block`
template <class T>
void attendCoarse(const HierarchicalArgs& args, const HierarchyPlan& plan, const HierarchicalScratch& s,
                  const Pyramid<T>& pyramid, int64_t batch, int64_t head, int64_t block) {
  for (int level = plan.levels - 1; level >= 0; --level) {
    const int64_t node = block >> level, sibling = siblingOf(plan, level, node);
    const RowTile& state = s.states[level + 1];
    if (s.node[level] == node) continue;
    s.node[level] = node;
    if (level == plan.levels - 1) {
      beginTile(state);
    } else {
      inherit(s.states[level + 2], state, (node & 1) * plan.blockSize);
    }
    if (sibling < 0) continue;
    packBlockQueries(args, plan, s, pyramid, state, level, node);
    CoarseBlock coarse = s.coarse[0];
    pyramid.fillKeys(level, sibling, coarse);
    attendKeys(state, keysOf(plan, coarse, nullptr));
  }
  const RowTile& tile = s.states[plan.levels ? 1 : 0];
  if (plan.levels == 0) beginTile(tile);
  packBlockQueries(args, plan, s, pyramid, tile, 0, block);
  CoarseBlock own = s.own;
  pyramid.fillKeys(0, block, own);
  for (int64_t r = 0; r < tile.width; ++r) s.endOfRow[r] = int32_t(r + 1);
  attendKeys(tile, keysOf(plan, own, plan.causal ? s.endOfRow : nullptr));
  const HeadRows<T> outs(args.out, batch, head);
  finishTile(tile, own.count, [&](int64_t r) { return outs[block * plan.blockSize + r]; });
}

template <class T>
Pyramid<T> pyramidOf(const HierarchicalArgs& args, const HierarchyPlan& plan, int64_t stream, float* table) {
  const int64_t heads = plan.coarsenQueries ? plan.headsOfQuery() : plan.numKVHeads;
  const int64_t batch = stream / heads, head = stream % heads, kvHead = plan.coarsenQueries ? head / plan.group : head;
  return {plan, {args.k, batch, kvHead}, {args.v, batch, kvHead}, {args.q, batch, head}, table, nullptr, 0};
}

template <class T>
void hierarchicalItem(const HierarchicalArgs& args, const HierarchyPlan& plan, int64_t stream, int64_t tile,
                      float* table, unsigned char* base, const Parallel& parallel) {
  const int64_t endOfTile = min((tile + 1) * (plan.blockSize << plan.tileLevel), plan.seqLenKV);
  if (endOfTile <= plan.offset) return;
  const HierarchicalScratch s = layOutHierarchical(plan, base);
  Pyramid<T> pyramid = pyramidOf<T>(args, plan, stream, table);
  pyramid.inner = s.inner;
  pyramid.enterTile(tile);
  const int64_t heads = plan.coarsenQueries ? plan.headsOfQuery() : plan.numKVHeads;
  const int64_t first = tile << plan.tileLevel, end = ceilDiv(endOfTile, plan.blockSize);
  for (int64_t block = max(first, plan.offset / plan.blockSize); block < end && !parallel.cancelled(); ++block)
    if (plan.coarsenQueries)
      attendCoarse(args, plan, s, pyramid, stream / heads, stream % heads, block);
    else
      attendLevels(args, plan, s, pyramid, stream / heads, stream % heads, block);
}

// Queries before the first key see nothing
void clearEarlyRows(const HierarchicalArgs& args, const HierarchyPlan& plan) {
  withFloatType(args.out.dtype, [&]<class T>(T*) {
    for (int64_t b = 0; b < args.out.shape[0]; ++b)
      for (int64_t h = 0; h < args.out.shape[2]; ++h)
        for (int64_t row = 0; row < min(-plan.offset, plan.seqLenQ); ++row)
          __builtin_memset(HeadRows<T>(args.out, b, h)[row], 0, size_t(plan.valueDim) * sizeof(T));
  });
}

void hierarchicalAttention(const HierarchicalArgs& args, Parallel& parallel) {
  const HierarchyPlan plan = planHierarchy(args);
  clearEarlyRows(args, plan);
  const int64_t tableSize = plan.tableRows * plan.sumWidth;
  parallel.reserveScratch(parallel, size_t(layOutHierarchical(plan, nullptr).bytes),
                          size_t(min(plan.streamsPerPass, plan.streams) * tableSize * 4));
  for (int64_t first = 0; first < plan.streams && !parallel.cancelled(); first += plan.streamsPerPass) {
    const int64_t count = min(plan.streamsPerPass, plan.streams - first), items = count * plan.tiles;
    auto tableOf = [&](int64_t item) {
      return (float*)parallel.sharedScratch(parallel) + item / plan.tiles * tableSize;
    };
    auto each = [&](const auto& f) {
      parallelFor(parallel, items, [&](int64_t item, int thread) {
        withFloatType(args.q.dtype, [&]<class T>(T* type) { f(type, item, thread); });
      });
    };
    if (tableSize)
      each([&]<class T>(T*, int64_t item, int) {
        pyramidOf<T>(args, plan, first + item / plan.tiles, tableOf(item)).fillTable(item % plan.tiles);
      });
    each([&]<class T>(T*, int64_t item, int thread) {
      hierarchicalItem<T>(args, plan, first + item / plan.tiles, item % plan.tiles, tableOf(item),
                          parallel.threadScratch(parallel, thread), parallel);
    });
  }
}
