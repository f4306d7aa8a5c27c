// matmul: out = activation(x w^T + bias) + residual on weights packed by pack.inl, for one row (decode: bound by the
// reading of the weights, one ascending stream a thread) and for many (prefill: bound by arithmetic).
// A work item is a block of rows times some panels; for each panel, k is cut so that the cut of the panel stays in L2
// while all rows of the block pass; where a block of registers is narrower than a panel, that cut is first widened and
// split into columns of the block's width. Items depend on the shapes only, and no sum is split between items.

struct MatmulPlan {
  int64_t rows, columns, depth;  // m, n, k
  int64_t rowsPerCall;           // of multiplyRows, <= blockRows
  int64_t rowsPerBlock, rowBlocks;
  int64_t panels, panelsPerItem;
  int64_t panelsPerPass;  // over k: 1 for a few rows, so that weights are read in order; else x stays in L2
  int64_t items;
  int64_t depthPerCut;                   // even
  int64_t xStride;                       // of widened x: no power of two, so that rows fall into different sets of L1
  bool staged;                           // cuts of panels are widened and split: StagedPanel; then x is float32
  bool readsAgain;                       // a few rows read a cut of a panel more than once: Ahead
  size_t sumsBytes, xBytes, panelBytes;  // scratch: [panelsPerPass][rowsPerBlock][panelWidth], [rowsPerBlock][xStride],
                                         // a staged cut
};

template <class Panel>
constexpr bool inBlocks = Panel::depth == quantisedBlock;

template <class Panel>
MatmulPlan planMatmul(const MatmulArgs& args, int64_t depthPerCut, bool widenX) {
  constexpr int64_t maxRowsPerBlock = 96, maxPanelsPerItem = 8, wantedItems = 64, minProductsPerItem = 1 << 16;
  constexpr int64_t stagedDepth = 320;  // a part of a cut, 16 columns wide, stays in L1
  constexpr int64_t one = 1;
  MatmulPlan plan{.rows = args.x.shape[0], .columns = args.weight.outFeatures, .depth = args.weight.inFeatures};
  const bool fewRows = plan.rows <= 2 * blockRows, splits = StagedPanel::width < panelWidth;
  plan.staged =
      inBlocks<Panel> ? plan.rows > 1 || streamVecs * lanes < panelWidth : splits && plan.rows >= 4 * blockRows;
  // up to 4 rows: one after the other, so that a panel is read in order where blocks are narrower
  plan.rowsPerCall =
      splits && plan.rows <= 4 ? 1 : max(one, ceilDiv(plan.rows, max(one, ceilDiv(plan.rows, blockRows))));
  const int64_t blocks = max(one, ceilDiv(plan.rows, plan.staged ? 2 * maxRowsPerBlock : maxRowsPerBlock));
  plan.rowsPerBlock = max(one, ceilDiv(ceilDiv(plan.rows, blocks), plan.rowsPerCall)) * plan.rowsPerCall;
  plan.rowBlocks = ceilDiv(plan.rows, plan.rowsPerBlock);
  plan.panels = ceilDiv(plan.columns, panelWidth);
  plan.panelsPerItem = max(min(maxPanelsPerItem, plan.rowBlocks * plan.panels / wantedItems),
                           ceilDiv(minProductsPerItem, max(one, plan.rowsPerBlock * panelWidth * plan.depth)));
  plan.panelsPerPass = fewRows ? 1 : plan.panelsPerItem;
  plan.items = plan.rowBlocks * ceilDiv(plan.panels, plan.panelsPerItem);
  plan.readsAgain = !plan.staged && fewRows && (plan.rows > plan.rowsPerCall || (plan.rows > 1 && splits));
  plan.depthPerCut = plan.readsAgain ? fewRowsDepth : plan.staged ? stagedDepth : depthPerCut;
  plan.xStride = plan.depthPerCut + 16;
  plan.sumsBytes = plan.panelsPerPass * plan.rowsPerBlock * panelWidth * sizeof(float);
  plan.xBytes = widenX ? plan.rowsPerBlock * plan.xStride * sizeof(float) : 0;
  plan.panelBytes = plan.staged ? plan.depthPerCut * panelWidth * sizeof(float) : 0;
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

// Asks for the lines of out that a block will be stored to, so that the stores find them: 3-5 % at k = 896.
LONGSPAN_INLINE void prefetchOut(const MatmulArgs& args, int64_t row, int64_t rows, int64_t column, int64_t count) {
  const int64_t unit = bytesOf(args.out.dtype), stride = args.out.strides[0] * unit;
  const char* first = args.out.as<const char>() + row * stride + column * unit;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t byte = 0; byte < count * unit; byte += 64) __builtin_prefetch(first + i * stride + byte, 1);
  }
}

