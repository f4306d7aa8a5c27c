// matmul: out = activation(x w^T + bias) + residual on weights packed by pack.cu. A few rows: gemv.cuh; more: gemm.cuh,
// whose tiles are smaller where there are too few of them for the device.
#include "gemm.cuh"
#include "gemv_quantised.cuh"

namespace longspan::cuda {
namespace {

// Whether `width` values lie aligned at every multiple of them in each row
bool hasAligned(const void* data, DType dtype, int64_t rows, int64_t stride, int width) {
  return isAligned(data, dtype, width) && (rows <= 1 || stride % width == 0);
}

Epilogue describe(const MatmulArgs& args) {
  const int64_t rows = args.out.shape[0], columns = args.weight.outFeatures;
  const TensorView &residual = args.residual, &out = args.out;
  const bool vectors =
      hasAligned(out.data, out.dtype, rows, out.strides[0], epilogueWidth) &&
      (!args.bias || isAligned(args.bias.data, DType::Float32, epilogueWidth)) &&
      (!residual || hasAligned(residual.data, residual.dtype, rows, residual.strides[0], epilogueWidth));
  return {args.bias.as<const float>(),
          residual.data,
          out.data,
          rows,
          columns,
          residual ? residual.strides[0] : 0,
          out.strides[0],
          residual.dtype,
          out.dtype,
          args.activation,
          vectors};
}

// f(a value of x's type, a value or the format of the weight's)
template <class F>
void forTypes(const MatmulArgs& args, const F& f) {
  auto withX = [&](auto w) {
    if (args.x.dtype == DType::BFloat16) return f(__nv_bfloat16{}, w);
    if (args.x.dtype == DType::Float32) return f(float{}, w);
    keepError("matmul: expected x of float32 or bfloat16");
  };
  if (forQuantised(args.weight.dtype, withX)) return;
  forFloat("matmul: expected a weight of a float or a quantised dtype", args.weight.dtype, withX);
}

template <int n>
struct Rows {
  static constexpr int count = n;
};
// f(Rows) with their number rounded up to a power of 2
template <class F>
void forFewRows(int64_t rows, const F& f) {
  if (rows <= 1) return f(Rows<1>{});
  if (rows <= 2) return f(Rows<2>{});
  if (rows <= 4) return f(Rows<4>{});
  f(Rows<8>{});
}

void runGemv(const MatmulArgs& args) {
  const PackedWeight& weight = args.weight;
  GemvLaunch description{args.x.data,
                         weight.data,
                         args.x.dtype,
                         weight.dtype,
                         weight.inFeatures,
                         args.x.strides[0],
                         packedDepth(weight.inFeatures, weight.dtype),
                         1,
                         describe(args)};
  const int64_t rows = args.x.shape[0], columns = weight.outFeatures, depth = weight.inFeatures;
  const int block = info(weight.dtype).blockSize, width = block > 1 ? 4 : 16 / sizeOf(weight.dtype);
  const bool vectors =
      depth % std::max(block, width) == 0 && hasAligned(args.x.data, args.x.dtype, rows, args.x.strides[0], width);
  forFewRows(rows, [&](auto count) {
    constexpr int rowCount = decltype(count)::count, features = featuresPerWarp(rowCount);
    const int perWarp = vectors ? features : 1;
    if (ceilDiv(columns, perWarp) < 16 * int64_t(numProcessors())) description.warpsPerRow = gemvWarps;
    const int64_t blocks = ceilDiv(columns, int64_t(perWarp) * (gemvWarps / description.warpsPerRow));
    if (blocks > 0x7fffffff) return keepError("matmul: more than 2^31 - 1 blocks of features");
    const dim3 grid(unsigned(blocks), unsigned(ceilDiv(rows, rowCount)));
    if (!vectors) {
      launch("matmul", gemvOfAny<rowCount>, grid, gemvThreads, 0, description);
      return;
    }
    forTypes(args, [&](auto x, auto w) {
      using X = decltype(x);
      using W = decltype(w);
      if constexpr (isQuantised<W>) {
        launch("matmul", gemvQuantised<X, W, rowCount, features>, grid, gemvThreads, 0, description);
      } else {
        launch("matmul", gemv<X, W, rowCount, features>, grid, gemvThreads, 0, description);
      }
    });
  });
}

GemmLaunch describeGemm(const MatmulArgs& args, int width) {
  const PackedWeight& weight = args.weight;
  const int64_t rows = args.x.shape[0], depth = weight.inFeatures;
  return {args.x.data,
          weight.data,
          depth,
          args.x.strides[0],
          packedDepth(depth, weight.dtype),
          depth % width == 0 && hasAligned(args.x.data, args.x.dtype, rows, args.x.strides[0], width),
          depth % width == 0,
          0,
          0,
          describe(args)};
}

void launchTiles(void (*kernel)(GemmLaunch), GemmLaunch& description, int rows, int columns, int threads,
                 size_t sharedBytes) {
  description.tileRows = ceilDiv(description.epilogue.rows, rows);
  description.tileColumns = ceilDiv(description.epilogue.columns, columns);
  const int64_t tiles = description.tileRows * description.tileColumns;
  if (tiles > 0x7fffffff) return keepError("matmul: more than 2^31 - 1 tiles");
  launch("matmul", kernel, unsigned(tiles), threads, sharedBytes, description);
}

template <class W, class Tile, bool vectors>
void launchTensorTiles(GemmLaunch& description) {
  launchTiles(tensorGemm<Tile, vectors, W>, description, Tile::rows, Tile::columns, Tile::threads, Tile::sharedBytes);
}

// Whether tiles of 128 × 128 give every processor work
bool fillsDevice(int64_t rows, int64_t columns) {
  return rows > 64 && ceilDiv(rows, 128) * ceilDiv(columns, 128) >= numProcessors();
}

template <class W>
void runTensorGemm(const MatmulArgs& args) {
  using Large = TensorTile<128, 128, 32, 4, 2, 4>;
  using Small = TensorTile<64, 64, 64, 4, 2, 2>;
  // bound by the reading of the weights: 7 of its stages, 56 KiB of them, are under way in each block
  using Thin = TensorTile<16, 64, 64, 8, 1, 4>;
  GemmLaunch description = describeGemm(args, 8);
  const int64_t rows = args.x.shape[0];
  if (!description.xVectors || !description.weightVectors) return launchTensorTiles<W, Small, false>(description);
  if (rows <= 32) return launchTensorTiles<W, Thin, true>(description);
  if (fillsDevice(rows, args.weight.outFeatures)) return launchTensorTiles<W, Large, true>(description);
  launchTensorTiles<W, Small, true>(description);
}

template <class W>
constexpr bool isForTensorCores = isQuantised<W>;
template <>
constexpr bool isForTensorCores<__nv_bfloat16> = true;

void runGemm(const MatmulArgs& args) {
  GemmLaunch description = describeGemm(args, 4);
  const bool isLarge = fillsDevice(args.x.shape[0], args.weight.outFeatures);
  forTypes(args, [&](auto x, auto w) {
    using X = decltype(x);
    using W = decltype(w);
    if constexpr (std::is_same_v<X, __nv_bfloat16> && isForTensorCores<W>) {
      runTensorGemm<W>(args);
    } else {
      if (isLarge)
        launchTiles(floatGemm<X, W, 2>, description, 128, 128, 256, FloatTile<2>::sharedBytes);
      else
        launchTiles(floatGemm<X, W, 1>, description, 64, 64, 256, FloatTile<1>::sharedBytes);
    }
  });
}

}  // namespace

void matmul(const MatmulArgs& args, Parallel&) {
  const int64_t rows = args.x.shape[0];
  if (rows == 0 || args.weight.outFeatures == 0) return;
  const DType w = args.weight.dtype;
  const bool onTensorCores =
      args.x.dtype == DType::BFloat16 && (w == DType::BFloat16 || info(w).blockSize == quantisedBlock);
  // Tiles of float32 have 64 rows: for fewer, reading the weight again for every 8 is cheaper than sums nobody wants.
  if (rows <= (onTensorCores ? 8 : 32)) return runGemv(args);
  runGemm(args);
}

}  // namespace longspan::cuda
