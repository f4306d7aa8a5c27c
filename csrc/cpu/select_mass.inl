// Blocks of keys by their share of attention, estimated by a softmax over fewer columns: compressed keys (Yuan et al.
// 2025, NSA), or tiles scored along their antidiagonals (Xu et al. 2025, XAttention). The products are computed twice,
// for the sums and for the shares, so that memory does not grow with the number of columns.

constexpr int64_t massSubRows = 64;  // that share the reading of a panel

struct MassSelection {
  const SelectByMassArgs& args;
  const SelectGrid& grid;
  const FloatSource queries;
  bool compressed;
  int64_t headDim, depth, heads, headsOfList, group, perRow, numBlocks, subRows, rowsOfItem, groupsOfRows;

  explicit MassSelection(const SelectByMassArgs& a) : args(a), grid(a.grid), queries(a.q), compressed(a.panels) {
    headDim = a.q.shape[3];
    depth = compressed ? headDim : headDim * a.stride;
    heads = a.columns.shape[1];
    headsOfList = a.q.shape[2] / heads;
    group = a.q.shape[2] / a.k.shape[2];
    perRow = a.columns.shape[3];
    numBlocks = grid.numBlocks();
    subRows = compressed ? headsOfList : grid.blockQ / a.stride;
    const int64_t bytes = subRows * (depth + panelWidth) * int64_t(sizeof(float)) + numBlocks * int64_t(sizeof(float)) +
                          perRow * int64_t(sizeof(Ranked));
    rowsOfItem = max(int64_t(1), min(massSubRows / subRows, (int64_t(3) << 20) / bytes));
    groupsOfRows = ceilDiv(grid.rows(), rowsOfItem);
  }

  struct SubRow {  // its softmax
    int64_t row, seen;
    float maximum;
    double sum;
  };
  struct Scratch {
    float *x, *sums, *masses, *stage, *panel;
    SubRow* subs;
    Ranked* heap;
  };
  size_t layOut(unsigned char* memory, Scratch& scratch) const {
    Pieces pieces = {memory};
    scratch.x = pieces.take<float>(rowsOfItem * subRows * depth);
    scratch.sums = pieces.take<float>(rowsOfItem * subRows * panelWidth);
    scratch.masses = pieces.take<float>(rowsOfItem * numBlocks);
    scratch.subs = pieces.take<SubRow>(rowsOfItem * subRows);
    scratch.heap = pieces.take<Ranked>(perRow);
    scratch.stage = pieces.take<float>(compressed ? 0 : stageFloats);
    scratch.panel = pieces.take<float>(compressed ? 0 : depth * panelWidth);
    return pieces.used;
  }

  // Columns that end at this position or before
  int64_t columnsUpTo(int64_t position) const {
    if (!grid.causal) return args.numColumns;
    return position + 1 < args.reach ? 0 : min(args.numColumns, (position + 1 - args.reach) / args.stride + 1);
  }
  void readQuery(int64_t batch, int64_t query, int64_t head, float* x) const {
    const TensorView& q = args.q;
    const int64_t at = batch * q.strides[0] + query * q.strides[1] + head * q.strides[2];
    const float* from = queries.read(at, q.strides[3], headDim, x);
    if (from != x) __builtin_memcpy(x, from, size_t(headDim) * sizeof(float));
  }
  // The tile of `stride` queries from `first` on, last query first, zeros where there are none; false: there is none
  bool readTile(int64_t batch, int64_t first, int64_t head, float* x) const {
    bool any = false;
    for (int64_t t = 0; t < args.stride; ++t) {
      const int64_t query = first + args.stride - 1 - t;
      if (query >= 0 && query < grid.seqLenQ)
        readQuery(batch, query, head, x + t * headDim), any = true;
      else
        __builtin_memset(x + t * headDim, 0, size_t(headDim) * sizeof(float));
    }
    return any;
  }
  int64_t readRow(int64_t batch, int64_t head, int64_t row, int64_t rowOfItem, float* x, SubRow* subs) const {
    int64_t count = 0;
    for (int64_t i = 0; i < subRows; ++i) {
      int64_t position;
      if (compressed) {
        readQuery(batch, row, head + i, x + count * depth);
        position = grid.position(row);
      } else {
        const int64_t first = (grid.firstRow() + row) * grid.blockQ + i * args.stride - grid.base();
        if (!readTile(batch, first, head, x + count * depth)) continue;
        position = grid.position(first + args.stride - 1);
      }
      subs[count++] = {rowOfItem, columnsUpTo(position), -__builtin_inff(), 0};
    }
    return count;
  }

  const float* panelAt(int64_t batch, int64_t kvHead, int64_t first, const Scratch& scratch) const {
    const TensorView& panels = args.panels;
    if (compressed)
      return panels.as<const float>() +
             ((batch * panels.shape[1] + kvHead) * panels.shape[2] + first / panelWidth) * depth * panelWidth;
    const KeyRows keys(args.k, batch, kvHead);
    for (int64_t t = 0; t < args.stride; ++t)
      packKeyColumns(keys, first * args.stride + t, args.stride, scratch.stage,
                     scratch.panel + t * headDim * panelWidth);
    return scratch.panel;
  }

