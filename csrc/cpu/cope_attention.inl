// Contextual position embedding (Golovneva et al. 2024): a key's position is the sum of the gates of the keys from it
// to the query, so keys are walked from the last to the first, the sums carried along. A query's product with every
// position's embedding is made once; a key takes it between the two that its position lies between.

struct CopePlan {
  int64_t seqLenQ, seqLenKV, numKVHeads, group, headDim, valueDim, positions;
  int64_t rows, tiles;  // of a query head
  int64_t width;        // rows of a tile
};

CopePlan planCope(const CopeArgs& args) {
  CopePlan plan = {};
  plan.seqLenQ = plan.rows = args.q.shape[1], plan.seqLenKV = args.k.shape[1];
  plan.numKVHeads = args.k.shape[2], plan.group = args.q.shape[2] / max(int64_t(1), plan.numKVHeads);
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3];
  plan.positions = args.embeddings.shape[1];
  constexpr int64_t mostProducts = 512 << 10;  // of all rows of a tile: 2 MB
  plan.width = min(rowsPerTile, roundUp(plan.rows, lanes));
  while (plan.width > lanes && plan.width * plan.positions > mostProducts) plan.width -= lanes;
  plan.tiles = ceilDiv(plan.rows, max(plan.width, int64_t(1)));
  return plan;
}

struct CopeScratch {
  RowTile tile;
  float *keys, *values;  // a chunk as float32
  float* products;       // [positions][width] query · embedding
  float* carried;        // [width] gates of the keys walked so far
  int64_t bytes;
};
CopeScratch layOutCope(const CopePlan& plan, unsigned char* base) {
  ScratchPieces pieces = {base};
  CopeScratch s = {};
  s.tile = pieces.takeTile(plan.width, plan.headDim, plan.valueDim, rowsPerTile);
  s.keys = pieces.take<float>(rowsPerTile * roundUp(plan.headDim, lanes));
  s.values = pieces.take<float>(rowsPerTile * roundUp(plan.valueDim, lanes));
  s.products = pieces.take<float>(plan.positions * plan.width);
  s.carried = pieces.take<float>(plan.width);
  s.bytes = pieces.used;
  return s;
}

// Scores [key][row] of keys from `first` on, plain products, become powers of 2 with their positions' terms; −∞ behind
// the query. `firstPosition`: of row 0.
void placeScores(const CopeArgs& args, const CopePlan& plan, const CopeScratch& s, int64_t first, int64_t count,
                 int64_t firstPosition) {
  const int64_t width = plan.width;
  const float furthest = float(plan.positions - 1), unit = powersOf2(1);
  for (int64_t r = 0; r < width; r += lanes) {
    Vec carried = load(s.carried + r);
    const VecInt position = laneNumbers() + int32_t(firstPosition + r);
    for (int64_t key = count - 1; key >= 0; --key) {
      float* at = s.tile.scores + key * width + r;
      const Vec x = load(at);
      const VecInt seen = broadcast(int32_t(first + key - 1)) < position;
      carried += seen ? sigmoid(x * args.gateScale) : Vec{};
      const Vec place = min(carried, broadcast(furthest));
      const VecInt below = __builtin_convertvector(place, VecInt);
      const Vec share = place - __builtin_convertvector(below, Vec);
      Vec low, high;
      for (int i = 0; i < lanes; ++i) {
        const int64_t n = min(max(int64_t(below[i]), int64_t(0)), plan.positions - 1);  // whatever becomes of NaN
        low[i] = s.products[n * width + r + i];
        high[i] = s.products[min(n + 1, plan.positions - 1) * width + r + i];
      }
      const Vec term = low * (1.f - share) + high * share;
      const Vec score = (x * args.scale + term * args.positionScale) * unit;
      store(at, seen ? score : broadcast(-__builtin_inff()));
    }
    store(s.carried + r, carried);
  }
}

template <class T>
void copeItem(const CopeArgs& args, const CopePlan& plan, int64_t item, const CopeScratch& s,
              const Parallel& parallel) {
  const int64_t heads = args.q.shape[0] * args.q.shape[2], slot = item % heads;
  const int64_t batch = slot / args.q.shape[2], head = slot % args.q.shape[2], kvHead = head / plan.group;
  const int64_t firstRow = (plan.tiles - 1 - item / heads) * plan.width;  // the longest first
  const int64_t count = min(plan.width, plan.rows - firstRow), offset = plan.seqLenKV - plan.seqLenQ;
  const HeadRows<const T> queries(args.q, batch, head), keys(args.k, batch, kvHead), values(args.v, batch, kvHead);
  packColumns(
      count, plan.headDim, 1.f, [&](int64_t r) { return queries[firstRow + r]; }, s.tile.queries, plan.width);
  const TensorView& e = args.embeddings;
  product(plan.positions, {e.as<float>() + head * e.strides[0], e.strides[1], e.strides[2]}, s.tile.queries, plan.width,
          plan.headDim, s.products, true);
  beginTile(s.tile);
  __builtin_memset(s.carried, 0, size_t(plan.width) * 4);
  const int64_t end = min(plan.seqLenKV, max(firstRow + count + offset, int64_t(0)));
  for (int64_t first = (end - 1) / rowsPerTile * rowsPerTile; first >= 0 && end > 0 && !parallel.cancelled();
       first -= rowsPerTile) {
    const int64_t number = min(rowsPerTile, end - first);
    const TileKeys chunk = {floatRows(keys[first], keys.stride, number, plan.headDim, s.keys),
                            floatRows(values[first], values.stride, number, plan.valueDim, s.values), number, nullptr,
                            nullptr};
    scoreTile(s.tile, chunk);
    placeScores(args, plan, s, first, number, firstRow + offset);
    addScored(s.tile, chunk);
  }
  const HeadRows<T> outs(args.out, batch, head);
  finishTile(s.tile, count, [&](int64_t r) { return outs[firstRow + r]; });
}

void copeAttention(const CopeArgs& args, Parallel& parallel) {
  const CopePlan plan = planCope(args);
  parallel.reserveScratch(parallel, size_t(layOutCope(plan, nullptr).bytes), 0);
  parallelFor(parallel, args.q.shape[0] * args.q.shape[2] * plan.tiles, [&](int64_t item, int thread) {
    const CopeScratch s = layOutCope(plan, parallel.threadScratch(parallel, thread));
    withFloatType(args.q.dtype, [&]<class T>(T*) { copeItem<T>(args, plan, item, s, parallel); });
  });
}
