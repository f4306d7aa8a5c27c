#include <algorithm>

#include "../core/shape.h"
#include "activation.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {
namespace {

// Strides of `tensor` as if it had `shape`: zero along axes it is repeated over.
Tensor broadcastTo(const char* op, const char* argument, const Tensor& tensor, const Shape& shape) {
  Tensor view = tensor;
  view.shape = shape;
  view.strides.assign(shape.size(), 0);
  for (size_t i = 0; i < shape.size(); ++i) {
    size_t fromEnd = shape.size() - i;
    if (fromEnd > tensor.shape.size()) continue;
    size_t at = tensor.shape.size() - fromEnd;
    if (tensor.shape[at] == shape[i])
      view.strides[i] = tensor.strides[at];
    else if (tensor.shape[at] != 1)
      Dims(op).mismatch(argument, concat("broadcastable to ", toString(shape)), tensor.shape);
  }
  return view;
}

Shape broadcastShape(const char* op, const Tensor& a, const Tensor& b) {
  Shape shape(std::max(a.shape.size(), b.shape.size()), 1);
  for (size_t fromEnd = 1; fromEnd <= shape.size(); ++fromEnd) {
    int64_t x = fromEnd <= a.shape.size() ? a.shape[a.shape.size() - fromEnd] : 1;
    int64_t y = fromEnd <= b.shape.size() ? b.shape[b.shape.size() - fromEnd] : 1;
    if (x != y && x != 1 && y != 1)
      Dims(op).mismatch("b", concat("broadcastable with a = ", toString(a.shape)), b.shape);
    shape[shape.size() - fromEnd] = x == 1 ? y : x;
  }
  return shape;
}

Tensor binary(const char* op, BinaryOp kind, const Tensor& a, const Tensor& b) {
  requireDType(op, "a", a, floatDTypes);
  requireSameDType(op, "b", b, "a", a.dtype);
  Shape shape = broadcastShape(op, a, b);
  Tensor left = broadcastTo(op, "a", a, shape), right = broadcastTo(op, "b", b, shape);
  Tensor out = newOutput(op, a.dtype, shape, a.device());
  enqueue(op, hasRows<&Backend::binary>, {&a, &b}, {&out}, [=](const Backend& table, Parallel& parallel) {
    table.binary({left.view(), right.view(), out.view(), kind}, parallel);
  });
  return out;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return binary("add", BinaryOp::Add, a, b); }
Tensor multiply(const Tensor& a, const Tensor& b) { return binary("multiply", BinaryOp::Mul, a, b); }

Tensor gatedActivation(const Tensor& gate, const std::optional<Tensor>& up, const GatedOptions& options) {
  requireDType("gatedActivation", "gate", gate, floatDTypes);
  Activation activation = parseActivation("gatedActivation", options.activation, false);
  if (up) {
    requireSameDType("gatedActivation", "up", *up, "gate", gate.dtype);
    Dims("gatedActivation")
        .require(up->shape == gate.shape, "up", concat("up must be ", toString(gate.shape), " like gate"),
                 toString(up->shape));
  }
  Tensor out = newOutput("gatedActivation", gate.dtype, gate.shape, gate.device());
  enqueue("gatedActivation", hasRows<&Backend::gated>, {&gate, up ? &*up : &gate}, {&out},
          [=](const Backend& table, Parallel& parallel) {
            table.gated({gate.view(), viewOf(up), out.view(), activation}, parallel);
          });
  return out;
}

}  // namespace longspan
