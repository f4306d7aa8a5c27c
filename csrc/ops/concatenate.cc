// Tensors one behind the other along an axis, in memory of their own.
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

Tensor concatenate(const std::vector<Tensor>& tensors, int64_t axis) {
  if (tensors.empty()) badArgument("concatenate", "tensors", "tensors must hold at least one tensor");
  const Tensor& first = tensors[0];
  if (axis < 0 || axis >= first.rank())
    badArgument("concatenate", "axis", concat("axis must be in [0, ", first.rank(), "), got ", axis));
  Shape shape = first.shape;
  shape[axis] = 0;
  std::vector<const Tensor*> inputs;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    std::string name = concat("tensors[", i, "]");
    requireSameDType("concatenate", name, tensor, "tensors[0]", first.dtype);
    Shape others = tensor.shape, wanted = first.shape;
    if (tensor.rank() == first.rank()) others[axis] = wanted[axis] = 0;
    Dims("concatenate")
        .require(others == wanted, name,
                 concat(name, " must have the shape of tensors[0], ", toString(first.shape), ", but for axis ", axis),
                 toString(tensor.shape));
    shape[axis] += tensor.shape[axis];
    inputs.push_back(&tensor);
  }
  Tensor out = newOutput("concatenate", first.dtype, shape, first.device());
  enqueue("concatenate", hasRows<&Backend::copy>, inputs, {&out}, [=](const Backend& table, Parallel& parallel) {
    int64_t at = 0;
    for (const Tensor& tensor : tensors) {
      table.copy({tensor.view(), narrow(out, axis, at, tensor.shape[axis]).view()}, parallel);
      at += tensor.shape[axis];
    }
  });
  return out;
}

}  // namespace longspan
