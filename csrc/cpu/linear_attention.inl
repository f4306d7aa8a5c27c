// Linear attention and its kin over whole sequences: an item is a head (and, of wide values, some panels), which goes
// through its tokens chunk by chunk. Few items are cut into groups of tokens: each group's own sum first, all at once;
// then a scan over the groups gives the state each begins with; then every group attends. The cut follows from lengths.

constexpr int64_t linearItems = 32;             // below it, groups
constexpr int64_t linearSharedBytes = 4 << 20;  // of the states of all groups
constexpr int64_t leastGroup = 256;             // tokens

LinearPlan planLinear(const LinearAttentionArgs& args) {
  constexpr int64_t one = 1, itemBytes = 2 << 20;
  LinearPlan plan = {.batch = args.q.shape[0], .seqLenQ = args.q.shape[1], .seqLenKV = args.k.shape[1]};
  plan.numHeads = args.q.shape[2], plan.numKVHeads = args.k.shape[2];
  plan.headDim = args.q.shape[3], plan.valueDim = args.v.shape[3];
  plan.features = args.projection.data ? args.projection.outFeatures * (args.hyperbolic ? 2 : 1) : plan.headDim;
  plan.pitch = ceilDiv(plan.features, 16) * 16;
  plan.chunk = plan.features <= 1024 ? longestChunk : 16;
  plan.panels = ceilDiv(plan.valueDim, panelWidth);
  plan.panelsPerItem = max(one, min(plan.panels, itemBytes / (plan.features * panelWidth * 4)));
  plan.splits = ceilDiv(plan.panels, plan.panelsPerItem);
  const int64_t items = max(one, plan.batch * plan.numHeads * plan.splits);
  const int64_t tokens = args.causal ? plan.seqLenKV : max(plan.seqLenQ, plan.seqLenKV);
  const int64_t affordable = linearSharedBytes / (items * plan.stateFloats() * 4);
  plan.groups = max(one, min(min(ceilDiv(linearItems, items), tokens / leastGroup), affordable));
  auto perGroup = [&](int64_t n) { return max(one, ceilDiv(ceilDiv(n, plan.groups), plan.chunk)) * plan.chunk; };
  plan.groupKeys = perGroup(plan.seqLenKV);
  plan.groupQueries = perGroup(plan.seqLenQ);
  return plan;
}

LinearItem linearItem(const LinearPlan& plan, int64_t index) {
  const int64_t at = index / plan.groups, split = at % plan.splits, head = at / plan.splits % plan.numHeads;
  const int64_t firstPanel = split * plan.panelsPerItem;
  return {.batch = at / plan.splits / plan.numHeads,
          .head = head,
          .kvHead = head / (plan.numHeads / plan.numKVHeads),
          .firstPanel = firstPanel,
          .panels = min(plan.panelsPerItem, plan.panels - firstPanel),
          .group = index % plan.groups};
}

LONGSPAN_INLINE float* stateRow(const LinearPlan& plan, const LinearState& state, int64_t panel, int64_t row) {
  return state.values + (panel * plan.features + row) * panelWidth;
}

// f(values of the tensor, values of the state, count) for the rows of S and for z
template <class F>
void forStateRows(const LinearPlan& plan, const LinearItem& item, const LinearState& state, const LinearStateView& view,
                  const F& f) {
  const TensorView &values = view.values, &keys = view.keys;
  for (int64_t d = 0; d < plan.features; ++d) {
    for (int64_t panel = 0; panel < item.panels; ++panel) {
      const int64_t column = (item.firstPanel + panel) * panelWidth;
      const int64_t at = item.batch * values.strides[0] + item.head * values.strides[1] + d * values.strides[2];
      f(values.as<float>() + at + column * values.strides[3], values.strides[3], stateRow(plan, state, panel, d),
        min(panelWidth, plan.valueDim - column));
    }
  }
  if (keys)
    f(keys.as<float>() + item.batch * keys.strides[0] + item.head * keys.strides[1], keys.strides[2], state.keys,
      plan.features);
}

LONGSPAN_INLINE float& logScaleOf(const LinearStateView& view, const LinearItem& item) {
  return view.logScale.as<float>()[item.batch * view.logScale.strides[0] + item.head * view.logScale.strides[1]];
}

