#include "enqueue.h"

#include "../core/backends.h"
#include "../core/settings.h"
#include "ops.h"

namespace longspan {

const void*& currentOwner() {
  static thread_local const void* owner = nullptr;
  return owner;
}

const Backend& backend() {
  static const Backend& picked = pickBackend(settings().isa);
  return picked;
}

Tensor newOutput(const char* op, DType dtype, Shape shape) {
  double bytes = sizeOf(dtype);
  for (int64_t extent : shape) bytes *= double(extent);
  if (bytes < 0x1p62) Stream::instance().reserve(int64_t(bytes));
  return Tensor::empty(dtype, std::move(shape), op);
}

void enqueue(const char* op, const std::vector<const Tensor*>& inputs, const std::vector<Tensor*>& outputs, Work work) {
  auto completion = std::make_shared<Completion>();
  completion->op = op;
  for (const Tensor* input : inputs) {
    const auto& writer = input->storage->writer;
    if (writer && writer->state.load(std::memory_order_acquire) != Completion::State::Done)
      completion->inputs.push_back(writer);
  }
  int64_t bytes = 0;
  for (Tensor* output : outputs) {
    output->storage->writer = completion;
    bytes += int64_t(output->storage->bytes);
  }
  const Backend& table = backend();
  Stream::instance().enqueue(currentOwner(), completion, bytes,
                             [work = std::move(work), &table](Parallel& parallel) { work(table, parallel); });
}

namespace {

Tensor copied(const char* op, const Tensor& tensor, DType dtype) {
  Tensor out = newOutput(op, dtype, tensor.shape);
  enqueue(op, {&tensor}, {&out}, [tensor, out](const Backend& table, Parallel& parallel) {
    table.copy({tensor.view(), out.view()}, parallel);
  });
  return out;
}

}  // namespace

Tensor converted(const Tensor& tensor, DType dtype) {
  return tensor.dtype == dtype ? tensor : copied("to", tensor, dtype);
}

Tensor contiguous(const Tensor& tensor) {
  return tensor.isContiguous() ? tensor : copied("contiguous", tensor, tensor.dtype);
}

Tensor denseRows(const Tensor& tensor) {
  bool dense = tensor.rank() == 0 || tensor.shape.back() <= 1 || tensor.strides.back() == 1;
  return dense ? tensor : contiguous(tensor);
}

}  // namespace longspan
