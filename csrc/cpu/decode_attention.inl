// Attention of few queries over many keys, as in decoding: bound by memory, so every K and V value is read once for
// all rows (queries × heads of a group) and in ascending order. Keys are cut into chunks that depend on lengths only
// (flash-decoding: Dao et al. 2023); each chunk leaves its unnormalised output, sum and maximum, and one deterministic
// pass merges them. The cache is read as it lies; plain tensors are brought into the same blocks, 32 keys at a time.

// --- scores
typedef Vec BlockScores[cacheKeys / lanes];

LONGSPAN_INLINE VecInt laneNumbers() {
  VecInt numbers;
  for (int i = 0; i < lanes; ++i) numbers[i] = i;
  return numbers;
}

template <class T>
void addBias(BlockScores& x, const T* bias, int64_t stride, int count) {
  for (int i = 0; i < cacheKeys / lanes; ++i) {
    int number = minOf(lanes, count - i * lanes);
    const T* from = bias + i * lanes * stride;
    if (number == lanes && stride == 1) {
      x[i] += load(from);
    } else {
      for (int j = 0; j < number; ++j) x[i][j] += toFloat(from[j * stride]);
    }
  }
}

// scale, softcap, ALiBi, terms and bias, in this order
void bendScores(BlockScores& x, const DecodeItem& item, int head, int query, int64_t key, int count) {
  const AttentionArgs& args = item.plan.args;
  constexpr int vecs = cacheKeys / lanes;
  const float scale = args.scale * queryScaleOf(args, int(item.batch), head, query);
  for (int i = 0; i < vecs; ++i) x[i] *= scale;
  if (args.softcap > 0)
    for (int i = 0; i < vecs; ++i) x[i] = args.softcap * tanh(x[i] / args.softcap);
  if (args.alibiSlopes) {
    float slope = args.alibiSlopes.as<float>()[head * args.alibiSlopes.strides[0]];
    int distance = int(key - query - args.offset);
    for (int i = 0; i < vecs; ++i)
      x[i] -= slope * absolute(__builtin_convertvector(laneNumbers() + (distance + i * lanes), Vec));
  }
  if (hasTerms(args))
    for (int i = 0; i < count; ++i)
      x[i / lanes][i % lanes] += scoreTerms(args, int(item.batch), head, query + args.offset, int(key) + i);
  const TensorView& bias = args.bias;
  if (!bias) return;
  int64_t at = item.batch * bias.strides[0] + head * bias.strides[1] + query * bias.strides[2] + key * bias.strides[3];
  switch (bias.dtype) {
    case DType::Float32:
      return addBias(x, bias.as<float>() + at, bias.strides[3], count);
    case DType::Float16:
      return addBias(x, bias.as<Float16>() + at, bias.strides[3], count);
    default:
      return addBias(x, bias.as<BFloat16>() + at, bias.strides[3], count);
  }
}

// One block of `count` keys, for one KV head of the item. `masked`: item.live says who sees what. score() finds the
// scores of the block, add() adds its values times P to the output.
template <class U, class Score, class Add>
LONGSPAN_INLINE void attendBlock(const DecodeItem& item, const DecodeBlock& b, int head, int64_t key, int count,
                                 bool masked, const Score& score, const Add& add) {
  const DecodePlan& plan = item.plan;
  const AttentionArgs& args = plan.args;
  constexpr int vecs = cacheKeys / lanes;
  float unit = plan.bent ? log2e : args.scale * log2e;
  uint32_t present = count == cacheKeys ? ~0u : (1u << count) - 1;
  score();
  for (int r = 0; r < b.rows; ++r) {
    BlockScores x;
#pragma GCC unroll 8
    for (int i = 0; i < vecs; ++i) x[i] = load(b.scores + r * cacheKeys + i * lanes);
    if (plan.bent) bendScores(x, item, head * plan.group + r % plan.group, r / plan.group, key, count);
    uint32_t live = masked ? item.live[r] & present : present;
    if (live != ~0u)
      for (int i = 0; i < vecs; ++i) x[i] = selectBits(live >> (i * lanes), x[i], broadcast(-__builtin_inff()));
    softmaxRow<U>(b, r, x, unit);
  }
  add();
}