// S = 0, or with `given` what the caller gave; nothing since any anchor
void beginState(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, bool given,
                LinearScratch& s) {
  fill(s.state.values, plan.panelsPerItem * plan.features * panelWidth + 2 * plan.pitch, 0);
  s.state.logScale = args.map == FeatureMap::RandomExp ? nothingSeen : 0;
  if (!given || !args.before.values) return;
  forStateRows(plan, item, s.state, args.before, [](const float* from, int64_t stride, float* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
  });
  if (args.before.logScale) s.state.logScale = max(nothingSeen, logScaleOf(args.before, item));
}

void endState(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, const LinearState& s) {
  if (!args.after.values) return;
  LinearStateView after = args.after;
  if (item.firstPanel > 0) after.keys = after.logScale = {};  // another split of the values writes them
  forStateRows(plan, item, s, after, [](float* to, int64_t stride, const float* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i * stride] = from[i];
  });
  if (after.logScale) logScaleOf(after, item) = s.logScale;
}

void beginTokens(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, LinearScratch& s) {
  fill(s.queries, plan.chunk * plan.pitch, 0);
  fill(s.keys, plan.chunk * plan.pitch, 0);
  fill(s.values, plan.panelsPerItem * plan.chunk * panelWidth, 0);
  fill(s.since, plan.pitch, 0);
  fill(s.total, plan.pitch, 0);
  if (s.factors) fill(s.factors, plan.chunk * plan.pitch, 0);
  s.steps = s.tokens = 0;
  if (!args.gammas) return;
  s.gamma = args.gammas[item.head];
  for (int64_t i = 0; i <= plan.chunk; ++i) s.power[i] = float(__builtin_pow(s.gamma, double(i)));
  for (s.runLength = 0; s.runLength < plan.chunk; ++s.runLength) {
    const double inverse = __builtin_pow(s.gamma, -double(s.runLength));
    if (!(__builtin_fabs(inverse) < 1e9)) break;
    s.inverse[s.runLength] = float(inverse);
  }
}

// S and z as they are after the last token, not as they were at the last anchor
void endTokens(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, LinearScratch& s) {
  if (!args.gammas && !args.gates) return;
  for (int64_t d = 0; d < plan.features; ++d) {
    const float factor = args.gammas ? s.power[s.steps] : expOf(s.since[d]);
    for (int64_t panel = 0; panel < item.panels; ++panel) {
      float* row = stateRow(plan, s.state, panel, d);
      mapRow(row, row, panelWidth, [&](Vec a) { return a * factor; });
    }
  }
}

void endGroup(const LinearAttentionArgs& args, const LinearPlan& plan, LinearScratch& s) {
  const float power = args.gammas ? float(__builtin_pow(s.gamma, double(s.tokens))) : 1;
  for (int64_t d = 0; d < plan.pitch; ++d) s.state.decay[d] = args.gates ? expOf(s.total[d]) : power;
}

// `tokens` outputs from query `first` on
void writeOut(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t first,
              int64_t tokens, LinearScratch& s) {
  const TensorView& out = args.out;
  const FloatSink sink(out);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t at = item.batch * out.strides[0] + (first + t) * out.strides[1] + item.head * out.strides[2];
    const float sum = s.denominators[t] + args.epsilon;
    for (int64_t panel = 0; panel < item.panels; ++panel) {
      const int64_t column = (item.firstPanel + panel) * panelWidth;
      float* row = s.out + (panel * plan.chunk + t) * panelWidth;
      if (args.normalise) mapRow(row, row, panelWidth, [&](Vec a) { return sum != 0 ? a / sum : Vec{}; });
      sink.write(row, at + column * out.strides[3], out.strides[3], min(panelWidth, plan.valueDim - column));
    }
    if (!args.lse || item.firstPanel > 0) continue;
    const TensorView& lse = args.lse;
    lse.as<float>()[item.batch * lse.strides[0] + item.head * lse.strides[1] + (first + t) * lse.strides[2]] =
        s.denominators[t] > 0
            ? s.scaleOfQuery[t] + s.scaleOfKey[t] + __builtin_logf(s.denominators[t] / float(plan.features))
            : -__builtin_inff();
  }
}

