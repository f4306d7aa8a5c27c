// From rows of q, k and v to what the loops of linear_attention_state.inl read: features in float32, scaled to the
// anchor of their run. With γ the decay since the anchor, a key is divided by γ and a query multiplied by it, so that
// inside a run nothing decays; a run ends before γ leaves a range where both are harmless. Random features have a
// running scale instead of a decay: a run begins where a key's largest exponent exceeds all before it, and S is
// rescaled then, so no feature overflows and no later key is looked at.

constexpr float nothingSeen = -1e30f;  // logScale before the first key: e^(it − anything) is 0
constexpr int64_t longestChunk = 64;

struct LinearPlan {
  int64_t batch, seqLenQ, seqLenKV, numHeads, numKVHeads, headDim, valueDim;
  int64_t features, pitch;                  // pitch: of a row of features, a multiple of 16, zero behind the features
  int64_t panels, panelsPerItem, splits;    // of 64 value dims
  int64_t chunk;                            // tokens
  int64_t groups, groupKeys, groupQueries;  // parts of the sequence that are worked on side by side
  int64_t stateFloats() const { return panelsPerItem * features * panelWidth + 2 * pitch + 16; }
};

struct LinearItem {
  int64_t batch, head, kvHead, firstPanel, panels, group;
};

struct LinearScratch {
  float *queries, *keys;             // [chunk][pitch]
  float *values, *out;               // [panelsPerItem][chunk][panelWidth]
  float* denominators;               // [chunk]
  float *scaleOfQuery, *scaleOfKey;  // [chunk] logs of the scales of random features; of a key: that of S with it
  float* rows;                       // [chunk][headDim, rounded up]: rows of q or k times a root of the scale
  float* sums;                       // [blockRows][panelWidth]
  float* factors;                    // [chunk][pitch] of runs with gates
  float *since, *total;              // [pitch] log decay since the anchor, and of the group so far
  float *power, *inverse;            // [chunk + 1] of gamma and 1 / gamma
  LinearRun* runs;                   // [chunk]
  int64_t numRuns;
  double gamma;
  int64_t runLength, steps, tokens;  // with gamma: longest run, tokens since the anchor, tokens of the group so far
  LinearState state;
  int64_t bytes;
};

LONGSPAN_INLINE void placeState(const LinearPlan& plan, float* base, LinearState& state) {
  state.values = base;
  state.keys = base + plan.panelsPerItem * plan.features * panelWidth;
  state.decay = state.keys + plan.pitch;
}

LinearScratch layOutLinear(const LinearPlan& plan, bool gated, unsigned char* base) {
  LinearScratch s = {};
  auto take = [&](int64_t n, int64_t size) {
    unsigned char* at = base + s.bytes;
    s.bytes += ceilDiv(n * size, 64) * 64;
    return at;
  };
  auto floats = [&](int64_t n) { return (float*)take(n, 4); };
  s.queries = floats(plan.chunk * plan.pitch);
  s.keys = floats(plan.chunk * plan.pitch);
  s.values = floats(plan.panelsPerItem * plan.chunk * panelWidth);
  s.out = floats(plan.panelsPerItem * plan.chunk * panelWidth);
  s.denominators = floats(plan.chunk);
  s.scaleOfQuery = floats(plan.chunk);
  s.scaleOfKey = floats(plan.chunk);
  s.rows = floats(plan.chunk * ceilDiv(plan.headDim, 16) * 16);
  s.sums = floats(blockRows * panelWidth);
  s.factors = gated ? floats(plan.chunk * plan.pitch) : nullptr;
  s.since = floats(plan.pitch);
  s.total = floats(plan.pitch);
  s.power = floats(plan.chunk + 1);
  s.inverse = floats(plan.chunk + 1);
  s.runs = (LinearRun*)take(plan.chunk, sizeof(LinearRun));
  placeState(plan, floats(plan.stateFloats()), s.state);
  return s;
}

LONGSPAN_INLINE float expOf(float x) { return exp(broadcast(x))[0]; }

LONGSPAN_INLINE void fill(float* p, int64_t n, float value) {
  for (int64_t i = 0; i < n; ++i) p[i] = value;
}

// f(x) into out, n values; the rest of the last vector stays
template <class F>
LONGSPAN_INLINE void mapRow(const float* x, float* out, int64_t n, const F& f) {
  for (int64_t d = 0; d < n; d += lanes) storeUpTo(out + d, f(loadUpTo(x + d, n - d)), n - d);
}

