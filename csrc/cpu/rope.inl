// Rotary position embedding (Su et al. 2021). Angles are positions times frequencies in float64, reduced exactly, so
// that position 1,000,000 is as right as position 1. One table of sines and cosines per position serves all heads.

struct RotaryTable {  // of one position, times attentionScale
  float* cosines;
  float* sines;  // interleaved: both doubled, with the sign of each place
};

// [numFrequencies] values, or for interleaved pairs [2 numFrequencies]: c c and −s s
void fillTable(const RotaryTable& table, const RopeArgs& args, int64_t position) {
  const double quarters = (double(position) * args.positionStep + args.positionOffset) * 0.63661977236758134308;  // 2/π
  for (int64_t i = 0; i < args.numFrequencies; i += lanes) {
    const int count = int(min(lanes, args.numFrequencies - i));
    alignas(64) double some[lanes] = {};
    __builtin_memcpy(some, args.frequencies64 + i, count * sizeof(double));
    Vec sine, cosine;
    sinCos(*reinterpret_cast<const UnalignedVecDouble*>(some) * quarters, sine, cosine);
    sine *= args.attentionScale;
    cosine *= args.attentionScale;
    for (int j = 0; j < count; ++j) {
      if (args.interleaved) {
        table.cosines[2 * (i + j)] = table.cosines[2 * (i + j) + 1] = cosine[j];
        table.sines[2 * (i + j)] = -sine[j];
        table.sines[2 * (i + j) + 1] = sine[j];
      } else {
        table.cosines[i + j] = cosine[j];
        table.sines[i + j] = sine[j];
      }
    }
  }
}

template <class T>
LONGSPAN_INLINE void rotateHalf(const T* x, T* out, const RotaryTable& table, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Vec a = load(x + i), b = load(x + n + i), c = load(table.cosines + i), s = load(table.sines + i);
    store(out + i, a * c - b * s);
    store(out + n + i, b * c + a * s);
  }
  for (; i < n; ++i) {
    float a = toFloat(x[i]), b = toFloat(x[n + i]), c = table.cosines[i], s = table.sines[i];
    out[i] = fromFloat<T>(a * c - b * s);
    out[n + i] = fromFloat<T>(b * c + a * s);
  }
}

LONGSPAN_INLINE Vec swapPairs(Vec x) {
  VecInt order;
  for (int i = 0; i < lanes; ++i) order[i] = i ^ 1;
  return __builtin_shuffle(x, order);
}

template <class T>
LONGSPAN_INLINE void rotateInterleaved(const T* x, T* out, const RotaryTable& table, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= 2 * n; i += lanes) {
    Vec a = load(x + i);
    store(out + i, a * load(table.cosines + i) + swapPairs(a) * load(table.sines + i));
  }
  for (; i < 2 * n; i += 2) {
    float a = toFloat(x[i]), b = toFloat(x[i + 1]);
    out[i] = fromFloat<T>(a * table.cosines[i] + b * table.sines[i]);
    out[i + 1] = fromFloat<T>(b * table.cosines[i + 1] + a * table.sines[i + 1]);
  }
}

// any stride of the last axis
template <class T>
void rotateStrided(const T* x, int64_t strideX, T* out, int64_t strideOut, const RotaryTable& table,
                   const RopeArgs& args) {
  const int64_t n = args.numFrequencies, step = args.interleaved ? 2 : 1, apart = args.interleaved ? 1 : n;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t first = i * step, second = first + apart;
    float a = toFloat(x[first * strideX]), b = toFloat(x[second * strideX]);
    float c = table.cosines[i * step], s = table.sines[i * step + (step - 1)];
    out[first * strideOut] = fromFloat<T>(a * c - b * s);
    out[second * strideOut] = fromFloat<T>(b * c + a * s);
  }
}

template <class T>
void ropePosition(const RopeArgs& args, int64_t batch, int64_t row, const RotaryTable& table) {
  const TensorView &x = args.x, &out = args.out;
  const int64_t rotary = 2 * args.numFrequencies, headDim = x.shape[3];
  const T* from = x.as<const T>() + batch * x.strides[0] + row * x.strides[1];
  T* to = out.as<T>() + batch * out.strides[0] + row * out.strides[1];
  const bool dense = x.strides[3] == 1 && out.strides[3] == 1;
  for (int64_t head = 0; head < x.shape[2]; ++head, from += x.strides[2], to += out.strides[2]) {
    if (!dense)
      rotateStrided(from, x.strides[3], to, out.strides[3], table, args);
    else if (args.interleaved)
      rotateInterleaved(from, to, table, args.numFrequencies);
    else
      rotateHalf(from, to, table, args.numFrequencies);
    if (rotary < headDim && from != to) {
      convertRow<T, T>(from + rotary * x.strides[3], x.strides[3], to + rotary * out.strides[3], out.strides[3],
                       headDim - rotary);
    }
  }
}

void rope(const RopeArgs& args, Parallel& parallel) {
  const TensorView &x = args.x, &positions = args.positions;
  const int64_t seqLen = x.shape[1], padded = ceilDiv(2 * args.numFrequencies, 16) * 16;
  if (x.shape[2] == 0 || x.shape[3] == 0) return;
  parallel.reserveScratch(parallel, size_t(2 * padded) * sizeof(float), 0);
  auto ropeOne = x.dtype == DType::Float32   ? ropePosition<float>
                 : x.dtype == DType::Float16 ? ropePosition<Float16>
                                             : ropePosition<BFloat16>;
  const int64_t perItem = max(int64_t(1), elementsPerItem / (x.shape[2] * x.shape[3]));
  parallelGroups(parallel, x.shape[0] * seqLen, perItem, [&](int64_t place, int thread) {
    const int64_t batch = place / seqLen, row = place % seqLen;
    float* scratch = reinterpret_cast<float*>(parallel.threadScratch(parallel, thread));
    const RotaryTable table = {scratch, scratch + padded};
    const int64_t at =
        positions.rank == 2 ? batch * positions.strides[0] + row * positions.strides[1] : row * positions.strides[0];
    fillTable(table, args, positions.as<const int32_t>()[at]);
    ropeOne(args, batch, row, table);
  });
}
