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

// A kind of panel: how one step of k is multiplied. multiply() takes `steps` whole steps' worth of one column block.
struct Float32Panel {
  using X = float;
  static constexpr int64_t depth = 1, unitBytes = 4;  // values of k a step; bytes of one column's step
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    Vec w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = load((const float*)panel + j * lanes);
    addProducts(sums, w, x, xStride);
  }
  template <int rows, int vecs>
  LONGSPAN_INLINE static void addProducts(Vec (&sums)[rows][vecs], const Vec (&w)[vecs], const X* x, int64_t xStride) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vec value = broadcast(x[i * xStride]);
#pragma GCC unroll 16
      for (int j = 0; j < vecs; ++j) sums[i][j] += value * w[j];
    }
  }
};

struct Float16Panel {  // widened in registers
  using X = float;
  static constexpr int64_t depth = 1, unitBytes = 2;
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    Vec w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = load((const Float16*)panel + j * lanes);
    Float32Panel::addProducts(sums, w, x, xStride);
  }
};

struct BFloat16Panel {  // widened in registers: the low half of a unit is the even k
  using X = float;
  static constexpr int64_t depth = 2, unitBytes = 4;
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    multiplyLast(sums, x, xStride, panel);
    Vec w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = asFloat(((const UnalignedVecInt*)panel)[j] & int(0xffff0000));
    Float32Panel::addProducts(sums, w, x + 1, xStride);
  }
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiplyLast(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    Vec w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = asFloat(((const UnalignedVecInt*)panel)[j] << 16);
    Float32Panel::addProducts(sums, w, x, xStride);
  }
};

#ifdef __AVX512BF16__
struct BFloat16Pairs {  // bfloat16 x, both sides in pairs
  using X = BFloat16;
  typedef int32_t Pair __attribute__((aligned(2), may_alias));
  static constexpr int64_t depth = 2, unitBytes = 4;
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiply(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    addProducts(
        sums, panel, [&](int i) __attribute__((always_inline)) { return *(const Pair*)(x + i * xStride); });
  }
  template <int rows, int vecs>
  LONGSPAN_INLINE static void multiplyLast(Vec (&sums)[rows][vecs], const X* x, int64_t xStride, const char* panel) {
    addProducts(
        sums, panel, [&](int i) __attribute__((always_inline)) { return int32_t(x[i * xStride].bits); });
  }
  template <int rows, int vecs, class PairOfRow>
  LONGSPAN_INLINE static void addProducts(Vec (&sums)[rows][vecs], const char* panel, const PairOfRow& pairOfRow) {
    VecInt w[vecs];
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) w[j] = ((const UnalignedVecInt*)panel)[j];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const VecInt pair = broadcast(pairOfRow(i));
#pragma GCC unroll 16
      for (int j = 0; j < vecs; ++j) sums[i][j] = dotPairs(sums[i][j], pair, w[j]);
    }
  }
};
#endif

// sums[rows][panelWidth] (+)= x[rows, k] times `vecs` vectors of a panel, which starts at their first column
template <class Panel, int rows, int vecs>
void multiplyBlock(const typename Panel::X* x, int64_t xStride, const char* panel, int64_t k, float* sums, bool first) {
  constexpr int64_t stepBytes = panelWidth * Panel::unitBytes;
  Vec registers[rows][vecs];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) registers[i][j] = first ? Vec{} : load(sums + i * panelWidth + j * lanes);
  }
  const int64_t steps = k / Panel::depth;
#pragma GCC unroll 2
  for (int64_t step = 0; step < steps; ++step) {
    Panel::multiply(registers, x, xStride, panel);
    x += Panel::depth;
    panel += stepBytes;
  }
  if constexpr (Panel::depth == 2) {
    if (k % 2) Panel::multiplyLast(registers, x, xStride, panel);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vecs; ++j) store(sums + i * panelWidth + j * lanes, registers[i][j]);
  }
}

// sums[count][panelWidth] (+)= x[count, k] times a whole panel, 1 <= count <= blockRows
template <class Panel, int rows = blockRows>
void multiplyRows(int64_t count, const typename Panel::X* x, int64_t xStride, const char* panel, int64_t k, float* sums,
                  bool first) {
  if constexpr (rows > 1) {
    if (count < rows) return multiplyRows<Panel, rows - 1>(count, x, xStride, panel, k, sums, first);
  }
  constexpr int vecs = rows == 1 ? streamVecs : blockVecs;
  for (int64_t column = 0; column < panelWidth; column += vecs * lanes) {
    multiplyBlock<Panel, rows, vecs>(x, xStride, panel + column * Panel::unitBytes, k, sums + column, first);
  }
}
