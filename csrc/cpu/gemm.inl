// The inner blocks of matmul (Goto and van de Geijn 2008): some rows of x times a few vectors of one panel, all sums
// in registers. x is read where it lies, its values broadcast; the panel is read once for each block of rows.
// A sum runs over k in ascending order in one accumulator, whatever the number of rows, so a row's result does not
// depend on the rows beside it: a cached decode step equals the full forward.

// Rows and vectors of a block: as many sums as the registers hold beside the operands. `streamVecs`: for one row.
#if LONGSPAN_LANES == 8
constexpr int blockRows = 6, blockVecs = 2, streamVecs = 8;
#elif LONGSPAN_LANES == 16 || defined(__aarch64__)
constexpr int blockRows = 6, blockVecs = 4, streamVecs = panelWidth / lanes;
#else
constexpr int blockRows = 4, blockVecs = 2, streamVecs = 8;
#endif

template <int rows, int vecs>
LONGSPAN_INLINE void addProducts(Vec (&sums)[rows][vecs], const Vec (&w)[vecs], const float* x, int64_t xStride) {
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    const Vec value = broadcast(x[i * xStride]);
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) sums[i][j] += value * w[j];
  }
}

// A kind of panel: `depth` values of k lie together in a step, `unitBytes` a column. columns() are the j-th `lanes`
// columns of the i-th k of a step, as float32: 16-bit weights are widened in registers.
struct Float32Panel {
  static constexpr int64_t width = panelWidth, depth = 1, unitBytes = 4;
  LONGSPAN_INLINE static Vec columns(const char* step, int, int j) { return load((const float*)step + j * lanes); }
};
struct Float16Panel {
  static constexpr int64_t width = panelWidth, depth = 1, unitBytes = 2;
  LONGSPAN_INLINE static Vec columns(const char* step, int, int j) { return load((const Float16*)step + j * lanes); }
};
struct BFloat16Panel {
  static constexpr int64_t width = panelWidth, depth = 2, unitBytes = 4;
  LONGSPAN_INLINE static Vec columns(const char* step, int i, int j) {
    const VecInt pairs = ((const UnalignedVecInt*)step)[j];
    return asFloat(i == 0 ? pairs << 16 : pairs & int(0xffff0000));
  }
};
// Whole numbers of a step as float32; times the scale of their block, exactly. Bytes lie as they are read. Of 4 bits, a
// lookup takes the lowest of each word, or they go through the top of it, which gives them their sign.
LONGSPAN_INLINE Vec levelsOf(Q8_0, const char* words, int i, int j) {
  return __builtin_convertvector(loadBytes((const int8_t*)words + i * panelWidth + j * lanes), Vec);
}
LONGSPAN_INLINE Vec levelsOf(Q4_0, const char* words, int i, int j) {
  const VecInt word = ((const UnalignedVecInt*)(words + wordOf<Q4_0>(i) * panelWidth * 4))[j];
#if LONGSPAN_LANES == 16
  const Vec levels = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};
  return _mm512_permutexvar_ps((__m512i)(word >> bitOf<Q4_0>(i)), levels);
#else
  return __builtin_convertvector(word << (28 - bitOf<Q4_0>(i)) >> 28, Vec);
#endif
}
template <class Format>
struct QuantisedPanel {
  static constexpr int64_t width = panelWidth, depth = quantisedBlock, unitBytes = 2 + Format::bits * 4;
  LONGSPAN_INLINE static Vec scales(const char* step, int j) { return load((const Float16*)step + j * lanes); }
  LONGSPAN_INLINE static Vec levels(const char* step, int i, int j) {
    return levelsOf(Format{}, step + panelWidth * 2, i, j);
  }
  LONGSPAN_INLINE static Vec columns(const char* step, int i, int j) { return levels(step, i, j) * scales(step, j); }
};
// A cut of any panel, widened to float32 and split into the columns of one block: [panelWidth / width][k][width]
struct StagedPanel {
  static constexpr int64_t width = blockVecs * lanes, depth = 1, unitBytes = 4;
  LONGSPAN_INLINE static Vec columns(const char* step, int, int j) { return load((const float*)step + j * lanes); }
};

// How steps of a panel are multiplied by float32 x
template <class PanelKind>
struct Widened : PanelKind {
  using X = float;
  using Panel = PanelKind;
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* step,
                                       int count) {
#pragma GCC unroll 2
    for (int i = 0; i < count; ++i) {
      Vec w[vecs];
#pragma GCC unroll 16
      for (int j = 0; j < vecs; ++j) w[j] = Panel::columns(step, i, j);
      addProducts(sums, w, x + i, xStride);
    }
  }
};

