// Buckets of tokens: the nearest of some directions, ±R for random ones (Andoni et al. 2015, as Reformer uses them), or
// centroids (Roy et al. 2021).
// Tokens lie in the lanes, so that the product is the one of flash attention and the argmax is vertical.

// The largest and the smallest product so far, and their columns, of a subtile of tokens
struct Nearest {
  alignas(64) float high[subtileRows], low[subtileRows];
  alignas(64) int highAt[subtileRows], lowAt[subtileRows];
};

LONGSPAN_INLINE void clearNearest(Nearest& n) {
  __builtin_memset(n.highAt, 0, sizeof n.highAt);
  __builtin_memset(n.lowAt, 0, sizeof n.lowAt);
  for (int j = 0; j < subtileRows; j += lanes) {
    store(n.high + j, broadcast(-__builtin_inff()));
    store(n.low + j, broadcast(__builtin_inff()));
  }
}
LONGSPAN_INLINE void addProducts(const float* products, int column, Nearest& n) {
  for (int j = 0; j < subtileRows; j += lanes) {
    Vec x = load(products + j), high = load(n.high + j), low = load(n.low + j);
    UnalignedVecInt &highAt = *(UnalignedVecInt*)(n.highAt + j), &lowAt = *(UnalignedVecInt*)(n.lowAt + j);
    highAt = x > high ? broadcast(column) : highAt;
    lowAt = x < low ? broadcast(column) : lowAt;
    store(n.high + j, x > high ? x : high);
    store(n.low + j, x < low ? x : low);
  }
}

// f(column, products) with the products [subtileRows] of tokens [headDim][subtileRows] and each direction
template <class F>
LONGSPAN_INLINE void forProducts(const float* tokens, const float* directions, int headDim, int columns, const F& f) {
  alignas(64) float products[keysPerBlock * subtileRows], ignored[subtileRows] = {};
  for (int first = 0; first < columns; first += keysPerBlock) {
    scoreBlock<Float32Products, 0, subtileColumns>(directions + int64_t(first) * headDim, headDim, tokens, headDim,
                                                   products, ignored);
    for (int i = 0; i < keysPerBlock && first + i < columns; ++i) f(first + i, products + i * subtileRows);
  }
}

// bucket += argmax · weight over the directions of one factor
void addFactor(const float* tokens, const float* directions, int headDim, int columns, bool bothSigns, int weight,
               int* bucket) {
  Nearest nearest;
  clearNearest(nearest);
  forProducts(tokens, directions, headDim, columns,
              [&](int column, const float* products) { addProducts(products, column, nearest); });
  for (int r = 0; r < subtileRows; ++r) {
    bool high = !bothSigns || nearest.high[r] >= -nearest.low[r];
    bucket[r] += weight * (high ? nearest.highAt[r] : columns + nearest.lowAt[r]);
  }
}

// Rows of x [seqLen, headDim] from `first` on, transposed; beyond `count` the last one again
template <class T>
void packTokens(const T* base, const TensorView& x, int64_t first, int count, float* stage, float* out) {
  int64_t headDim = x.shape[x.rank - 1], rowStride = x.strides[x.rank == 4 ? 1 : 0], stride = x.strides[x.rank - 1];
  for (int r0 = 0; r0 < subtileRows; r0 += lanes) {
    for (int64_t d = 0; d < headDim; d += lanes) {
      Vec block[lanes];
      for (int i = 0; i < lanes; ++i) {
        const T* row = base + (first + longspan::minOf(r0 + i, count - 1)) * rowStride;
        block[i] = loadUpTo(unitStride(row, stride, int(headDim), stage) + d, headDim - d);
      }
      transpose(block);
      for (int i = 0; i < lanes && d + i < headDim; ++i) store(out + (d + i) * subtileRows + r0, block[i]);
    }
  }
}

LONGSPAN_INLINE size_t tokenScratch(int64_t headDim) { return size_t(headDim * subtileRows + 256) * 4; }

void bucketHash(const BucketHashArgs& args, Parallel& parallel) {
  const TensorView& x = args.x;
  int64_t batch = x.shape[0], seqLen = x.shape[1], numHeads = args.numHeads, headDim = x.shape[3], columns = 0;
  int signs = args.bothSigns ? 2 : 1;
  for (int i = 0; i < args.numFactors; ++i) columns += args.factors[i] / signs;
  int64_t tiles = (seqLen + subtileRows - 1) / subtileRows;
  parallel.reserveScratch(parallel, tokenScratch(headDim), 0);
  parallelGroups(parallel, batch * numHeads * tiles, 8, [&](int64_t index, int thread) {
    float* stage = (float*)parallel.threadScratch(parallel, thread);
    float* tokens = stage + 256;
    int64_t head = index / tiles % numHeads, b = index / tiles / numHeads, first = index % tiles * subtileRows;
    int64_t own = head * x.shape[2] / numHeads, directionHead = head * args.directionHeads / numHeads;
    int count = int(min(int64_t(subtileRows), seqLen - first));
    withDType<Float32Products>(x.dtype, [&]<class T>(T*) {
      packTokens(x.as<T>() + b * x.strides[0] + own * x.strides[2], x, first, count, stage, tokens);
    });
    for (int64_t round = 0; round < args.rounds && !parallel.cancelled(); ++round) {
      const float* directions = args.directions + (round * args.directionHeads + directionHead) * columns * headDim;
      int bucket[subtileRows] = {}, weight = 1;
      for (int i = 0; i < args.numFactors; ++i) {
        int own = args.factors[i] / signs;
        addFactor(tokens, directions, int(headDim), own, args.bothSigns, weight, bucket);
        directions += own * headDim;
        weight *= args.factors[i];
      }
      __builtin_memcpy(args.out + ((round * batch + b) * numHeads + head) * seqLen + first, bucket, size_t(count) * 4);
    }
  });
}

// 1 / |token|; 0 for zeros
LONGSPAN_INLINE void inverseLengths(const float* tokens, int64_t headDim, float* out) {
  for (int j = 0; j < subtileRows; j += lanes) {
    Vec squares = {};
    for (int64_t d = 0; d < headDim; ++d) {
      Vec x = load(tokens + d * subtileRows + j);
      squares += x * x;
    }
    for (int i = 0; i < lanes; ++i) out[j + i] = squares[i] > 0 ? 1 / __builtin_sqrtf(squares[i]) : 0;
  }
}

void similarity(const SimilarityArgs& args, Parallel& parallel) {
  const TensorView& x = args.x;
  int64_t seqLen = x.shape[0], headDim = x.shape[1];
  parallel.reserveScratch(parallel, tokenScratch(headDim), 0);
  parallelGroups(parallel, (seqLen + subtileRows - 1) / subtileRows, 8, [&](int64_t tile, int thread) {
    if (parallel.cancelled()) return;
    alignas(64) float factor[subtileRows], scaled[subtileRows];
    float* stage = (float*)parallel.threadScratch(parallel, thread);
    float* tokens = stage + 256;
    int64_t first = tile * subtileRows;
    int count = int(min(int64_t(subtileRows), seqLen - first));
    withDType<Float32Products>(x.dtype, [&]<class T>(T*) { packTokens(x.as<T>(), x, first, count, stage, tokens); });
    inverseLengths(tokens, headDim, factor);
    forProducts(tokens, args.directions, int(headDim), args.count, [&](int column, const float* products) {
      for (int j = 0; j < subtileRows; j += lanes) store(scaled + j, load(products + j) * load(factor + j));
      __builtin_memcpy(args.out + column * seqLen + first, scaled, size_t(count) * 4);
    });
  });
}
