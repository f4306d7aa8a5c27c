// matmul: out = activation(x w^T + bias) + residual on weights packed by pack.inl, for one row (decode: bound by the
// reading of the weights, one ascending stream a thread) and for many (prefill: bound by arithmetic).
// A work item is a block of rows times some panels; for each panel, k is cut so that the cut of the panel stays in L2
// while all rows of the block pass. Items depend on the shapes only, and no sum is split between items.

struct MatmulPlan {
  int64_t rows, columns, depth;     // m, n, k
  int64_t rowsPerBlock, rowBlocks;  // blocks of an item
  int64_t panels, panelsPerItem;
  int64_t rowsPerCall;  // of multiplyRows, <= blockRows
  int64_t depthPerCut;  // even
  int64_t xStride;      // of widened rows: off a power of two, so that they fall into different L1 sets
  int64_t items;
  size_t scratchBytes;  // [rowsPerBlock][panelWidth] sums, then [rowsPerCall][xStride] widened x
};

MatmulPlan planMatmul(const MatmulArgs& args, int64_t depthPerCut, bool widenX) {
  constexpr int64_t maxRowsPerBlock = 192, maxPanelsPerItem = 8, wantedItems = 64, minProductsPerItem = 1 << 16;
  MatmulPlan plan{.rows = args.x.shape[0], .columns = args.weight.outFeatures, .depth = args.weight.inFeatures};
  plan.rowsPerCall = max(int64_t(1), ceilDiv(plan.rows, max(int64_t(1), ceilDiv(plan.rows, blockRows))));
  plan.rowBlocks = ceilDiv(plan.rows, maxRowsPerBlock);
  plan.rowsPerBlock = ceilDiv(ceilDiv(plan.rows, max(int64_t(1), plan.rowBlocks)), plan.rowsPerCall) * plan.rowsPerCall;
  plan.rowBlocks = plan.rows ? ceilDiv(plan.rows, plan.rowsPerBlock) : 0;
  plan.panels = ceilDiv(plan.columns, panelWidth);
  const int64_t productsPerPanel = max(int64_t(1), plan.rowsPerBlock * panelWidth * plan.depth);
  plan.panelsPerItem = max(min(maxPanelsPerItem, plan.rowBlocks * plan.panels / wantedItems),
                           ceilDiv(minProductsPerItem, productsPerPanel));
  plan.items = plan.rowBlocks * ceilDiv(plan.panels, plan.panelsPerItem);
  // A few rows are bound by reading the panel: it must be read from memory once, so a cut stays in L1.
  const bool readsPanelAgain = plan.rows > plan.rowsPerCall || (plan.rows > 1 && blockVecs * lanes < panelWidth);
  plan.depthPerCut = readsPanelAgain && plan.rows <= 2 * blockRows ? 64 : depthPerCut;
  plan.xStride = plan.depthPerCut + 16;
  plan.scratchBytes = plan.rowsPerBlock * panelWidth * sizeof(float);
  if (widenX) plan.scratchBytes += plan.rowsPerCall * plan.xStride * sizeof(float);
  return plan;
}

template <Activation kind>
LONGSPAN_INLINE void activateSums(float* sums) {
  for (int64_t j = 0; j < panelWidth; j += lanes) store(sums + j, activate<kind>(load(sums + j)));
}

template <class T>
LONGSPAN_INLINE void addRow(float* sums, const T* row, int64_t count) {
  for (int64_t j = 0; j < count; j += lanes) store(sums + j, load(sums + j) + loadUpTo(row + j, count - j));
}

template <class T>
LONGSPAN_INLINE void storeRow(const float* sums, T* row, int64_t count) {
  for (int64_t j = 0; j < count; j += lanes) storeUpTo(row + j, load(sums + j), count - j);
}

// One row of a panel's sums becomes output: `count` columns from `column` on.
void finishRow(const MatmulArgs& args, float* sums, int64_t row, int64_t column, int64_t count) {
  if (args.bias) addRow(sums, args.bias.as<float>() + column, count);
  switch (args.activation) {
    case Activation::None:
      break;
    case Activation::Silu:
      activateSums<Activation::Silu>(sums);
      break;
    case Activation::Gelu:
      activateSums<Activation::Gelu>(sums);
      break;
    case Activation::GeluTanh:
      activateSums<Activation::GeluTanh>(sums);
      break;
    case Activation::Relu:
      activateSums<Activation::Relu>(sums);
      break;
  }
  if (args.residual) {
    const int64_t offset = row * args.residual.strides[0] + column;
    if (args.residual.dtype == DType::Float32) {
      addRow(sums, args.residual.as<float>() + offset, count);
    } else {
      addRow(sums, args.residual.as<BFloat16>() + offset, count);
    }
  }
  const int64_t offset = row * args.out.strides[0] + column;
  if (args.out.dtype == DType::Float32) {
    storeRow(sums, args.out.as<float>() + offset, count);
  } else {
    storeRow(sums, args.out.as<BFloat16>() + offset, count);
  }
}

