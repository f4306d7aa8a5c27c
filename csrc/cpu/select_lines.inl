// Vertical and slash lines (Jiang et al. 2024, MInference): the columns and the diagonals that hold most of the
// attention of the last queries. Probabilities are computed a panel of keys at a time, twice: for their sums, and to be
// added up.

constexpr int64_t mostLastQueries = 1024;

struct LineSums {
  const SelectLinesArgs& args;
  int64_t headDim, n, rows, firstQuery;
  explicit LineSums(const SelectLinesArgs& a) : args(a), headDim(a.q.shape[3]), n(a.k.shape[1]) {
    rows = min(args.lastQueries, a.q.shape[1]);
    firstQuery = a.q.shape[1] - rows;
  }

  struct Scratch {
    float *x, *sums, *stage, *panel;
    RunningSum* totals;
    Ranked* heap;
  };
  size_t layOut(unsigned char* memory, Scratch& scratch) const {
    Pieces pieces = {memory};
    scratch.x = pieces.take<float>(rows * headDim);
    scratch.sums = pieces.take<float>(rows * panelWidth);
    scratch.stage = pieces.take<float>(stageFloats);
    scratch.panel = pieces.take<float>(headDim * panelWidth);
    scratch.totals = pieces.take<RunningSum>(rows);
    scratch.heap = pieces.take<Ranked>(max(heapLength(args.vertical), heapLength(args.slash)));
    return pieces.used;
  }
  int64_t heapLength(const TensorView& lists) const { return lists.shape[3] < n ? lists.shape[3] : 0; }
  int64_t position(int64_t row) const { return firstQuery + row + n - args.q.shape[1]; }

  // Probabilities of keys [first, first + 64) for one row: into the sums of columns, and of diagonals from the far end
  // on (key 0 of the last query is the first), so that both are runs
  void addRow(int64_t row, float* values, int64_t first, const RunningSum& total, float* columns,
              float* diagonals) const {
    const int64_t count = min(panelWidth, position(row) + 1 - first);
    sumOfExp(values, count, total.maximum, values);
    const float share = float(1 / total.sum);
    addTo(columns + first, values, count, share);
    addTo(diagonals + (n - 1 - position(row)) + first, values, count, share);
  }

  void choose(float* sums, int64_t forced, const TensorView& lists, int64_t item, Ranked* heap) const {
    const int64_t count = lists.shape[3], initial = min(forced, n);
    int32_t* out = lists.as<int32_t>() + item * count;
    const Choice choice = {initial, n, initial, n, n, count};
    if (choice.whole()) return writeWhole(choice, out, count);
    Kept kept = {heap, count};
    offerForced(kept, choice);
    offerScores(kept, choice, sums, 0, n);
    writeChosen(kept, out, count);
  }

  void run(int64_t item, unsigned char* memory, const Parallel& parallel) const {
    const int64_t heads = args.q.shape[2], batch = item / heads, head = item % heads;
    const TensorView& q = args.q;
    const FloatSource queries(q);
    const KeyRows keys(args.k, batch, head / (heads / args.k.shape[2]));
    float *columns = args.sums.as<float>() + item * 2 * n, *diagonals = columns + n;
    for (int64_t i = 0; i < 2 * n; ++i) columns[i] = 0;
    Scratch scratch;
    layOut(memory, scratch);
    for (int64_t row = 0; row < rows; ++row) {
      scratch.totals[row] = RunningSum();
      const int64_t at = batch * q.strides[0] + (firstQuery + row) * q.strides[1] + head * q.strides[2];
      float* x = scratch.x + row * headDim;
      const float* from = queries.read(at, q.strides[3], headDim, x);
      for (int64_t d = 0; d < headDim; ++d) x[d] = from[d] * args.scale;
    }
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t first = 0; first < n; first += panelWidth) {
        if (parallel.cancelled()) return;
        packKeyColumns(keys, first, 1, scratch.stage, scratch.panel);
        multiplyPanel(rows, scratch.x, headDim, scratch.panel, headDim, scratch.sums, true);
        for (int64_t row = 0; row < rows; ++row) {
          float* values = scratch.sums + row * panelWidth;
          if (position(row) < first) continue;
          if (pass == 1)
            addRow(row, values, first, scratch.totals[row], columns, diagonals);
          else
            scratch.totals[row].add(values, min(panelWidth, position(row) + 1 - first));
        }
      }
    for (int64_t i = 0; i < n / 2; ++i) {
      const float x = diagonals[i];
      diagonals[i] = diagonals[n - 1 - i];
      diagonals[n - 1 - i] = x;
    }
    choose(columns, args.firstColumns, args.vertical, item, scratch.heap);
    choose(diagonals, args.nearDiagonals, args.slash, item, scratch.heap);
  }
};

void selectLines(const SelectLinesArgs& args, Parallel& parallel) {
  const LineSums lines(args);
  LineSums::Scratch unused;
  parallel.reserveScratch(parallel, lines.layOut(nullptr, unused), 0);
  parallelFor(parallel, args.q.shape[0] * args.q.shape[2],
              [&](int64_t item, int thread) { lines.run(item, parallel.threadScratch(parallel, thread), parallel); });
}
