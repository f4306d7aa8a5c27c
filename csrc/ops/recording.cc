#include "recording.h"

#include "../core/shape.h"
#include "ops.h"

namespace longspan {
namespace {

std::shared_ptr<RecordingStorage>& current() {
  static thread_local std::shared_ptr<RecordingStorage> recording;
  return recording;
}

// Captures on the stream's thread, between the work of others.
void capture(RecordingStorage& recording, Parallel& parallel) {
  recording.graph = DeviceGraph::capture(recording.step.device(), [&](const DeviceScope& scope) {
    for (const auto& op : recording.ops) {
      op.work(cudaBackend(), parallel);
      scope.check(op.name);
    }
  });
}

}  // namespace

RecordingStorage* currentRecording() { return current().get(); }

void RecordingStorage::add(const char* op, const Device& device, const std::vector<Tensor*>& made, Work work) {
  if (device != step.device())
    throw Error(Code::Unsupported, concat(op, ": cannot be recorded, it runs on ", device.name()))
        .with("feature", concat("recording ", op))
        .with("known", "ops of the recorded device");
  ops.push_back({op, std::move(work)});
  for (Tensor* output : made) {
    output->storage->writer = captured;
    outputs.push_back(output->storage);
  }
}

void beginRecording(const Tensor& step) {
  requireDType("beginRecording", "step", step, {DType::Int32});
  if (step.device().isCpu() || step.shape != Shape{2} || !step.isContiguous())
    badArgument("beginRecording", "step", "step must be [2] on a CUDA device");
  current() = std::make_shared<RecordingStorage>();
  current()->step = step;
}

void dropRecording() { current().reset(); }

Recording endRecording() {
  if (!current()) badArgument("endRecording", "this", "nothing is being recorded");
  Recording recording{std::move(current())};
  current().reset();
  recording.storage->captured->op = "endRecording";
  Stream::instance().enqueue(currentOwner(), recording.storage->captured, 0,
                             [storage = recording.storage](Parallel& parallel) { capture(*storage, parallel); });
  return recording;
}

Tensor isCaptured(const Recording& recording) {
  Tensor answer = newOutput("isCaptured", DType::Int32, {1});
  enqueue("isCaptured", {}, {&answer}, [answer, storage = recording.storage](const Backend&, Parallel&) {
    *static_cast<int*>(answer.data()) = storage->graph ? 1 : 0;
  });
  return answer;
}

bool replay(const Recording& recording, const KVCache& cache, int64_t token, int64_t position) {
  RecordingStorage& storage = *recording.storage;
  auto& layers = cache.storage->layers;
  if (storage.slabs.size() != layers.size()) return false;
  for (size_t i = 0; i < layers.size(); ++i)
    if (layers[i].slabs != storage.slabs[i] || layers[i].length != position ||
        position >= int64_t(layers[i].slabs.size()) * KVCacheView::keysPerSlab)
      return false;
  auto completion = std::make_shared<Completion>();
  completion->op = "replay";
  completion->inputs.push_back(storage.captured);
  for (auto& layer : layers) {
    if (layer.order->writer) completion->inputs.push_back(layer.order->writer);
    layer.order->writer = completion;
    ++layer.length;
  }
  for (auto& output : storage.outputs) output->writer = completion;
  Stream::instance().enqueue(currentOwner(), completion, 0,
                             [storage = recording.storage, step = std::pair{int(token), int(position)}](Parallel&) {
                               DeviceScope scope(storage->step.device());
                               const int values[] = {step.first, step.second};
                               scope.copyToDevice(storage->step.data(), values, sizeof values, "replay");
                               storage->graph->run();
                             });
  return true;
}

}  // namespace longspan