// `rows` rows of x from value k on, where they lie or widened to float32 in `widened`
template <class X>
struct XRows {
  const X* data;
  int64_t stride;
};
template <class X>
XRows<X> rowsOfX(const MatmulArgs& args, const MatmulPlan& plan, int64_t row, int64_t rows, int64_t k, int64_t depth,
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

struct MatmulScratch {
  float *sums, *x, *panel;
};

// A cut of one panel times a block of rows
template <class Product>
void multiplyCut(const MatmulArgs& args, const MatmulPlan& plan, const XRows<typename Product::X>& x, int64_t firstRow,
                 int64_t rows, int64_t panel, int64_t k, int64_t depth, float* sums, float* staged) {
  using Panel = typename Product::Panel;
  const int64_t column = panel * panelWidth, columns = min(panelWidth, plan.columns - column);
  const bool last = k + depth == plan.depth;
  const char* weights = (const char*)args.weight.data + column * Panel::unitBytes * ceilDiv(plan.depth, Panel::depth) +
                        k / Panel::depth * panelWidth * Panel::unitBytes;
  if (plan.staged) stagePanel<Panel>(weights, depth, staged);
  const int64_t width = plan.staged ? StagedPanel::width : panelWidth;
  for (int64_t part = 0; part < panelWidth; part += width) {
    const bool lastPart = last && part + width == panelWidth;
    for (int64_t row = 0; row < rows; row += plan.rowsPerCall) {
      const int64_t count = min(plan.rowsPerCall, rows - row);
      if (lastPart) prefetchOut(args, firstRow + row, count, column, columns);
      float* rowSums = sums + row * panelWidth;
      const auto* rowsOfBlock = x.data + row * x.stride;
      if (plan.staged) {  // then x is float32
        multiplyRows<Widened<StagedPanel>>(count, (const float*)rowsOfBlock, x.stride,
                                           (const char*)(staged + part * depth), depth, rowSums + part, k == 0);
      } else if constexpr (inBlocks<Panel>) {
        multiplyBlock<Product, 1, streamVecs>(rowsOfBlock, x.stride, weights, depth, rowSums, k == 0);
      } else if (plan.readsAgain) {
        multiplyRows<Ahead<Product>>(count, rowsOfBlock, x.stride, weights, depth, rowSums, k == 0);
      } else {
        multiplyRows<Product>(count, rowsOfBlock, x.stride, weights, depth, rowSums, k == 0);
      }
      for (int64_t i = 0; lastPart && i < count; ++i) {
        finishRow(args, rowSums + i * panelWidth, firstRow + row + i, column, columns);
      }
    }
  }
}

// Some panels times a block of rows, cut by cut of k
template <class Product>
void multiplyPanels(const MatmulArgs& args, const MatmulPlan& plan, int64_t firstRow, int64_t rows, int64_t firstPanel,
                    int64_t panels, const MatmulScratch& scratch, const Parallel& parallel) {
  int64_t k = 0;
  do {
    const int64_t depth = min(plan.depthPerCut, plan.depth - k);
    const auto x = rowsOfX<typename Product::X>(args, plan, firstRow, rows, k, depth, scratch.x);
    for (int64_t panel = 0; panel < panels && !parallel.cancelled(); ++panel) {
      float* sums = scratch.sums + panel * plan.rowsPerBlock * panelWidth;
      multiplyCut<Product>(args, plan, x, firstRow, rows, firstPanel + panel, k, depth, sums, scratch.panel);
    }
    k += depth;
  } while (k < plan.depth);
}

template <class Product>
void matmulWith(const MatmulArgs& args, Parallel& parallel) {
  constexpr bool widens = isSame<typename Product::X, float>;
  // Cuts of 256 KiB of a panel leave room in an L2 of 1 MiB; longer ones load and store fewer sums.
  const MatmulPlan plan =
      planMatmul<typename Product::Panel>(args, widens ? 1024 : 2048, widens && args.x.dtype == DType::BFloat16);
  parallel.reserveScratch(parallel, plan.sumsBytes + plan.xBytes + plan.panelBytes, 0);
  parallelFor(parallel, plan.items, [&](int64_t item, int thread) {
    char* memory = (char*)parallel.threadScratch(parallel, thread);
    const MatmulScratch scratch{(float*)memory, (float*)(memory + plan.sumsBytes),
                                (float*)(memory + plan.sumsBytes + plan.xBytes)};
    const int64_t firstRow = item % plan.rowBlocks * plan.rowsPerBlock;
    const int64_t rows = min(plan.rowsPerBlock, plan.rows - firstRow);
    const int64_t firstPanel = item / plan.rowBlocks * plan.panelsPerItem;
    const int64_t end = min(plan.panels, firstPanel + plan.panelsPerItem);
    for (int64_t panel = firstPanel; panel < end; panel += plan.panelsPerPass) {
      multiplyPanels<Product>(args, plan, firstRow, rows, panel, min(plan.panelsPerPass, end - panel), scratch,
                              parallel);
    }
  });
}

void matmul(const MatmulArgs& args, Parallel& parallel) {
  if (forQuantised(args.weight.dtype,
                   [&](auto format) { matmulWith<Widened<QuantisedPanel<decltype(format)>>>(args, parallel); })) {
    return;
  }
  switch (args.weight.dtype) {
    case DType::Float32:
      return matmulWith<Widened<Float32Panel>>(args, parallel);
    case DType::Float16:
      return matmulWith<Widened<Float16Panel>>(args, parallel);
    default:
      break;
  }
#ifdef __AVX512BF16__
  if (args.x.dtype == DType::BFloat16) return matmulWith<PairProducts>(args, parallel);
#endif
  matmulWith<Widened<BFloat16Panel>>(args, parallel);
}
