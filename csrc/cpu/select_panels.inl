// Vectors of blocks of keys in panels of 64, as the products of gemm.inl read them: the keys themselves, or a summary
// of each block (mean: Lu et al. 2025, MoBA; largest and smallest: Tang et al. 2024, Quest; representative keys: Xiao
// et al. 2024, InfLLM).

struct KeyRows {  // the keys of one head
  const TensorView& view;
  int64_t at, count, headDim;
  KeyRows(const TensorView& k, int64_t batch, int64_t head)
      : view(k), at(batch * k.strides[0] + head * k.strides[2]), count(k.shape[1]), headDim(k.shape[3]) {}
};

// out[dim][column] = key first + column · step, 0 where there is none
template <class T>
void packKeyColumnsOf(const KeyRows& keys, int64_t first, int64_t step, float* stage, float* out) {
  const T* data = keys.view.as<const T>() + keys.at;
  for (int64_t dim = 0; dim < keys.headDim; dim += stageDepth) {
    const int64_t count = min(stageDepth, keys.headDim - dim);
    for (int64_t column = 0; column < panelWidth; ++column) {
      const int64_t key = first + column * step;
      float* row = stage + column * stageStride;
      if (key < keys.count)
        stageRow(data + key * keys.view.strides[1] + dim * keys.view.strides[3], keys.view.strides[3], count, row);
      else
        __builtin_memset(row, 0, size_t(count) * sizeof(float));
    }
    writeUnits(stage, stageStride * int64_t(sizeof(float)), count, (uint32_t*)(out + dim * panelWidth));
  }
}
constexpr int64_t stageFloats = panelWidth * stageStride;

void packKeyColumns(const KeyRows& keys, int64_t first, int64_t step, float* stage, float* out) {
  if (keys.view.dtype == DType::Float32) return packKeyColumnsOf<float>(keys, first, step, stage, out);
  if (keys.view.dtype == DType::Float16) return packKeyColumnsOf<Float16>(keys, first, step, stage, out);
  packKeyColumnsOf<BFloat16>(keys, first, step, stage, out);
}

constexpr int64_t longestDim = 256;

LONGSPAN_INLINE void addTo(float* sums, const float* x, int64_t n, float factor = 1) {
  for (int64_t i = 0; i < n; ++i) sums[i] += factor * x[i];
}

struct BlockSummary {
  const SummariseArgs& args;
  const FloatSource keys, queries;
  int64_t batch, head, headDim;
  BlockSummary(const SummariseArgs& a, int64_t b, int64_t h)
      : args(a), keys(a.k), queries(a.q ? a.q : a.k), batch(b), head(h), headDim(a.k.shape[3]) {}

  LONGSPAN_INLINE const float* key(int64_t at, float* buffer) const {
    const TensorView& k = args.k;
    return keys.read(batch * k.strides[0] + at * k.strides[1] + head * k.strides[2], k.strides[3], headDim, buffer);
  }
  void mean(int64_t first, int64_t end, float* out) const {
    alignas(64) float buffer[longestDim];
    for (int64_t at = first; at < end; ++at) addTo(out, key(at, buffer), headDim);
    const float share = 1 / float(end - first);
    for (int64_t d = 0; d < headDim; ++d) out[d] *= share;
  }
  void bounds(int64_t first, int64_t end, float* out) const {
    alignas(64) float buffer[longestDim];
    for (int64_t at = first; at < end; ++at) {
      const float* x = key(at, buffer);
      for (int64_t d = 0; d < headDim; ++d) {
        out[d] = at == first ? x[d] : max(x[d], out[d]);
        out[headDim + d] = at == first ? x[d] : min(x[d], out[headDim + d]);
      }
    }
  }

  // The queries at `position` of all heads that read this head's keys, times `factor`; false where there are none
  bool addQueries(int64_t position, float factor, float* sums) const {
    const TensorView& q = args.q;
    const int64_t at = position - (args.k.shape[1] - q.shape[1]), group = q.shape[2] / args.k.shape[2];
    if (at < 0 || at >= q.shape[1]) return false;
    alignas(64) float buffer[longestDim];
    for (int64_t h = head * group; h < (head + 1) * group; ++h)
      addTo(sums,
            queries.read(batch * q.strides[0] + at * q.strides[1] + h * q.strides[2], q.strides[3], headDim, buffer),
            headDim, factor);
    return true;
  }
  // Each key is scored by the queries within its reach: sums that slide along. Without any query all keys count.
  void representatives(int64_t first, int64_t end, Ranked* heap, float* out) const {
    alignas(64) float buffer[longestDim], sums[longestDim] = {};
    const int64_t begin = args.k.shape[1] - args.q.shape[1];  // position of query 0
    int64_t inReach = 0;
    for (int64_t at = max(first + 1, begin); at <= min(first + args.reach, args.k.shape[1] - 1); ++at)
      inReach += addQueries(at, 1, sums);
    Kept kept = {heap, args.representatives};
    bool any = false;
    for (int64_t at = first; at < end; ++at) {
      const float* x = key(at, buffer);
      float score = 0;
      for (int64_t d = 0; d < headDim; ++d) score += sums[d] * x[d];
      kept.offer(rank(orderOf(broadcast(score))[0], at));
      any = any || inReach > 0;
      inReach -= addQueries(at + 1, -1, sums);
      inReach += addQueries(at + 1 + args.reach, 1, sums);
    }
    if (!any || end - first <= args.representatives) return mean(first, end, out);
    for (int64_t i = 0; i < kept.size; ++i) addTo(out, key(indexOf(heap[i]), buffer), headDim);
    for (int64_t d = 0; d < headDim; ++d) out[d] /= float(kept.size);
  }
};

void summarise(const SummariseArgs& args, Parallel& parallel) {
  const int64_t batch = args.panels.shape[0], heads = args.panels.shape[1], panels = args.panels.shape[2],
                depth = args.panels.shape[3];
  const bool chosen = args.kind == Summary::Representatives;
  parallel.reserveScratch(parallel, chosen ? size_t(args.representatives) * sizeof(Ranked) : 0, 0);
  parallelFor(parallel, batch * heads * panels, [&](int64_t item, int thread) {
    const BlockSummary block(args, item / panels / heads, item / panels % heads);
    float* panel = args.panels.as<float>() + item * depth * panelWidth;
    for (int64_t column = 0; column < panelWidth && !parallel.cancelled(); ++column) {
      alignas(64) float vector[2 * longestDim] = {};
      const int64_t index = item % panels * panelWidth + column, first = index * args.stride,
                    end = min(first + args.size, args.k.shape[1]);
      if (index < args.numBlocks) {
        if (args.kind == Summary::Mean) block.mean(first, end, vector);
        if (args.kind == Summary::Bounds) block.bounds(first, end, vector);
        if (chosen)
          block.representatives(first, end, reinterpret_cast<Ranked*>(parallel.threadScratch(parallel, thread)),
                                vector);
      }
      for (int64_t d = 0; d < depth; ++d) panel[d * panelWidth + column] = vector[d];
    }
  });
}
