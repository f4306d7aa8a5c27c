// A pass of one token, recorded once and run again for each token: ops of a device are kept instead of enqueued,
// captured as one graph, and each run of it takes a new token and position from `step`. Keys go to where the position
// says; the caches must not have got or lost slabs since.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "enqueue.h"
#include "kv_cache.h"

namespace longspan {

struct RecordingStorage {
  Tensor step;  // [2] int32 on the device: token, position
  struct Op {
    const char* name;
    Work work;  // holds what it reads and writes
  };
  std::vector<Op> ops;
  std::vector<std::shared_ptr<Storage>> outputs;
  std::vector<std::vector<std::shared_ptr<void>>> slabs;  // of each layer that was appended to
  std::shared_ptr<DeviceGraph> graph;                     // once it is captured
  std::shared_ptr<Completion> captured = std::make_shared<Completion>();

  void add(const char* op, const Device& device, const std::vector<Tensor*>& made, Work work);
  const int* position() const { return static_cast<const int*>(step.data()) + 1; }
};

// Of this thread; null where nothing is being recorded.
RecordingStorage* currentRecording();

}  // namespace longspan
