// The best blocks of keys for each row of queries, by a product of the (mean) query with one vector a block: MoBA,
// Quest, InfLLM, MInference's block-sparse heads, and the nearest keys themselves.

constexpr int64_t selectRows = 48;  // rows of lists that share the reading of a panel

struct BlockSelection {
  const SelectBlocksArgs& args;
  const SelectGrid& grid;
  const FloatSource queries;
  int64_t headDim, depth, heads, headsOfList, group, kvsOfList, perRow, heapLength, rowsOfItem, groupsOfRows;

  explicit BlockSelection(const SelectBlocksArgs& a) : args(a), grid(a.grid), queries(a.q) {
    headDim = a.q.shape[3];
    depth = a.kind == Summary::Bounds ? 2 * headDim : headDim;
    heads = a.columns.shape[1];
    headsOfList = a.q.shape[2] / heads;
    group = a.q.shape[2] / a.k.shape[2];
    kvsOfList = max(int64_t(1), headsOfList / group);
    perRow = a.columns.shape[3];
    heapLength = a.topK >= a.grid.numBlocks() ? 0 : perRow;  // else every row takes all it sees
    const int64_t bytes =
        (kvsOfList * depth + panelWidth) * int64_t(sizeof(float)) + heapLength * int64_t(sizeof(Ranked));
    rowsOfItem = max(int64_t(1), min(selectRows, (int64_t(2) << 20) / bytes));
    groupsOfRows = ceilDiv(grid.rows(), rowsOfItem);
  }

  struct Scratch {
    float *x, *sums, *stage, *panel;
    Ranked* heaps;
  };
  size_t layOut(unsigned char* memory, Scratch& scratch) const {
    Pieces pieces = {memory};
    scratch.x = pieces.take<float>(rowsOfItem * kvsOfList * depth);
    scratch.sums = pieces.take<float>(rowsOfItem * panelWidth);
    scratch.heaps = pieces.take<Ranked>(rowsOfItem * heapLength);
    scratch.stage = pieces.take<float>(args.panels ? 0 : stageFloats);
    scratch.panel = pieces.take<float>(args.panels ? 0 : depth * panelWidth);
    return pieces.used;
  }

  Choice choiceOf(int64_t row) const {
    const int64_t first = grid.firstQuery(row), last = grid.endQuery(row) - 1, end = grid.endBlock(last);
    Choice choice = {0, end, 0, end, end, args.topK};
    if (args.rule == SelectRule::Own && end > 0 && grid.position(last) >= 0)
      choice.forcedBegin = grid.position(last) / grid.blockKV, choice.forcedEnd = choice.forcedBegin + 1;
    if (args.rule == SelectRule::Recent) {
      const int64_t closed = min(end, max(int64_t(0), grid.position(first) + 1 - args.local) / grid.blockKV);
      choice.begin = min(closed, args.initial / grid.blockKV);
      choice.forcedBegin = closed;
      choice.k += end - closed;
    }
    const int64_t seen = grid.causal ? grid.position(last) + 1 : grid.seqLenKV;
    if (seen <= args.wholeKeys) choice.k = max(choice.k, end);
    return choice;
  }

  // The mean query of a row, summed over the list's heads that read one head's keys
  void readRow(int64_t batch, int64_t firstHead, int64_t numHeads, int64_t row, float* x) const {
    alignas(64) float buffer[longestDim];
    const int64_t first = grid.firstQuery(row), end = grid.endQuery(row);
    const TensorView& q = args.q;
    for (int64_t d = 0; d < headDim; ++d) x[d] = 0;
    for (int64_t h = firstHead; h < firstHead + numHeads; ++h)
      for (int64_t i = first; i < end; ++i) {
        const int64_t at = batch * q.strides[0] + i * q.strides[1] + h * q.strides[2];
        addTo(x, queries.read(at, q.strides[3], headDim, buffer), headDim);
      }
    if (end - first > 1)
      for (int64_t d = 0; d < headDim; ++d) x[d] /= float(end - first);
    if (args.kind != Summary::Bounds) return;
    for (int64_t d = 0; d < headDim; ++d) {
      x[headDim + d] = min(x[d], 0.f);
      x[d] = max(x[d], 0.f);
    }
  }