void mapPlain(FeatureMap map, const float* x, float scale, float* out, int64_t n) {
  const Vec zero = {};
  switch (map) {
    case FeatureMap::Elu:
      return mapRow(x, out, n, [&](Vec a) { return a * scale > zero ? a * scale + 1.f : exp(a * scale); });
    case FeatureMap::Relu:
      return mapRow(x, out, n, [&](Vec a) { return max(a * scale, zero); });
    default:
      return mapRow(x, out, n, [&](Vec a) { return a * scale; });
  }
}

// Products of rows with the projection become exponents (or the features themselves of RandomRelu).
// scales: the largest exponent of each row.
void projectRows(const LinearAttentionArgs& args, const LinearPlan& plan, int64_t tokens, LinearScratch& s, float* out,
                 float* scales) {
  const int64_t rowPitch = ceilDiv(plan.headDim, 16) * 16, count = args.projection.outFeatures;
  float half[longestChunk];
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = s.rows + t * rowPitch;
    half[t] = dotRows(row, row, rowPitch) / 2;
    scales[t] = nothingSeen;
  }
  for (int64_t first = 0; first < count; first += panelWidth) {
    const char* panel = (const char*)((const float*)args.projection.data + first * plan.headDim);
    const int64_t n = min(panelWidth, count - first);
    for (int64_t t = 0; t < tokens; ++t) {
      if (t % blockRows == 0)
        multiplyRows<Widened<Float32Panel>>(min(int64_t(blockRows), tokens - t), s.rows + t * rowPitch, rowPitch, panel,
                                            plan.headDim, s.sums, true);
      const float* sums = s.sums + t % blockRows * panelWidth;
      float* row = out + t * plan.pitch + first;
      if (args.map == FeatureMap::RandomRelu) {
        mapRow(sums, row, n, [&](Vec a) { return max(a, Vec{}) + args.mapEpsilon; });
        continue;
      }
      const Vec shift = broadcast(half[t]);
      mapRow(sums, row, n, [&](Vec a) { return a - shift; });
      if (args.hyperbolic) mapRow(sums, row + count, n, [&](Vec a) { return -a - shift; });
    }
  }
  for (int64_t t = 0; t < tokens && args.map == FeatureMap::RandomExp; ++t)
    scales[t] = maxOf(out + t * plan.pitch, plan.features);
}

LONGSPAN_INLINE void expFeatures(float* row, int64_t n, float shift) {
  mapRow(row, row, n, [&](Vec a) { return exp(a - shift); });
}

// `tokens` rows of q or k from `at` on, as features
void mapRows(const LinearAttentionArgs& args, const LinearPlan& plan, const TensorView& x, int64_t at, int64_t tokens,
             float scale, LinearScratch& s, float* out, float* scales) {
  const FloatSource source(x);
  const int64_t rowPitch = ceilDiv(plan.headDim, 16) * 16;
  alignas(64) float buffer[4096];
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = source.read(at + t * x.strides[1], x.strides[3], plan.headDim, buffer);
    if (args.projection.data) {
      float* scaled = s.rows + t * rowPitch;
      mapPlain(FeatureMap::Identity, row, scale, scaled, plan.headDim);
      fill(scaled + plan.headDim, rowPitch - plan.headDim, 0);
    } else {
      mapPlain(args.map, row, scale, out + t * plan.pitch, plan.headDim);
    }
  }
  if (args.projection.data) projectRows(args, plan, tokens, s, out, scales);
}

void mapQueries(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t first,
                int64_t tokens, LinearScratch& s) {
  const TensorView& q = args.q;
  const int64_t at = item.batch * q.strides[0] + first * q.strides[1] + item.head * q.strides[2];
  mapRows(args, plan, q, at, tokens, args.scaleQ, s, s.queries, s.scaleOfQuery);
  if (args.map != FeatureMap::RandomExp) return;
  for (int64_t t = 0; t < tokens; ++t) expFeatures(s.queries + t * plan.pitch, plan.features, s.scaleOfQuery[t]);
}

LONGSPAN_INLINE void beginRun(LinearScratch& s, int64_t token, float factor, const float* factors = nullptr) {
  if (s.numRuns) s.runs[s.numRuns - 1].end = token;
  s.runs[s.numRuns++] = {token, token, factor, factors};
}

void scaleRandomKeys(const LinearPlan& plan, int64_t tokens, LinearScratch& s) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float scale = s.scaleOfKey[t], old = s.state.logScale;
    if (t == 0 || scale > old) {
      s.state.logScale = max(scale, old);
      beginRun(s, t, expOf(old - s.state.logScale));
    }
    expFeatures(s.keys + t * plan.pitch, plan.features, s.state.logScale);
    s.scaleOfKey[t] = s.state.logScale;
  }
}