void readQueries(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t begin,
                 int64_t end, LinearScratch& s, const Parallel& parallel) {
  for (int64_t first = begin; first < end && !parallel.cancelled(); first += plan.chunk) {
    const int64_t tokens = min(plan.chunk, end - first);
    mapQueries(args, plan, item, first, tokens, s);
    const LinearChunk chunk = {plan.features, plan.pitch, panelWidth, s.queries, nullptr, nullptr, 0};
    for (int64_t panel = 0; panel < item.panels; ++panel)
      readPanel(chunk, tokens, stateRow(plan, s.state, panel, 0), s.out + panel * plan.chunk * panelWidth);
    for (int64_t t = 0; t < tokens && args.normalise; ++t)
      s.denominators[t] = dotRows(s.queries + t * plan.pitch, s.state.keys, plan.pitch);
    fill(s.scaleOfKey, tokens, s.state.logScale);
    writeOut(args, plan, item, first, tokens, s);
  }
}

// Keys [begin, end) go into the state; with queries, query `key − offset` reads it after its key.
void processKeys(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t begin,
                 int64_t end, bool withQueries, LinearScratch& s, const Parallel& parallel) {
  for (int64_t first = begin; first < end && !parallel.cancelled(); first += plan.chunk) {
    const int64_t tokens = min(plan.chunk, end - first), query = first - args.offset;
    if (withQueries) mapQueries(args, plan, item, query, tokens, s);
    LinearChunk chunk = prepareKeys(args, plan, item, first, tokens, withQueries, s);
    for (int64_t panel = 0; panel < item.panels; ++panel) {
      const int64_t column = (item.firstPanel + panel) * panelWidth, at = panel * plan.chunk * panelWidth;
      chunk.columns = min(panelWidth, plan.valueDim - column);
      if (withQueries)
        scanPanel(chunk, s.values + at, stateRow(plan, s.state, panel, 0), s.out + at);
      else
        accumulatePanel(chunk, s.values + at, stateRow(plan, s.state, panel, 0));
    }
    if (args.normalise) scanKeys(chunk, s.state.keys, s.denominators);
    if (withQueries) writeOut(args, plan, item, query, tokens, s);
  }
}

// The keys of a group and the queries beside them; the first group has also the queries before all keys, the last one
// those behind.
void attendCausal(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, LinearScratch& s,
                  const Parallel& parallel) {
  const int64_t firstKey = min(plan.seqLenKV, item.group * plan.groupKeys);
  const int64_t lastKey = min(plan.seqLenKV, firstKey + plan.groupKeys), offset = args.offset;
  const bool isLast = item.group == plan.groups - 1;
  if (item.group == 0) readQueries(args, plan, item, 0, min(plan.seqLenQ, -offset), s, parallel);
  const int64_t begin = max(firstKey, min(lastKey, offset)), end = max(begin, min(lastKey, plan.seqLenQ + offset));
  if (end == begin && !isLast) return;  // no query, and the scan over groups has the state already
  processKeys(args, plan, item, firstKey, begin, false, s, parallel);
  processKeys(args, plan, item, begin, end, true, s, parallel);
  if (!isLast) return;
  processKeys(args, plan, item, end, lastKey, false, s, parallel);
  endTokens(args, plan, item, s);
  readQueries(args, plan, item, max(int64_t(0), plan.seqLenKV - offset), plan.seqLenQ, s, parallel);
  endState(args, plan, item, s.state);
}

void attendWhole(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, LinearScratch& s,
                 const Parallel& parallel) {
  beginState(args, plan, item, true, s);
  beginTokens(args, plan, item, s);
  if (args.causal) return attendCausal(args, plan, item, s, parallel);
  processKeys(args, plan, item, 0, plan.seqLenKV, false, s, parallel);
  readQueries(args, plan, item, 0, plan.seqLenQ, s, parallel);
  endState(args, plan, item, s.state);
}

// running = the state after the group that `slot` holds; slot = the state before it
void advanceState(const LinearPlan& plan, LinearState& running, LinearState& slot) {
  const float scale = max(running.logScale, slot.logScale);
  const float old = expOf(running.logScale - scale), added = expOf(slot.logScale - scale);
  auto advance = [&](float* a, float* b, int64_t n, float factor) {
    for (int64_t i = 0; i < n; ++i) {
      const float before = a[i];
      a[i] = before * factor + b[i] * added;
      b[i] = before;
    }
  };
  for (int64_t row = 0; row < plan.panelsPerItem * plan.features; ++row)
    advance(running.values + row * panelWidth, slot.values + row * panelWidth, panelWidth,
            old * slot.decay[row % plan.features]);
  for (int64_t d = 0; d < plan.pitch; ++d) advance(running.keys + d, slot.keys + d, 1, old * slot.decay[d]);
  const float before = running.logScale;
  running.logScale = scale;
  slot.logScale = before;
}