  // Quest: of the page a query stands in only the keys it sees count, so that a row of a prefill chooses as a decode
  // step at its place does
  void boundOwnPage(int64_t batch, int64_t kvHead, int64_t query, const float* x, float* sums, int64_t first) const {
    const int64_t position = grid.position(query), own = position / grid.blockKV;
    if (own < first || own >= first + panelWidth || position + 1 == min((own + 1) * grid.blockKV, grid.seqLenKV))
      return;
    SummariseArgs keys = {args.k};
    float both[2 * longestDim];
    BlockSummary(keys, batch, kvHead).bounds(own * grid.blockKV, position + 1, both);
    float bound = 0;
    for (int64_t d = 0; d < depth; ++d) bound += x[d] * both[d];
    sums[own - first] = bound;
  }

  void run(int64_t item, unsigned char* memory, const Parallel& parallel) const {
    const int64_t firstRow = item % groupsOfRows * rowsOfItem, rows = min(rowsOfItem, grid.rows() - firstRow);
    const int64_t list = item / groupsOfRows, batch = list / heads, head = list % heads * headsOfList;
    Scratch scratch;
    layOut(memory, scratch);
    Choice choices[selectRows];
    Kept kept[selectRows];
    int64_t begin = grid.numBlocks(), end = 0;
    for (int64_t row = 0; row < rows; ++row) {
      choices[row] = choiceOf(firstRow + row);
      kept[row] = {scratch.heaps + row * heapLength, choices[row].k};
      if (choices[row].whole()) continue;
      begin = min(begin, choices[row].begin), end = max(end, choices[row].end);
      offerForced(kept[row], choices[row]);
    }
    if (begin < end)
      for (int64_t kv = 0; kv < kvsOfList; ++kv)
        for (int64_t row = 0; row < rows; ++row)
          readRow(batch, head + kv * group, min(group, headsOfList), firstRow + row,
                  scratch.x + (row * kvsOfList + kv) * depth);
    for (int64_t first = begin / panelWidth * panelWidth; first < end; first += panelWidth) {
      if (parallel.cancelled()) return;
      score(batch, head / group, rows, first, scratch);
      for (int64_t row = 0; row < rows; ++row) {
        if (choices[row].whole()) continue;
        float* sums = scratch.sums + row * panelWidth;
        if (args.kind == Summary::Bounds && grid.causal)
          boundOwnPage(batch, head / group, firstRow + row, scratch.x + row * depth, sums, first);
        offerScores(kept[row], choices[row], sums, first, panelWidth);
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      int32_t* out = args.columns.as<int32_t>() + (list * grid.rows() + firstRow + row) * perRow;
      if (choices[row].whole())
        writeWhole(choices[row], out, perRow);
      else
        writeChosen(kept[row], out, perRow);
    }
  }

  void score(int64_t batch, int64_t kvHead, int64_t rows, int64_t first, const Scratch& scratch) const {
    const TensorView& panels = args.panels;
    for (int64_t kv = 0; kv < kvsOfList; ++kv) {
      const float* panel = scratch.panel;
      if (panels)
        panel = panels.as<const float>() +
                ((batch * panels.shape[1] + kvHead + kv) * panels.shape[2] + first / panelWidth) * depth * panelWidth;
      else
        packKeyColumns(KeyRows(args.k, batch, kvHead + kv), first, 1, scratch.stage, scratch.panel);
      multiplyPanel(rows, scratch.x + kv * depth, kvsOfList * depth, panel, depth, scratch.sums, kv == 0);
    }
  }
};

void selectBlocks(const SelectBlocksArgs& args, Parallel& parallel) {
  const BlockSelection selection(args);
  BlockSelection::Scratch unused;
  parallel.reserveScratch(parallel, selection.layOut(nullptr, unused), 0);
  const int64_t items = args.columns.shape[0] * selection.heads * selection.groupsOfRows;
  parallelFor(parallel, items, [&](int64_t item, int thread) {
    selection.run(item, parallel.threadScratch(parallel, thread), parallel);
  });
}