void scaleByGamma(const LinearPlan& plan, int64_t tokens, bool withQueries, LinearScratch& s) {
  for (int64_t t = 0; t < tokens; ++t) {
    if (t % s.runLength == 0) {
      beginRun(s, t, s.power[s.steps + 1]);
      s.steps = 0;
    } else {
      ++s.steps;
    }
    const float power = s.power[s.steps], inverse = s.inverse[s.steps];
    float *key = s.keys + t * plan.pitch, *query = s.queries + t * plan.pitch;
    mapRow(key, key, plan.pitch, [&](Vec a) { return a * inverse; });
    if (withQueries) mapRow(query, query, plan.pitch, [&](Vec a) { return a * power; });
  }
  s.tokens += tokens;
}

// Is the log decay since the anchor, with one more gate, within a range where its exponential keeps its precision?
LONGSPAN_INLINE bool fitsRun(const float* since, const float* gate, int64_t n) {
  constexpr float limit = 8;
  Vec highest = {}, lowest = {};
  for (int64_t d = 0; d < n; d += lanes) {
    const Vec next = loadUpTo(since + d, n - d) + loadUpTo(gate + d, n - d);
    highest = max(highest, next);
    lowest = min(lowest, next);
  }
  return maxOfLanes(highest) <= limit && maxOfLanes(-lowest) <= limit;
}

void scaleByGates(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t first,
                  int64_t tokens, bool withQueries, LinearScratch& s) {
  const TensorView& gates = args.gates;
  const FloatSource source(gates);
  const int64_t n = plan.headDim, head = gates.shape[2] == plan.numHeads ? item.head : item.kvHead;
  const int64_t at = item.batch * gates.strides[0] + first * gates.strides[1] + head * gates.strides[2];
  alignas(64) float buffer[4096];
  for (int64_t t = 0; t < tokens; ++t) {
    const float* gate = source.read(at + t * gates.strides[1], gates.strides[3], n, buffer);
    const bool begins = t == 0 || !fitsRun(s.since, gate, n);
    float* factors = s.factors + s.numRuns * plan.pitch;
    float *key = s.keys + t * plan.pitch, *query = s.queries + t * plan.pitch;
    if (begins) beginRun(s, t, 1, factors);
    for (int64_t d = 0; d < n; d += lanes) {
      const Vec g = loadUpTo(gate + d, n - d), since = load(s.since + d) + g;
      storeUpTo(s.total + d, load(s.total + d) + g, n - d);
      if (begins) {
        storeUpTo(factors + d, exp(since), n - d);
        storeUpTo(s.since + d, Vec{}, n - d);
        continue;
      }
      const Vec decay = exp(since);
      storeUpTo(s.since + d, since, n - d);
      store(key + d, load(key + d) / decay);
      if (withQueries) store(query + d, load(query + d) * decay);
    }
  }
}

// The keys and values of a chunk, and its runs; queries, where mapped already, are scaled with them.
LinearChunk prepareKeys(const LinearAttentionArgs& args, const LinearPlan& plan, const LinearItem& item, int64_t first,
                        int64_t tokens, bool withQueries, LinearScratch& s) {
  const TensorView &k = args.k, &v = args.v;
  const int64_t keyAt = item.batch * k.strides[0] + first * k.strides[1] + item.kvHead * k.strides[2];
  const int64_t valueAt = item.batch * v.strides[0] + first * v.strides[1] + item.kvHead * v.strides[2];
  mapRows(args, plan, k, keyAt, tokens, args.scaleK, s, s.keys, s.scaleOfKey);
  const FloatSource source(v);
  for (int64_t panel = 0; panel < item.panels; ++panel) {
    const int64_t column = (item.firstPanel + panel) * panelWidth, n = min(panelWidth, plan.valueDim - column);
    for (int64_t t = 0; t < tokens; ++t) {
      float* row = s.values + (panel * plan.chunk + t) * panelWidth;
      source.toFloats(v.as<const char>() + (valueAt + t * v.strides[1] + column * v.strides[3]) * bytesOf(v.dtype),
                      v.strides[3], row, 1, n);
    }
  }
  s.numRuns = 0;
  if (args.map == FeatureMap::RandomExp) {
    scaleRandomKeys(plan, tokens, s);
  } else if (args.gammas) {
    scaleByGamma(plan, tokens, withQueries, s);
  } else if (args.gates) {
    scaleByGates(args, plan, item, first, tokens, withQueries, s);
  } else {
    beginRun(s, 0, 1);
  }
  s.runs[s.numRuns - 1].end = tokens;
  return {plan.features, plan.pitch, 0, withQueries ? s.queries : nullptr, s.keys, s.runs, s.numRuns};
}
