// A tensor: dtype, shape, strides and a share of storage. Views share storage; the last one frees it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "completion.h"
#include "device.h"
#include "tensor_view.h"

namespace longspan {

using Shape = std::vector<int64_t>;

struct Storage {
  Device device;
  std::shared_ptr<void> memory;
  size_t bytes = 0;
  std::shared_ptr<Completion> writer;  // the op that fills it; null: filled at birth
  bool reported = false;               // its bytes are known to the collector of JavaScript
};

struct Tensor {
  std::shared_ptr<Storage> storage;
  DType dtype = DType::Float32;
  Shape shape, strides;  // strides in elements
  int64_t offset = 0;    // in elements

  int64_t size() const {
    uint64_t n = 1;  // unsigned: [2^53, 2^53, 0] passes through nonsense on its way to 0
    for (int64_t extent : shape) n *= uint64_t(extent);
    return int64_t(n);
  }
  int64_t bytes() const { return size() * sizeOf(dtype); }
  int rank() const { return int(shape.size()); }
  bool isContiguous() const;
  void* data() const { return static_cast<char*>(storage->memory.get()) + offset * sizeOf(dtype); }
  TensorView view() const;
  const Device& device() const { return storage->device; }

  // Uninitialised memory; throws Error{OutOfMemory}.
  static Tensor empty(DType dtype, Shape shape, const char* what, const Device& device = {});
};

Shape contiguousStrides(const Shape& shape);
std::string toString(const Shape& shape);

}  // namespace longspan
