#include "tensor.h"

#include <limits>

#include "error.h"

namespace longspan {

Shape contiguousStrides(const Shape& shape) {
  Shape strides(shape.size());
  uint64_t step = 1;  // unsigned: without elements the steps mean nothing and may overflow
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = int64_t(step);
    step *= uint64_t(std::max<int64_t>(1, shape[i]));
  }
  return strides;
}

std::string toString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

bool Tensor::isContiguous() const {
  if (size() == 0) return true;
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

TensorView Tensor::view() const {
  TensorView view;
  view.data = data();
  view.dtype = dtype;
  view.rank = rank();
  for (int i = 0; i < view.rank; ++i) {
    view.shape[i] = shape[i];
    view.strides[i] = strides[i];
  }
  return view;
}

Tensor Tensor::empty(DType dtype, Shape shape, const char* what, const Device& device) {
  if (shape.size() > maxRank)
    throw Error(Code::Shape, concat(what, ": a tensor has at most ", maxRank, " axes, got ", toString(shape)))
        .with("op", what)
        .with("expected", "rank <= 8")
        .with("actual", toString(shape));
  double bytes = sizeOf(dtype);
  for (int64_t extent : shape) bytes *= double(extent);
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.strides = contiguousStrides(shape);
  tensor.shape = std::move(shape);
  tensor.storage = std::make_shared<Storage>();
  size_t exact = bytes > 0x1p62 ? std::numeric_limits<size_t>::max() / 2 : size_t(tensor.bytes());
  tensor.storage->device = device;
  tensor.storage->memory = allocate(device, exact, what);
  tensor.storage->bytes = exact;
  return tensor;
}

}  // namespace longspan