// `rows` rows of x from value k on, where they lie or widened to float32 in `widened`
struct XRows {
  const void* data;
  int64_t stride;
};
template <class X>
XRows rowsOfX(const MatmulArgs& args, const MatmulPlan& plan, int64_t row, int64_t rows, int64_t k, int64_t depth,
              float* widened) {
  const int64_t stride = args.x.strides[0];
  if constexpr (isSame<X, float>) {
    if (args.x.dtype == DType::BFloat16) {
      for (int64_t i = 0; i < rows; ++i) {
        const BFloat16* source = args.x.as<BFloat16>() + (row + i) * stride + k;
        float* target = widened + i * plan.xStride;
        for (int64_t j = 0; j < depth; j += lanes) store(target + j, loadUpTo(source + j, depth - j));
      }
      return {widened, plan.xStride};
    }
  }
  return {args.x.as<X>() + row * stride + k, stride};
}

template <class Panel>
void multiplyItem(const MatmulArgs& args, const MatmulPlan& plan, int64_t item, float* scratch,
                  const Parallel& parallel) {
  using X = typename Panel::X;
  const int64_t firstRow = item % plan.rowBlocks * plan.rowsPerBlock;
  const int64_t rows = min(plan.rowsPerBlock, plan.rows - firstRow);
  const int64_t firstPanel = item / plan.rowBlocks * plan.panelsPerItem;
  const int64_t lastPanel = min(plan.panels, firstPanel + plan.panelsPerItem);
  const int64_t panelBytes = panelWidth * Panel::unitBytes * ceilDiv(plan.depth, Panel::depth);
  float* widened = scratch + plan.rowsPerBlock * panelWidth;
  for (int64_t panel = firstPanel; panel < lastPanel; ++panel) {
    const char* weights = (const char*)args.weight.data + panel * panelBytes;
    int64_t k = 0;
    do {
      if (parallel.cancelled()) return;
      const int64_t depth = min(plan.depthPerCut, plan.depth - k);
      const bool last = k + depth == plan.depth;
      for (int64_t row = 0; row < rows; row += plan.rowsPerCall) {
        const int64_t count = min(plan.rowsPerCall, rows - row);
        float* sums = scratch + row * panelWidth;
        const XRows x = rowsOfX<X>(args, plan, firstRow + row, count, k, depth, widened);
        multiplyRows<Panel>(count, (const X*)x.data, x.stride, weights, depth, sums, k == 0);
        const int64_t column = panel * panelWidth, columns = min(panelWidth, plan.columns - column);
        for (int64_t i = 0; last && i < count; ++i) {
          finishRow(args, sums + i * panelWidth, firstRow + row + i, column, columns);
        }
      }
      weights += depth / Panel::depth * panelWidth * Panel::unitBytes;
      k += depth;
    } while (k < plan.depth);
  }
}

template <class Panel>
void matmulWith(const MatmulArgs& args, Parallel& parallel) {
  constexpr bool widens = isSame<typename Panel::X, float>;
  // Cuts of 256 KiB of a panel leave room in an L2 of 1 MiB; longer ones load and store fewer sums.
  const MatmulPlan plan = planMatmul(args, widens ? 1024 : 2048, widens && args.x.dtype == DType::BFloat16);
  parallel.reserveScratch(parallel, plan.scratchBytes, 0);
  parallelFor(parallel, plan.items, [&](int64_t item, int thread) {
    multiplyItem<Panel>(args, plan, item, (float*)parallel.threadScratch(parallel, thread), parallel);
  });
}

void matmul(const MatmulArgs& args, Parallel& parallel) {
  switch (args.weight.dtype) {
    case DType::Float32:
      return matmulWith<Float32Panel>(args, parallel);
    case DType::Float16:
      return matmulWith<Float16Panel>(args, parallel);
    default:
      break;
  }
#ifdef __AVX512BF16__
  if (args.x.dtype == DType::BFloat16) return matmulWith<BFloat16Pairs>(args, parallel);
#endif
  matmulWith<BFloat16Panel>(args, parallel);
}
