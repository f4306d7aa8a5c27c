// From a checked op to the stream: the completion that readers of the outputs wait for, and what it waits for itself.
#pragma once
#include <functional>
#include <vector>
#include <optional>
#include <string>

#include "../core/backend.h"
#include "../core/stream.h"
#include "../core/tensor.h"

namespace longspan {

// The JavaScript environment on whose behalf this thread calls ops.
const void*& currentOwner();

// The table of kernels for tensors on the CPU (LONGSPAN_ISA, else the best this machine runs); throws Error{Device}.
const Backend& backend();

// The table of kernels for tensors on `device`.
const Backend& backendOf(const Device& device);

// Room in the queue for this output, asked for before it is allocated; throws Error{QueueFull, OutOfMemory}.
Tensor newOutput(const char* op, DType dtype, Shape shape, const Device& device = {});

// An op without a kernel for the device its tensors are on; it can be called again with tensors on the CPU.
struct NoKernel : Error {
  Device device;
  NoKernel(const char* op, const Device& where);
};

// Has a table the rows that an op calls? An op that names its rows touches no memory of tensors itself, and so runs on
// every device that has them.
using Needs = bool (*)(const Backend&);
template <auto... rows>
bool hasRows(const Backend& table) {
  return ((table.*rows != nullptr) && ...);
}
using Work = std::function<void(const Backend&, Parallel&)>;
// Inputs and outputs must lie on one device: throws Error{Device}. `lists` are waited for too, and lie on the CPU.
void enqueue(const char* op, Needs needs, const std::vector<const Tensor*>& inputs, const std::vector<Tensor*>& outputs,
             Work work, const std::vector<const Tensor*>& lists = {});
// An op that reads memory itself: on the CPU only.
void enqueue(const char* op, const std::vector<const Tensor*>& inputs, const std::vector<Tensor*>& outputs, Work work);

// The tensor itself where its last axis is dense, else a contiguous copy (enqueued).
Tensor denseRows(const Tensor& tensor);
// `tensor` on `device`: itself, or a copy (enqueued).
Tensor onDevice(const Tensor& tensor, const Device& device);
// `tensor` in `dtype`: itself, or a converted copy (enqueued).
Tensor converted(const Tensor& tensor, DType dtype);

// Are its values there already?
inline bool isReady(const Tensor& tensor) {
  const auto& writer = tensor.storage->writer;
  return !writer || writer->state.load(std::memory_order_acquire) == Completion::State::Done;
}

inline TensorView viewOf(const std::optional<Tensor>& tensor) { return tensor ? tensor->view() : TensorView{}; }

}  // namespace longspan