  // The shares of columns [first, first + count) to the blocks that they cover
  void addShares(const float* shares, int64_t first, int64_t count, float* masses) const {
    const int64_t unitsOfBlock = grid.blockKV / args.stride;
    for (int64_t unit = 0; unit < args.columnUnits; ++unit)
      for (int64_t i = 0; i < count;) {
        const int64_t block = (first + i + unit) / unitsOfBlock, end = (block + 1) * unitsOfBlock - first - unit;
        float sum = 0;
        for (; i < min(end, count); ++i) sum += shares[i];
        if (block < numBlocks) masses[block] += sum;
      }
  }

  void sumUp(SubRow& sub, float* sums, int64_t first, bool isLast, float* masses) const {
    const int64_t count = min(panelWidth, sub.seen - first);
    if (count <= 0) return;
    for (int64_t i = 0; i < count; ++i) sums[i] *= args.scale;
    if (!isLast) {
      RunningSum running = {sub.maximum, sub.sum};
      running.add(sums, count);
      sub.maximum = running.maximum, sub.sum = running.sum;
      return;
    }
    sumOfExp(sums, count, sub.maximum, sums);
    const float share = float(1 / sub.sum);
    for (int64_t i = 0; i < count; ++i) sums[i] *= share;
    addShares(sums, first, count, masses + sub.row * numBlocks);
  }

  void run(int64_t item, unsigned char* memory, const Parallel& parallel) const {
    const int64_t firstRow = item % groupsOfRows * rowsOfItem, rows = min(rowsOfItem, grid.rows() - firstRow);
    const int64_t list = item / groupsOfRows, batch = list / heads, head = list % heads * headsOfList;
    Scratch scratch;
    layOut(memory, scratch);
    int64_t subs = 0, seen = 0;
    for (int64_t row = 0; row < rows; ++row)
      subs += readRow(batch, head, firstRow + row, row, scratch.x + subs * depth, scratch.subs + subs);
    for (int64_t i = 0; i < subs; ++i) seen = max(seen, scratch.subs[i].seen);
    for (int64_t i = 0; i < rows * numBlocks; ++i) scratch.masses[i] = 0;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t first = 0; first < seen; first += panelWidth) {
        if (parallel.cancelled()) return;
        multiplyPanel(subs, scratch.x, depth, panelAt(batch, head / group, first, scratch), depth, scratch.sums, true);
        for (int64_t i = 0; i < subs; ++i)
          sumUp(scratch.subs[i], scratch.sums + i * panelWidth, first, pass == 1, scratch.masses);
      }
    for (int64_t row = 0; row < rows; ++row)
      choose(firstRow + row, scratch.masses + row * numBlocks, scratch.heap,
             args.columns.as<int32_t>() + (list * grid.rows() + firstRow + row) * perRow);
  }

  void choose(int64_t row, const float* masses, Ranked* heap, int32_t* out) const {
    const int64_t end = grid.endBlock(grid.endQuery(row) - 1), initial = min(args.initialBlocks, end);
    const int64_t local = max(initial, end - args.localBlocks);
    const bool byShare = args.topK == 0;
    const Choice choice = {initial, end, initial, local, end, byShare ? end : args.topK};
    if (byShare ? args.threshold >= 1 : choice.whole()) return writeWhole(choice, out, perRow);
    Kept kept = {heap, choice.k};
    if (choice.k > 0) {
      offerForced(kept, choice);
      offerScores(kept, choice, masses, 0, end);
      if (byShare) keepShare(kept, initial + end - local, masses, end);
    }
    writeChosen(kept, out, perRow);
  }
  // The fewest of all blocks, in descending order, that hold the threshold; the forced ones in any case
  void keepShare(Kept& kept, int64_t forced, const float* masses, int64_t end) const {
    heapify(kept);
    kept.sortDescending();
    double all = 0, held = 0;
    for (int64_t i = 0; i < end; ++i) all += masses[i];
    int64_t count = 0;
    while (count < kept.size && (count < forced || held < args.threshold * all))
      held += masses[indexOf(kept.heap[count++])];
    kept.size = count;
  }
};

void selectByMass(const SelectByMassArgs& args, Parallel& parallel) {
  const MassSelection selection(args);
  MassSelection::Scratch unused;
  parallel.reserveScratch(parallel, selection.layOut(nullptr, unused), 0);
  const int64_t items = args.columns.shape[0] * selection.heads * selection.groupsOfRows;
  parallelFor(parallel, items, [&](int64_t item, int thread) {
    selection.run(item, parallel.threadScratch(parallel, thread), parallel);
  });
}
