// RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016) over the last axis; statistics in float32.
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {
namespace {

Tensor norm(const char* op, const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
            double epsilon, bool centre) {
  requireDType(op, "x", x, floatDTypes);
  Dims dims(op);
  dims.require(x.rank() >= 1, "x", "x must have at least one axis", toString(x.shape));
  Tensor last = x;  // only to bind hiddenSize
  last.shape = {x.shape.back()};
  dims.bind<1>(last, "x", "[hiddenSize]");
  for (auto [tensor, name] : {std::pair{&weight, "weight"}, {&bias, "bias"}}) {
    if (!*tensor) continue;
    requireDType(op, name, **tensor, floatDTypes);
    dims.bind<1>(**tensor, name, "[hiddenSize]");
  }
  requireFinite(op, "epsilon", epsilon);
  if (epsilon < 0) badArgument(op, "epsilon", concat("epsilon must not be negative, got ", epsilon));

  Tensor out = newOutput(op, x.dtype, x.shape, x.device());
  enqueue(op, hasRows<&Backend::norm>, {&x, weight ? &*weight : &x, bias ? &*bias : &x}, {&out},
          [=](const Backend& table, Parallel& parallel) {
            table.norm({x.view(), viewOf(weight), viewOf(bias), out.view(), float(epsilon), centre}, parallel);
          });
  return out;
}

}  // namespace

Tensor rmsNorm(const Tensor& x, const std::optional<Tensor>& weight, const NormOptions& options) {
  return norm("rmsNorm", x, weight, std::nullopt, options.epsilon, false);
}

Tensor layerNorm(const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                 const NormOptions& options) {
  return norm("layerNorm", x, weight, bias, options.epsilon, true);
}

}  // namespace longspan
