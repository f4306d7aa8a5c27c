// Where a tensor's memory is and its kernels run: the CPU, or a CUDA device of the plugin.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "memory.h"

namespace longspan {

struct Backend;

struct Device {
  int index = -1;  // −1: the CPU
  bool isCpu() const { return index < 0; }
  bool operator==(const Device&) const = default;
  std::string name() const;  // "cpu", "cuda", "cuda:1"
};

// "cpu", "cuda", "cuda:<number>"; throws Error{Device} that says why it cannot be used.
Device parseDevice(const std::string& name, const std::string& what);

// Device memory, under the smaller of what is free there and LONGSPAN_CUDA_MEMORY; throws Error{OutOfMemory} naming
// `what`. Released in the order of the device's stream.
std::shared_ptr<void> allocate(const Device& device, size_t bytes, const char* what, bool zeroed = false);

struct DeviceMemory {
  int64_t usedBytes, availableBytes;
};
DeviceMemory deviceMemory(const Device& device);

// Kernels of a CUDA device called within it go there; check() throws what they reported: Error{OutOfMemory, Execution}.
class DeviceScope {
 public:
  explicit DeviceScope(const Device& device);
  void check(const char* op) const;
  // Host and device memory, in order; copyToHost waits for it.
  void copyToDevice(void* to, const void* from, size_t bytes, const char* op) const;
  void copyToHost(void* to, const void* from, size_t bytes, const char* op) const;

 private:
  Device device_;
};
const Backend& cudaBackend();

// Work of a device, captured once and run as a whole (a CUDA graph). What it uses must outlive it.
class DeviceGraph {
 public:
  // `body` calls kernels; memory of the device is not given or taken meanwhile. Throws what the body or the device
  // does.
  static std::shared_ptr<DeviceGraph> capture(const Device& device,
                                              const std::function<void(const DeviceScope&)>& body);
  ~DeviceGraph();
  void run() const;

 private:
  DeviceGraph(const Device& device, void* graph) : device_(device), graph_(graph) {}
  Device device_;
  void* graph_;
};

// Waits until all devices that were used have done their work.
void synchroniseDevices();

}  // namespace longspan