// The same, for one row: a whole block, whose scales are read once
template <class Format>
struct Widened<QuantisedPanel<Format>> : QuantisedPanel<Format> {
  using X = float;
  using Panel = QuantisedPanel<Format>;
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* step,
                                       int count) {
    Vec scales[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) scales[j] = Panel::scales(step, j);
    auto add = [&](int i) __attribute__((always_inline)) {
      Vec w[vecs];
#pragma GCC unroll 16
      for (int j = 0; j < vecs; ++j) w[j] = Panel::levels(step, i, j) * scales[j];
      addProducts(sums, w, x + i, xStride);
    };
    if (count < Panel::depth) {
      for (int i = 0; i < count; ++i) add(i);
      return;
    }
#pragma GCC unroll 32
    for (int i = 0; i < Panel::depth; ++i) add(i);
  }
};

#ifdef __AVX512BF16__
struct PairProducts : BFloat16Panel {  // bfloat16 x, both sides in pairs
  using X = BFloat16;
  using Panel = BFloat16Panel;
  typedef int32_t Pair __attribute__((aligned(2), may_alias));
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* step,
                                       int count) {
    VecInt w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = ((const UnalignedVecInt*)step)[j];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const X* value = x + i * xStride;
      const VecInt pair = broadcast(count == 2 ? *(const Pair*)value : int32_t(value->bits));
#pragma GCC unroll 16
      for (int j = 0; j < vecs; ++j) sums[i][j] = dotPairs(sums[i][j], pair, w[j]);
    }
  }
};
#endif

// A few rows read short cuts of a panel several times, so the reading from memory, ended by each cut, would wait for
// arithmetic: they ask for the next cut while they multiply this one.
constexpr int64_t fewRowsDepth = 64;
template <class Product>
struct Ahead : Product {
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const typename Product::X* x, int64_t xStride,
                                       const char* step, int count) {
    constexpr int64_t stepBytes = Product::width * Product::unitBytes;
    const char* next = step + fewRowsDepth / Product::depth * stepBytes;
#pragma GCC unroll 16
    for (int64_t byte = 0; byte < vecs * lanes * Product::unitBytes; byte += 64) __builtin_prefetch(next + byte);
    Product::multiply(sums, x, xStride, step, count);
  }
};

// sums[rows][panelWidth] (+)= x[rows, k] times `vecs` vectors of a panel, which starts at their first column
template <class Product, int rows, int vecs>
void multiplyBlock(const typename Product::X* x, int64_t xStride, const char* panel, int64_t k, float* sums,
                   bool first) {
  constexpr int depth = int(Product::depth);
  Vec registers[rows][vecs];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) registers[i][j] = first ? Vec{} : load(sums + i * panelWidth + j * lanes);
  }
#pragma GCC unroll 2
  for (int64_t step = 0; step < k / depth; ++step) {
    Product::multiply(registers, x, xStride, panel, depth);
    x += depth;
    panel += Product::width * Product::unitBytes;
  }
  if (k % depth) Product::multiply(registers, x, xStride, panel, int(k % depth));
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) store(sums + i * panelWidth + j * lanes, registers[i][j]);
  }
}

// sums[count][panelWidth] (+)= x[count, k] times Product::width columns of a panel, 1 <= count <= blockRows
template <class Product, int rows = blockRows>
void multiplyRows(int64_t count, const typename Product::X* x, int64_t xStride, const char* panel, int64_t k,
                  float* sums, bool first) {
  if constexpr (rows > 1) {
    if (count < rows) return multiplyRows<Product, rows - 1>(count, x, xStride, panel, k, sums, first);
  }
  constexpr int vecs = rows == 1 && Product::width == panelWidth ? streamVecs : blockVecs;
  for (int64_t column = 0; column < Product::width; column += vecs * lanes) {
    multiplyBlock<Product, rows, vecs>(x, xStride, panel + column * Product::unitBytes, k, sums + column, first);
  }
}

// `k` values of a panel into the layout of StagedPanel
template <class Panel>
void stagePanel(const char* panel, int64_t k, float* staged) {
  constexpr int64_t width = StagedPanel::width;
  for (int64_t at = 0; at < k; ++at) {
    const char* step = panel + at / Panel::depth * panelWidth * Panel::unitBytes;
#pragma GCC unroll 16
    for (int j = 0; j < panelWidth / lanes; ++j) {
      float* target = staged + (j / blockVecs * k + at) * width + j % blockVecs * lanes;
      store(target, Panel::columns(step, int(at % Panel::depth), j));
    }
  }
}