// A V block without what lies behind its first `count` keys: that may be anything, and 0 × NaN is not 0.
template <class E>
void copyValues(E* out, const E* block, int count, int valueDim) {
  constexpr int unit = perUnit<E>;
  for (int panel = 0; panel < valueDim; panel += panelValues) {
    int width = panelWidth(panel, valueDim), present = (count + unit - 1) / unit * width;
    const E* from = block + int64_t(panel) * cacheKeys;
    E* to = out + int64_t(panel) * cacheKeys;
    __builtin_memcpy(to, from, present * 4);
    __builtin_memset(to + present * unit, 0, (cacheKeys / unit * width - present) * 4);
    if (count % unit)
      for (int i = present - width; i < present; ++i) to[i * unit + 1] = fromFloat<E>(0);
  }
}

template <class U>
DecodeBlock blockOf(const DecodeItem& item, int headInItem) {
  const DecodePlan& plan = item.plan;
  auto* query = (typename U::Factor*)item.query + int64_t(headInItem) * plan.rows * plan.keyDim;
  float* state = item.states + int64_t(headInItem) * plan.rows * plan.stateStride;
  return {.keys = item.keys,
          .values = item.values,
          .query = query,
          .queryStride = plan.keyDim,
          .rows = plan.rows,
          .keyDim = plan.keyDim,
          .valueDim = plan.paddedValueDim,
          .scores = item.scores,
          .probabilities = item.probabilities,
          .state = state,
          .stateStride = plan.stateStride};
}

// f(key, count, head, masked) for every block of the item that is seen; a whole slab is asked for first
template <class F>
LONGSPAN_INLINE void forEachBlock(const DecodeItem& item, int firstHead, int endHead, const Parallel& parallel,
                                  const F& f) {
  bool onePattern = !item.plan.pattern.each || endHead - firstHead == 1;
  for (int64_t slab = item.firstKey; slab < item.endKey; slab += KVCacheView::keysPerSlab) {
    int64_t end = min(slab + KVCacheView::keysPerSlab, item.endKey);
    Cover ofSlab = onePattern ? coverOf(item, firstHead, slab, end - slab) : Cover::Partial;
    if (ofSlab == Cover::None) continue;
    for (int64_t key = slab; key < end && !parallel.cancelled(); key += cacheKeys) {
      int count = int(min(int64_t(cacheKeys), end - key));
      for (int head = firstHead; head < endHead; ++head) {
        Cover cover = ofSlab == Cover::Full ? ofSlab : coverOf(item, head, key, count);
        if (cover == Cover::None) continue;
        if (cover == Cover::Partial) findLive(item, head, key, count);
        f(key, count, head, cover == Cover::Partial);
      }
    }
  }
}

template <class U>
void attendCache(const DecodeItem& item, int head, const Parallel& parallel) {
  using E = typename U::Element;
  const KVCacheView& cache = item.plan.args.cache;
  packQuery((typename U::Factor*)item.query, item.plan, item.batch, head);
  DecodeBlock b = blockOf<U>(item, 0);
  forEachBlock(item, head, head + 1, parallel, [&](int64_t key, int count, int, bool masked) {
    b.keys = cache.keys(head, key / cacheKeys);
    b.values = cache.values(head, key / cacheKeys);
    if (cache.keySet < cache.keySets - 1)  // other keys lie between the values: no hardware prefetcher follows
      for (int64_t at = 0; at < cache.valueBlockBytes(); at += 64) __builtin_prefetch((const char*)b.values + at, 0, 2);
    if (count < cacheKeys) {
      copyValues((E*)item.values, (const E*)b.values, count, b.valueDim);
      b.values = item.values;
    }
    attendBlock<U>(
        item, b, head, key, count, masked, [&] { scoreBlock<U, true>(b); }, [&] { valueBlock<U, true>(b); });
  });
}

// --- plain tensors: few rows of queries use the keys where they lie, many a packed block of 32
// Where the rows of this head begin in `t`, and what to fetch meanwhile: part `head` of all the next block's memory
template <class T>
TensorRows<T> rowsOf(const TensorView& t, int64_t batch, int64_t key, int head) {
  return {t.as<const T>() + batch * t.strides[0] + key * t.strides[1] + head * t.strides[2], t.strides[1],
          t.strides[3]};
}
template <class T>
PrefetchNext nextRows(const DecodePlan& plan, const TensorView& t, int64_t batch, int64_t key, int head) {
  int64_t dim = t.shape[3], heads = t.shape[2], block = cacheKeys * t.strides[1];
  const T* next = rowsOf<T>(t, batch, key + cacheKeys, plan.headsInside ? 0 : head).data;
  if (plan.headsInside) next += head * block / heads;
  bool contiguous = t.strides[1] == (plan.headsInside ? heads : 1) * dim;
  return {(const char*)next, contiguous};
}