struct LinearSlots {  // states of groups in shared scratch
  const LinearPlan& plan;
  float* base;
  float* of(int64_t index) const { return base + index * plan.stateFloats(); }
  void save(int64_t index, const LinearState& state) const {
    float* slot = of(index);
    __builtin_memcpy(slot, state.values, (plan.stateFloats() - 16) * 4);
    slot[plan.stateFloats() - 16] = state.logScale;
  }
  void load(int64_t index, LinearState& state) const {
    const float* slot = of(index);
    __builtin_memcpy(state.values, slot, (plan.stateFloats() - 16) * 4);
    state.logScale = slot[plan.stateFloats() - 16];
  }
};

// The state before each group (causal), or that of all keys in the first slot
void scanGroups(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearSlots& slots, int64_t first,
                const LinearItem& item, LinearScratch& s) {
  beginState(args, plan, item, true, s);
  for (int64_t g = 0; g < plan.groups; ++g) {
    LinearState slot;
    placeState(plan, slots.of(first + g), slot);
    float& logScale = slots.of(first + g)[plan.stateFloats() - 16];
    slot.logScale = logScale;
    advanceState(plan, s.state, slot);
    logScale = slot.logScale;
  }
  if (args.causal) return;
  slots.save(first, s.state);
  endState(args, plan, item, s.state);
}

void attendGroups(const LinearAttentionArgs& args, const LinearPlan& plan, Parallel& parallel) {
  const int64_t heads = plan.batch * plan.numHeads * plan.splits, items = heads * plan.groups;
  const LinearSlots slots = {plan, (float*)parallel.sharedScratch(parallel)};
  auto scratch = [&](int thread) {
    return layOutLinear(plan, bool(args.gates), parallel.threadScratch(parallel, thread));
  };
  parallelFor(parallel, items, [&](int64_t index, int thread) {
    LinearScratch s = scratch(thread);
    const LinearItem item = linearItem(plan, index);
    beginState(args, plan, item, false, s);
    beginTokens(args, plan, item, s);
    const int64_t first = min(plan.seqLenKV, item.group * plan.groupKeys);
    const bool isNeeded = !args.causal || item.group < plan.groups - 1;
    if (isNeeded) processKeys(args, plan, item, first, min(plan.seqLenKV, first + plan.groupKeys), false, s, parallel);
    endTokens(args, plan, item, s);
    endGroup(args, plan, s);
    slots.save(index, s.state);
  });
  if (parallel.cancelled()) return;
  parallelFor(parallel, heads, [&](int64_t head, int thread) {
    LinearScratch s = scratch(thread);
    scanGroups(args, plan, slots, head * plan.groups, linearItem(plan, head * plan.groups), s);
  });
  parallelFor(parallel, items, [&](int64_t index, int thread) {
    LinearScratch s = scratch(thread);
    const LinearItem item = linearItem(plan, index);
    beginTokens(args, plan, item, s);
    slots.load(args.causal ? index : index / plan.groups * plan.groups, s.state);
    if (args.causal) return attendCausal(args, plan, item, s, parallel);
    const int64_t first = min(plan.seqLenQ, item.group * plan.groupQueries);
    readQueries(args, plan, item, first, min(plan.seqLenQ, first + plan.groupQueries), s, parallel);
  });
}

void linearAttention(const LinearAttentionArgs& args, Parallel& parallel) {
  if (args.out.shape[0] * args.out.shape[2] == 0) return;
  const LinearPlan plan = planLinear(args);
  const size_t shared =
      plan.groups > 1 ? plan.batch * plan.numHeads * plan.splits * plan.groups * plan.stateFloats() * 4 : 0;
  parallel.reserveScratch(parallel, layOutLinear(plan, bool(args.gates), nullptr).bytes, shared);
  if (plan.groups > 1) return attendGroups(args, plan, parallel);
  parallelFor(parallel, plan.batch * plan.numHeads * plan.splits, [&](int64_t index, int thread) {
    LinearScratch s = layOutLinear(plan, bool(args.gates), parallel.threadScratch(parallel, thread));
    attendWhole(args, plan, linearItem(plan, index), s, parallel);
  });
}
