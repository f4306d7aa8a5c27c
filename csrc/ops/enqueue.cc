#include "enqueue.h"

#include "../core/backends.h"
#include "../core/settings.h"
#include "ops.h"
#include "recording.h"

namespace longspan {

const void*& currentOwner() {
  static thread_local const void* owner = nullptr;
  return owner;
}

const Backend& backend() {
  static const Backend& picked = pickBackend(settings().isa);
  return picked;
}

const Backend& backendOf(const Device& device) { return device.isCpu() ? backend() : cudaBackend(); }

NoKernel::NoKernel(const char* op, const Device& where)
    : Error(Error(Code::Device, concat(op, ": there is no CUDA kernel for it; move its tensors with .to(\"cpu\")"))
                .with("device", where.name())
                .with("reason", "no CUDA kernel")),
      device(where) {}

Tensor newOutput(const char* op, DType dtype, Shape shape, const Device& device) {
  double bytes = sizeOf(dtype);
  for (int64_t extent : shape) bytes *= double(extent);
  if (bytes < 0x1p62) Stream::instance().reserve(int64_t(bytes));
  return Tensor::empty(dtype, std::move(shape), op, device);
}

namespace {

[[noreturn]] void refuseDevice(const char* op, const Device& device, const std::string& reason) {
  throw Error(Code::Device, concat(op, ": ", reason)).with("device", device.name()).with("reason", reason);
}

// Where the op runs: where all its tensors are.
Device deviceOf(const char* op, Needs needs, const std::vector<const Tensor*>& inputs,
                const std::vector<Tensor*>& outputs, const std::vector<const Tensor*>& lists) {
  Device device;
  auto each = [&](const auto& f) {
    for (const Tensor* input : inputs) f(input->device());
    for (const Tensor* output : outputs) f(output->device());
  };
  each([&](const Device& one) { device = device.isCpu() ? one : device; });
  if (!device.isCpu() && !(needs && needs(cudaBackend()))) throw NoKernel(op, device);
  each([&](const Device& one) {
    if (one != device)
      refuseDevice(
          op, device,
          concat("its tensors are on ", device.name(), " and on ", one.name(), "; move them to one device with .to()"));
  });
  for (const Tensor* list : lists)
    if (!list->device().isCpu()) refuseDevice(op, list->device(), "its lists must be on the CPU; move them with .to()");
  return device;
}

}  // namespace

void enqueue(const char* op, Needs needs, const std::vector<const Tensor*>& inputs, const std::vector<Tensor*>& outputs,
             Work work, const std::vector<const Tensor*>& lists) {
  const Device device = deviceOf(op, needs, inputs, outputs, lists);
  if (RecordingStorage* recording = currentRecording()) return recording->add(op, device, outputs, std::move(work));
  auto completion = std::make_shared<Completion>();
  completion->op = op;
  for (const auto* all : {&inputs, &lists})
    for (const Tensor* input : *all) {
      const auto& writer = input->storage->writer;
      if (writer && writer->state.load(std::memory_order_acquire) != Completion::State::Done)
        completion->inputs.push_back(writer);
    }
  int64_t bytes = 0;
  for (Tensor* output : outputs) {
    output->storage->writer = completion;
    bytes += int64_t(output->storage->bytes);
  }
  const Backend& table = backendOf(device);
  Stream::instance().enqueue(currentOwner(), completion, bytes,
                             [work = std::move(work), &table, device, op](Parallel& parallel) {
                               DeviceScope scope(device);
                               work(table, parallel);
                               scope.check(op);
                             });
}

void enqueue(const char* op, const std::vector<const Tensor*>& inputs, const std::vector<Tensor*>& outputs, Work work) {
  enqueue(op, nullptr, inputs, outputs, std::move(work));
}

namespace {

Tensor copied(const char* op, const Tensor& tensor, DType dtype) {
  Tensor out = newOutput(op, dtype, tensor.shape, tensor.device());
  enqueue(op, hasRows<&Backend::copy>, {&tensor}, {&out}, [tensor, out](const Backend& table, Parallel& parallel) {
    table.copy({tensor.view(), out.view()}, parallel);
  });
  return out;
}

}  // namespace

Tensor onDevice(const Tensor& tensor, const Device& device) {
  if (tensor.device() == device) return tensor;
  if (!tensor.device().isCpu() && !device.isCpu()) return onDevice(onDevice(tensor, Device{}), device);
  if (RecordingStorage* recording = currentRecording()) recording->add("to", Device{}, {}, {});  // refuses
  Tensor from = contiguous(tensor);
  Tensor out = newOutput("to", tensor.dtype, tensor.shape, device);
  const Device& used = device.isCpu() ? from.device() : device;
  auto completion = std::make_shared<Completion>();
  completion->op = "to";
  if (const auto& writer = from.storage->writer) completion->inputs.push_back(writer);
  out.storage->writer = completion;
  Stream::instance().enqueue(currentOwner(), completion, out.bytes(), [from, out, used](Parallel&) {
    DeviceScope scope(used);
    auto transfer = out.device().isCpu() ? &DeviceScope::copyToHost : &DeviceScope::copyToDevice;
    (scope.*transfer)(out.data(), from.data(), size_t(out.bytes()), "to");
  });
  return out;
}

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