// The present keys, and zeros behind them, as 32 contiguous rows
template <class T>
TensorRows<T> stageRows(T* staged, TensorRows<T> rows, int count, int dim) {
  for (int i = 0; i < count; ++i)
    if (rows.dimStride == 1)
      __builtin_memcpy(staged + i * dim, rows.data + i * rows.keyStride, dim * sizeof(T));
    else
      for (int d = 0; d < dim; ++d) staged[i * dim + d] = rows.data[i * rows.keyStride + d * rows.dimStride];
  __builtin_memset(staged + count * dim, 0, (cacheKeys - count) * dim * sizeof(T));
  return {staged, dim, 1};
}

template <class U, class T>
void attendRows(const DecodeItem& item, int firstHead, int endHead, const Parallel& parallel) {
  using E = typename U::Element;
  const DecodePlan& plan = item.plan;
  const AttentionArgs& args = plan.args;
  for (int head = firstHead; head < endHead; ++head)
    packQuery((typename U::Factor*)item.query + int64_t(head - firstHead) * plan.rows * plan.keyDim, plan, item.batch,
              head);
  forEachBlock(item, firstHead, endHead, parallel, [&](int64_t key, int count, int head, bool masked) {
    TensorRows<T> keys = rowsOf<T>(args.k, item.batch, key, head), values = rowsOf<T>(args.v, item.batch, key, head);
    T* staged = (T*)item.staged;
    DecodeBlock b = blockOf<U>(item, head - firstHead);
    auto score = [&] {
      PrefetchNext prefetch = nextRows<T>(plan, args.k, item.batch, key, head);
      if (count < cacheKeys || keys.dimStride != 1) keys = stageRows(staged, keys, count, plan.headDim);
      if (scoresFromRows<U, T>(b, plan.headDim)) return scoreByRows<U, T>(b, keys, prefetch);
      packKeys((E*)item.keys, keys, plan.headDim, plan.keyDim, prefetch);
      scoreBlock<U, false>(b);
    };
    auto add = [&] {
      PrefetchNext prefetch = nextRows<T>(plan, args.v, item.batch, key, head);
      if (count < cacheKeys || values.dimStride != 1) values = stageRows(staged, values, count, plan.valueDim);
      if (valuesFromRows<U, T>(b, plan.valueDim)) return addByRows<U, T>(b, values, prefetch);
      packValues((E*)item.values, values, plan.valueDim, plan.paddedValueDim, prefetch);
      valueBlock<U, false>(b);
    };
    attendBlock<U>(item, b, head, key, count, masked, score, add);
  });
}

void attendItem(const DecodeItem& item, int firstHead, int endHead, const Parallel& parallel) {
  const AttentionArgs& args = item.plan.args;
  if (args.cache.slabs) {
    if (args.cache.dtype == DType::Float32) return attendCache<FloatUnits>(item, firstHead, parallel);
    if (args.q.dtype == DType::BFloat16) return attendCache<PairUnits>(item, firstHead, parallel);
    return attendCache<WidenedPairs>(item, firstHead, parallel);
  }
  switch (args.k.dtype) {
    case DType::Float32:
      return attendRows<FloatUnits, float>(item, firstHead, endHead, parallel);
    case DType::Float16:
      return attendRows<FloatUnits, Float16>(item, firstHead, endHead, parallel);
    default:
      return attendRows<PairUnits, BFloat16>(item, firstHead, endHead, parallel);
  }
}

// --- the chunks of a row, brought together
template <class T>
void writeRow(T* out, int64_t stride, const float* row, int dim) {
  for (int d = 0; d < dim; ++d) out[d * stride] = fromFloat<T>(row[d]);
}

