#include "device.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>

#include "error.h"
#include "plugin.h"
#include "settings.h"

namespace longspan {
namespace {

constexpr int maxDevices = 64;

struct State {
  std::once_flag opened;
  std::atomic<bool> isOpen{false};
  std::string reason;  // why it could not be opened
  std::atomic<int64_t> used{0};
  int64_t limit = 0;
};
State states[maxDevices];

// Memory left to what we do not count: scratch of kernels, graphs, modules and stacks of the driver
int64_t headroomOf(int64_t total) { return std::clamp<int64_t>(total / 32, int64_t(64) << 20, int64_t(1) << 30); }

const DeviceCalls& calls() { return *cudaPlugin().calls; }

[[noreturn]] void unusable(const std::string& what, const std::string& name, const std::string& reason) {
  throw Error(Code::Device, concat(what, ": device \"", name, "\" cannot be used: ", reason))
      .with("device", name)
      .with("reason", reason);
}

[[noreturn]] void throwReported(const char* op, const Device& device) {
  int outOfMemory = 0;
  const std::string reason = calls().error(&outOfMemory);
  calls().clearError();
  if (!outOfMemory) throw Error(Code::Execution, concat(op, " failed on ", device.name(), ": ", reason)).with("op", op);
  throw Error(Code::OutOfMemory, concat(op, ": too little memory on ", device.name(), ": ", reason))
      .with("requiredBytes", 0.0)
      .with("availableBytes", double(deviceMemory(device).availableBytes))
      .with("device", device.name());
}

void openDevice(const std::string& what, const Device& device) {
  State& state = states[device.index];
  std::call_once(state.opened, [&] {
    size_t available = 0, total = 0;
    if (calls().open(device.index) != 0 || calls().freeBytes(device.index, &available, &total) != 0) {
      int outOfMemory = 0;
      state.reason = calls().error(&outOfMemory);
      return;
    }
    state.limit = std::max<int64_t>(0, int64_t(available) - headroomOf(int64_t(total)));
    if (settings().cudaMemoryBytes > 0) state.limit = std::min(state.limit, settings().cudaMemoryBytes);
    state.isOpen = true;
  });
  if (!state.isOpen) unusable(what, device.name(), state.reason);
}

}  // namespace

std::string Device::name() const { return index < 0 ? "cpu" : index == 0 ? "cuda" : "cuda:" + std::to_string(index); }

Device parseDevice(const std::string& name, const std::string& what) {
  if (name == "cpu") return {};
  Device device{0};
  bool known = name == "cuda";
  if (name.rfind("cuda:", 0) == 0) {
    const char *begin = name.data() + 5, *end = name.data() + name.size();
    auto [stopped, error] = std::from_chars(begin, end, device.index);
    known = begin < end && error == std::errc() && stopped == end && *begin != '-';
  }
  if (!known) unusable(what, name, "the devices are cpu, cuda and cuda:<number>");
  const Plugin& plugin = cudaPlugin();
  if (!plugin.backend) unusable(what, name, plugin.reason);
  const int count = std::min(int(plugin.devices.size()), maxDevices);
  if (device.index < count && !plugin.faults[size_t(device.index)].empty())
    unusable(what, name, plugin.faults[size_t(device.index)]);
  if (device.index >= count) unusable(what, name, concat("the last CUDA device is cuda:", count - 1));
  openDevice(what, device);
  return device;
}

std::shared_ptr<void> allocate(const Device& device, size_t bytes, const char* what, bool zeroed) {
  if (device.isCpu()) return allocate(bytes, what, zeroed);
  State& state = states[device.index];
  const int64_t size = bytes > size_t(1) << 62 ? int64_t(1) << 62 : int64_t(bytes);
  auto refuse = [&] {
    const int64_t available = deviceMemory(device).availableBytes;
    throw Error(Code::OutOfMemory, concat(what, ": needs ", bytes, " bytes, ", available, " are available on ",
                                          device.name(), " (its memory, LONGSPAN_CUDA_MEMORY)"))
        .with("requiredBytes", double(bytes))
        .with("availableBytes", double(available))
        .with("device", device.name());
  };
  if (state.used.fetch_add(size) + size > state.limit) {
    state.used.fetch_sub(size);
    refuse();
  }
  void* data = calls().allocate(device.index, bytes);
  if (data && zeroed && (calls().use(device.index) != 0 || calls().zero(data, bytes) != 0)) {
    calls().release(device.index, data);
    data = nullptr;
  }
  if (!data) {
    state.used.fetch_sub(size);
    int outOfMemory = 0;
    calls().error(&outOfMemory);
    if (!outOfMemory) throwReported(what, device);
    calls().clearError();
    refuse();
  }
  return std::shared_ptr<void>(data, [device, size](void* p) {
    calls().release(device.index, p);
    states[device.index].used.fetch_sub(size);
  });
}

DeviceMemory deviceMemory(const Device& device) {
  const State& state = states[device.index];
  const int64_t used = state.used;
  return {used, std::max<int64_t>(0, state.limit - used)};
}

DeviceScope::DeviceScope(const Device& device) : device_(device) {
  if (device.isCpu()) return;
  calls().clearError();
  calls().use(device.index);
}
void DeviceScope::check(const char* op) const {
  int outOfMemory = 0;
  if (!device_.isCpu() && *calls().error(&outOfMemory)) throwReported(op, device_);
}
void DeviceScope::copyToDevice(void* to, const void* from, size_t bytes, const char* op) const {
  if (calls().upload(to, from, bytes) != 0) throwReported(op, device_);
}
void DeviceScope::copyToHost(void* to, const void* from, size_t bytes, const char* op) const {
  if (calls().download(to, from, bytes) != 0) throwReported(op, device_);
}

std::shared_ptr<DeviceGraph> DeviceGraph::capture(const Device& device,
                                                  const std::function<void(const DeviceScope&)>& body) {
  DeviceScope scope(device);
  if (calls().beginCapture() != 0) throwReported("capturing a graph", device);
  try {
    body(scope);
  } catch (...) {
    if (void* graph = calls().endCapture()) calls().releaseGraph(device.index, graph);
    calls().clearError();
    throw;
  }
  void* graph = calls().endCapture();
  if (!graph) throwReported("capturing a graph", device);
  return std::shared_ptr<DeviceGraph>(new DeviceGraph(device, graph));
}
DeviceGraph::~DeviceGraph() { calls().releaseGraph(device_.index, graph_); }
void DeviceGraph::run() const {
  if (calls().runGraph(graph_) != 0) throwReported("running a graph", device_);
}

const Backend& cudaBackend() { return *cudaPlugin().backend; }

void synchroniseDevices() {
  for (int index = 0; index < maxDevices; ++index)
    if (states[index].isOpen) {
      DeviceScope scope(Device{index});
      calls().synchronise();
      scope.check("idle");
    }
}

}  // namespace longspan
