// The state of linear attention (Katharopoulos et al. 2020): S [features, valueDim], grown by outer products of keys
// and values and read by queries. Registers hold a few tokens' values and outputs while the rows of S pass once: that
// is the recurrence itself, without the masked square of the chunked form, at two multiply-adds an element and token.
// Decay is not in these loops: keys and queries come scaled to an anchor, and S is rescaled where a run of tokens with
// another anchor begins (linear_attention_keys.inl).

#if LONGSPAN_LANES == 16 || defined(__aarch64__)
constexpr int scanTokens = 4, scanVecs = 2;
#else
constexpr int scanTokens = 4, scanVecs = 1;
#endif

struct LinearState {
  float* values;  // [panels][features][panelWidth]: the panels that multiplyRows reads
  float* keys;    // [pitch]
  float* decay;   // [pitch] of a group of tokens, as a whole
  float logScale;
};

// Tokens [begin, end) of a chunk share an anchor; before them S is multiplied by `factor`, row by row where `factors`.
struct LinearRun {
  int64_t begin, end;
  float factor;
  const float* factors;  // [pitch] or null
  LONGSPAN_INLINE bool rescales() const { return factors || factor != 1; }
  LONGSPAN_INLINE float of(int64_t row) const { return factors ? factors[row] : factor; }
};

struct LinearChunk {
  int64_t features, pitch, columns;  // columns: value dims in use of a panel
  const float *queries, *keys;       // [tokens][pitch]; queries may be null
  const LinearRun* runs;
  int64_t numRuns;
};

template <int vecs>
LONGSPAN_INLINE void rescaleColumns(const LinearRun& run, int64_t rows, float* state) {
  if (!run.rescales()) return;
  for (int64_t d = 0; d < rows; ++d) {
    const Vec factor = broadcast(run.of(d));
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) {
      float* at = state + d * panelWidth + j * lanes;
      store(at, load(at) * factor);
    }
  }
}

// out[tokens] = queries · S, token t after the keys up to t
template <int tokens, int vecs>
[[gnu::noinline]] void scanTokensOf(const float* queries, const float* keys, int64_t pitch, int64_t features,
                                    const float* values, float* state, float* out) {
  Vec value[tokens][vecs], sums[tokens][vecs];
#pragma GCC unroll 8
  for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) {
      value[t][j] = load(values + t * panelWidth + j * lanes);
      sums[t][j] = Vec{};
    }
#pragma GCC unroll 2
  for (int64_t d = 0; d < features; ++d) {
    Vec s[vecs];
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) s[j] = load(state + d * panelWidth + j * lanes);
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t) {
      const Vec key = broadcast(keys[t * pitch + d]), query = broadcast(queries[t * pitch + d]);
#pragma GCC unroll 4
      for (int j = 0; j < vecs; ++j) {
        s[j] += key * value[t][j];
        sums[t][j] += query * s[j];
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) store(state + d * panelWidth + j * lanes, s[j]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) store(out + t * panelWidth + j * lanes, sums[t][j]);
}

template <int vecs, int tokens = scanTokens>
void scanUpTo(int64_t count, const LinearChunk& chunk, int64_t token, const float* values, float* state, float* out) {
  if constexpr (tokens > 1) {
    if (count < tokens) return scanUpTo<vecs, tokens - 1>(count, chunk, token, values, state, out);
  }
  scanTokensOf<tokens, vecs>(chunk.queries + token * chunk.pitch, chunk.keys + token * chunk.pitch, chunk.pitch,
                             chunk.features, values + token * panelWidth, state, out + token * panelWidth);
}

// values, out [tokens][panelWidth]; state [features][panelWidth]
void scanPanel(const LinearChunk& chunk, const float* values, float* state, float* out) {
  constexpr int width = scanVecs * lanes;
  for (int64_t column = 0; column < chunk.columns; column += width) {
    for (int64_t n = 0; n < chunk.numRuns; ++n) {
      const LinearRun& run = chunk.runs[n];
      rescaleColumns<scanVecs>(run, chunk.features, state + column);
      for (int64_t t = run.begin; t < run.end; t += scanTokens)
        scanUpTo<scanVecs>(min(int64_t(scanTokens), run.end - t), chunk, t, values + column, state + column,
                           out + column);
    }
  }
}

// `rows` rows of S += keysᵀ values over the tokens of a run
template <int rows, int vecs>
void addOuter(const LinearRun& run, const float* keys, int64_t pitch, const float* values, float* state) {
  Vec sums[rows][vecs];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    const Vec factor = broadcast(run.of(i));
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) sums[i][j] = load(state + i * panelWidth + j * lanes) * factor;
  }
#pragma GCC unroll 2
  for (int64_t t = run.begin; t < run.end; ++t) {
    Vec v[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) v[j] = load(values + t * panelWidth + j * lanes);
    addProducts(sums, v, keys + t * pitch, 1);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) store(state + i * panelWidth + j * lanes, sums[i][j]);
}

void accumulatePanel(const LinearChunk& chunk, const float* values, float* state) {
  constexpr int width = blockVecs * lanes;
  for (int64_t n = 0; n < chunk.numRuns; ++n) {
    for (int64_t column = 0; column < chunk.columns; column += width) {
      for (int64_t d = 0; d < chunk.features;) {
        LinearRun run = chunk.runs[n];
        if (run.factors) run.factors += d;
        float* at = state + d * panelWidth + column;
        if (d + blockRows <= chunk.features) {
          addOuter<blockRows, blockVecs>(run, chunk.keys + d, chunk.pitch, values + column, at);
          d += blockRows;
        } else {
          addOuter<1, blockVecs>(run, chunk.keys + d, chunk.pitch, values + column, at);
          ++d;
        }
      }
    }
  }
}

// out[tokens][panelWidth] = queries · S
void readPanel(const LinearChunk& chunk, int64_t tokens, const float* state, float* out) {
  for (int64_t t = 0; t < tokens; t += blockRows)
    multiplyRows<Widened<Float32Panel>>(min(int64_t(blockRows), tokens - t), chunk.queries + t * chunk.pitch,
                                        chunk.pitch, (const char*)state, chunk.features, out + t * panelWidth, true);
}

LONGSPAN_INLINE float dotRows(const float* a, const float* b, int64_t pitch) {
  Vec total = {};
  for (int64_t d = 0; d < pitch; d += lanes) total += load(a + d) * load(b + d);
  return sum(total);
}

// z: the sum of keys, and its products with the queries where there are any
void scanKeys(const LinearChunk& chunk, float* z, float* denominators) {
  for (int64_t n = 0; n < chunk.numRuns; ++n) {
    const LinearRun& run = chunk.runs[n];
    for (int64_t d = 0; d < chunk.pitch && run.rescales(); ++d) z[d] *= run.of(d);
    for (int64_t t = run.begin; t < run.end; ++t) {
      const float* key = chunk.keys + t * chunk.pitch;
      for (int64_t d = 0; d < chunk.pitch; d += lanes) store(z + d, load(z + d) + load(key + d));
      if (chunk.queries) denominators[t] = dotRows(chunk.queries + t * chunk.pitch, z, chunk.pitch);
    }
  }
}
