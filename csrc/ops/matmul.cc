// Products with a weight: panels packed once (linear), or for one call (matmul).
#include "../core/shape.h"
#include "activation.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {
namespace {

PackedWeight packedView(const PackedMatrix& weight) {
  return {weight.storage->memory.get(), weight.dtype, weight.outFeatures, weight.inFeatures};
}

// x[..., k] times panels[n, k]ᵀ; all leading axes are rows.
Tensor product(const char* op, const Tensor& given, const PackedMatrix& weight, const MatmulOptions& options) {
  Dims dims(op);
  dims.require(given.rank() >= 1 && given.shape.back() == weight.inFeatures, "x",
               concat("the last axis of x must be ", weight.inFeatures, ", the weight's inFeatures"),
               toString(given.shape));
  requireDType(op, "x", given, floatDTypes);
  Activation activation = parseActivation(op, options.activation, true);
  DType outDType = given.dtype;
  int64_t rows = 1;
  for (int i = 0; i + 1 < given.rank(); ++i) rows *= given.shape[i];
  Tensor x = reshape(denseRows(given.dtype == DType::Float16 ? converted(given, DType::Float32) : given),
                     {rows, weight.inFeatures});
  Shape shape = given.shape;
  shape.back() = weight.outFeatures;
  std::optional<Tensor> bias = options.bias, residual = options.residual;
  if (bias) {
    requireDType(op, "bias", *bias, floatDTypes);
    dims.require(bias->rank() == 1 && bias->shape[0] == weight.outFeatures, "bias",
                 concat("bias must be [", weight.outFeatures, "]"), toString(bias->shape));
    bias = contiguous(converted(*bias, DType::Float32));
  }
  if (residual) {
    dims.require(residual->shape == shape, "residual", concat("residual must be ", toString(shape)),
                 toString(residual->shape));
    requireSameDType(op, "residual", *residual, "x", given.dtype);
    residual = reshape(denseRows(outDType == DType::Float16 ? converted(*residual, DType::Float32) : *residual),
                       {x.shape[0], weight.outFeatures});
  }
  DType computed = outDType == DType::Float16 ? DType::Float32 : outDType;
  Tensor out = newOutput(op, computed, {x.shape[0], weight.outFeatures}, x.device());
  Tensor panels;
  panels.storage = weight.storage;
  enqueue(
      op, hasRows<&Backend::matmul>, {&x, &panels, bias ? &*bias : &x, residual ? &*residual : &x}, {&out},
      [=](const Backend& table, Parallel& parallel) {
        if (out.size() == 0) return;
        table.matmul({x.view(), packedView(weight), viewOf(bias), viewOf(residual), out.view(), activation}, parallel);
      });
  return converted(reshape(out, shape), outDType);
}

PackedMatrix pack(const char* op, const Tensor& weight, DType dtype) {
  PackedMatrix packed;
  packed.dtype = dtype;
  packed.outFeatures = weight.shape[0];
  packed.inFeatures = weight.shape[1];
  int64_t bytes = int64_t(packedBytes(packed.outFeatures, packed.inFeatures, dtype));
  Tensor panels = newOutput(op, DType::UInt8, {bytes}, weight.device());
  packed.storage = panels.storage;
  enqueue(op, hasRows<&Backend::pack>, {&weight}, {&panels}, [=](const Backend& table, Parallel& parallel) {
    table.pack({weight.view(), panels.data(), dtype}, parallel);
  });
  return packed;
}

}  // namespace

PackedMatrix packWeight(const Tensor& weight, const PackOptions& options) {
  requireDType("packWeight", "weight", weight, floatDTypes);
  Dims("packWeight").bind<2>(weight, "weight", "[outFeatures, inFeatures]");
  return pack("packWeight", weight, options.dtype ? parsePackedDType(*options.dtype, "packWeight") : weight.dtype);
}

Tensor linear(const Tensor& x, const PackedMatrix& weight, const MatmulOptions& options) {
  if (options.transposeB) badArgument("linear", "transposeB", "transposeB has no meaning for a packed weight");
  return product("linear", x, weight, options);
}

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  requireDType("matmul", "b", b, floatDTypes);
  Dims dims("matmul");
  dims.require(b.rank() == 2, "b", options.transposeB ? "b must be [n, k]" : "b must be [k, n]", toString(b.shape));
  Tensor weight = options.transposeB ? b : transpose(b, 0, 1);
  dims.require(a.rank() >= 1 && a.shape.back() == weight.shape[1], "a",
               concat("the last axis of a must be k = ", weight.shape[1], " (from b)"), toString(a.shape));
  requireDType("matmul", "a", a, floatDTypes);
  return product("matmul", a, pack("matmul", weight, weight.dtype), options);
}

}  // namespace longspan
