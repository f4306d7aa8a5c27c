// Products: few rows, thin, small and large tiles on tensor cores and of float32, rows that are no pieces of 16 bytes.
#include <cmath>

#include "sanitize.h"

namespace longspan::sanitize {
namespace {

struct Kind {
  DType x, weight, out;
  DType packed = weight;
};
constexpr Kind pairs = {DType::BFloat16, DType::BFloat16, DType::BFloat16};
constexpr Kind pairsToFloat = {DType::BFloat16, DType::BFloat16, DType::Float32};
constexpr Kind floats = {DType::Float32, DType::Float32, DType::Float32};
constexpr Kind mixed = {DType::Float32, DType::BFloat16, DType::Float32};
constexpr Kind halves = {DType::BFloat16, DType::Float16, DType::BFloat16};
constexpr Kind bytes = {DType::Float32, DType::Float32, DType::Float32, DType::Q8_0};
constexpr Kind nibbles = {DType::BFloat16, DType::Float32, DType::BFloat16, DType::Q4_0};

// Weights that a block of 32 can hold without an error: whole numbers times a power of 2, the furthest from 0 among them
std::vector<double> whole(DType packed, int rows, int columns) {
  const int most = packed == DType::Q8_0 ? 127 : 7, furthest = packed == DType::Q8_0 ? 127 : -8;
  std::vector<double> values(size_t(rows) * columns);
  for (size_t i = 0; i < values.size(); ++i) {
    const int level = int(uint32_t(i) * 2654435761u >> 8) % (2 * most + 1) - most;
    values[i] = (i % columns % 32 == i / columns % 8 ? furthest : level) / 64.;
  }
  return values;
}

void product(const char* name, const Kind& kind, int rows, int columns, int depth, bool epilogue = false) {
  Values x(kind.x, {rows, depth}, 1), weight(kind.weight, {columns, depth}, 2), bias(DType::Float32, {columns}, 3),
      residual(kind.out, {rows, columns}, 4), out(kind.out, {rows, columns}, 0);
  const Memory packed(packedBytes(columns, depth, kind.packed));
  MatmulArgs args{x.view(), {packed.data(), kind.packed, columns, depth}, {}, {}, out.view(), Activation::None};
  if (info(kind.packed).blockSize > 1) weight.write(whole(kind.packed, columns, depth));
  if (epilogue) args.bias = bias.view(), args.residual = residual.view(), args.activation = Activation::Silu;
  run(name, [&](Parallel& parallel) {
    table->pack({weight.view(), packed.data(), kind.packed}, parallel);
    table->matmul(args, parallel);
  });
  std::vector<double> expected(size_t(rows) * columns);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double sum = 0;
      for (int d = 0; d < depth; ++d) sum += x.values[size_t(i) * depth + d] * weight.values[size_t(j) * depth + d];
      const size_t at = size_t(i) * columns + j;
      if (epilogue) sum += bias.values[j];
      expected[at] = epilogue ? sum / (1 + std::exp(-sum)) + residual.values[at] : sum;
    }
  compare(name, out, expected);
}

}  // namespace

void productCases() {
  const int wide = isEmulated ? 516 : 9604;  // enough large tiles for every processor
  product("gemv, bf16", pairs, 1, 130, 200);
  product("gemv of 5 rows, bf16, epilogue", pairs, 5, 132, 64, true);
  product("gemv, depth 77, f32", floats, 3, 70, 77);
  product("gemv of many features, f32 and bf16", mixed, 2, 700, 64);
  product("thin gemm, bf16", pairs, 20, 130, 200);
  product("gemm, bf16, epilogue", pairs, 65, 132, 200, true);
  product("gemm, depth 77, bf16 to f32", pairsToFloat, 70, 65, 77);
  product("large gemm, bf16", pairs, 129, wide, 96);
  product("gemm, f32, epilogue", floats, 40, 68, 100, true);
  product("gemm, depth 77, f32 and bf16", mixed, 65, 70, 77);
  product("gemm, bf16 and f16", halves, 40, 70, 64);
  for (const Kind& kind : {bytes, nibbles}) {
    product("gemv, quantised", kind, 1, 130, 544);
    product("gemv of 5 rows, quantised, epilogue", kind, 5, 132, 64, true);
    product("gemv, depth 77, quantised", kind, 3, 70, 77);
    product("thin gemm, quantised", kind, 20, 130, 224);
    product("gemm, depth 77, quantised", kind, 70, 65, 77);
    product("large gemm, quantised", kind, 129, wide, 96);
  }
  product("large gemm, f32", floats, 129, wide, 36);
}

}  // namespace longspan::sanitize