// states: the row's first chunk; the others follow at `chunkStride`
void finishRow(const DecodePlan& plan, const float* states, int64_t chunkStride, int64_t batch, int head, int query) {
  const AttentionArgs& args = plan.args;
  int dim = plan.paddedValueDim;
  float unit = plan.bent ? 1 : args.scale, highest = lowestScore, total = 0, sink = 0;
  for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) highest = max(highest, states[chunk * chunkStride + dim + 16]);
  bool sees = highest > lowestScore;
  highest *= unit;
  if (args.sinkLogits) {
    sink = args.sinkLogits.as<float>()[head * args.sinkLogits.strides[0]];
    highest = max(highest, sink);
  }
  alignas(64) float row[256 + 16];
  __builtin_memset(row, 0, sizeof(float) * dim);
  for (int64_t chunk = 0; sees && chunk < plan.chunks; ++chunk) {  // else lowest − lowest, which need not be 0
    const float* state = states + chunk * chunkStride;
    Vec weight = exp2(broadcast((state[dim + 16] * unit - highest) * log2e));
    total += sum(load(state + dim) * weight);
    for (int d = 0; d < dim; d += lanes) store(row + d, load(row + d) + load(state + d) * weight);
  }
  if (args.sinkLogits) total += exp2(broadcast((sink - highest) * log2e))[0];
  Vec divisor = broadcast(sees ? total : 1.f);  // nothing seen: the row is 0
  for (int d = 0; d < dim; d += lanes) store(row + d, load(row + d) / divisor);
  const TensorView& out = args.out;
  int64_t at = batch * out.strides[0] + query * out.strides[1] + head * out.strides[2];
  switch (out.dtype) {
    case DType::Float32:
      writeRow(out.as<float>() + at, out.strides[3], row, plan.valueDim);
      break;
    case DType::Float16:
      writeRow(out.as<Float16>() + at, out.strides[3], row, plan.valueDim);
      break;
    default:
      writeRow(out.as<BFloat16>() + at, out.strides[3], row, plan.valueDim);
  }
  if (!args.lse) return;
  const TensorView& lse = args.lse;
  bool any = sees || args.sinkLogits;
  lse.as<float>()[batch * lse.strides[0] + head * lse.strides[1] + query * lse.strides[2]] =
      any ? highest + __builtin_logf(total) : -__builtin_inff();
}

void decodeAttention(const AttentionArgs& args, Parallel& parallel) {
  if (args.q.shape[0] * args.q.shape[1] * args.q.shape[2] == 0) return;
  DecodePlan plan = planDecode(args);
  int64_t batch = args.q.shape[0], headsPerItem = plan.headsInside ? plan.numKVHeads : 1;
  int64_t headItems = plan.numKVHeads / headsPerItem, headStates = plan.rows * plan.stateStride;
  int64_t chunkStates = plan.numKVHeads * headStates;
  parallel.reserveScratch(parallel, plan.threadBytes(), plan.batches * plan.stateOfBatch() * 4);
  float* states = (float*)parallel.sharedScratch(parallel);
  for (int64_t first = 0; first < batch && !parallel.cancelled(); first += plan.batches) {
    int64_t batches = min(plan.batches, batch - first);
    // Ascending items are ascending memory: batch, chunk (slab), head. Each thread has its own stretch of it: two
    // threads that take neighbouring items in turn get 85 % of the bandwidth, apart 96 %.
    int64_t items = batches * plan.chunks * headItems, streams = parallel.numThreads;
    int64_t perStream = (items + streams - 1) / streams;
    parallelFor(parallel, perStream * streams, [&](int64_t turn, int thread) {
      int64_t index = turn % streams * perStream + turn / streams;
      if (index >= items) return;
      int64_t headItem = index % headItems, chunk = index / headItems % plan.chunks,
              b = index / headItems / plan.chunks;
      int firstHead = int(headItem * headsPerItem);
      float* own = states + (b * plan.chunks + chunk) * chunkStates + firstHead * headStates;
      DecodeItem item =
          beginItem(plan, parallel.threadScratch(parallel, thread), own, first + b, chunk, int(headsPerItem));
      attendItem(item, firstHead, int(firstHead + headsPerItem), parallel);
    });
    parallelFor(parallel, batches * plan.numKVHeads, [&](int64_t index, int) {
      int64_t b = index / plan.numKVHeads, kvHead = index % plan.numKVHeads;
      for (int r = 0; r < plan.rows; ++r)
        finishRow(plan, states + b * plan.stateOfBatch() + kvHead * headStates + r * plan.stateStride, chunkStates,
                  first + b, int(kvHead) * plan.group + r % plan.group, r / plan.group);
    });
  }
}
