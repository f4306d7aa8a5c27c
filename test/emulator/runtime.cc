// The host's side of the emulator: devices, memory, launches and their errors. Device memory is the C library's, one
// block an allocation, so that AddressSanitizer knows its end; fresh memory is NaN whatever float it is read as.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

struct EmulatedGraph {
  std::vector<std::function<cudaError_t()>> nodes;
  std::vector<std::pair<void*, size_t>> memory;
  int owners = 1;  // the graph, and what was instantiated from it
};
struct EmulatedStream {
  unsigned flags;
  EmulatedGraph* graph = nullptr;  // while it captures
  bool spoilt = false;             // by a call that a capture does not allow
};
struct EmulatedEvent {
  unsigned flags;
  std::chrono::steady_clock::time_point time;
};
struct EmulatedPool {
  uint64_t threshold;
};

namespace {

constexpr int maxDevices = 16, defaultShared = 48 << 10, maxShared = 101376;

struct Allocation {
  size_t bytes;
  int device;
};
std::mutex guard;                                                     // of what follows
auto& allocations = *new std::map<const unsigned char*, Allocation>;  // memory is freed until the very end
size_t usedBytes[maxDevices];
auto& sharedOf = *new std::map<const void*, int>;  // kernels with more dynamic shared memory than the default
EmulatedPool pools[maxDevices];
auto& failLaunch = *new std::string;  // as the environment had it last
long long launchesUntilFailure = 0;

std::mutex running;  // one launch after another

thread_local int current = 0;
thread_local cudaError_t lastError = cudaSuccess;

cudaError_t keep(cudaError_t error) {
  if (error != cudaSuccess) lastError = error;
  return error;
}
const char* environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}
int numDevices() { return std::clamp(std::atoi(environment("LONGSPAN_EMULATOR_DEVICES", "1")), 0, maxDevices); }
size_t totalBytes() { return std::strtoull(environment("LONGSPAN_EMULATOR_MEMORY", "1073741824"), nullptr, 10); }
bool isDevice(int device) { return device >= 0 && device < numDevices(); }

// Whether all bytes lie in one allocation. With guard held.
bool onDevice(const void* data, size_t bytes) {
  const auto* start = static_cast<const unsigned char*>(data);
  auto after = allocations.upper_bound(start);
  if (after == allocations.begin()) return false;
  --after;
  return start + bytes <= after->first + after->second.bytes;
}

bool isTimeToFail() {
  std::lock_guard lock(guard);
  const std::string asked = environment("LONGSPAN_EMULATOR_FAIL_LAUNCH", "");
  if (asked != failLaunch) {
    failLaunch = asked;
    launchesUntilFailure = std::atoll(asked.c_str());
  }
  return launchesUntilFailure > 0 && --launchesUntilFailure == 0;
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = numDevices();
  return keep(*count ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!isDevice(device)) return keep(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device (tests)");
  properties->totalGlobalMem = totalBytes();
  properties->sharedMemPerBlock = defaultShared;
  properties->sharedMemPerBlockOptin = maxShared;
  properties->major = 8;
  properties->minor = 0;
  properties->multiProcessorCount = 4;
  properties->maxThreadsPerBlock = 1024;
  properties->warpSize = 32;
  properties->l2CacheSize = 4 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!isDevice(device)) return keep(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = defaultShared;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = 4 << 20;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 8;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = maxShared;
      return cudaSuccess;
  }
  return keep(cudaErrorInvalidValue);
}
cudaError_t cudaSetDevice(int device) {
  if (!isDevice(device)) return keep(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return std::exchange(lastError, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return lastError; }

#define LONGSPAN_ERRORS(F)                                                                 \
  F(cudaSuccess, "no error")                                                               \
  F(cudaErrorInvalidValue, "invalid argument")                                             \
  F(cudaErrorMemoryAllocation, "out of memory")                                            \
  F(cudaErrorInitializationError, "initialization error")                                  \
  F(cudaErrorInvalidConfiguration, "invalid configuration argument")                       \
  F(cudaErrorInvalidDeviceFunction, "invalid device function")                             \
  F(cudaErrorNoDevice, "no CUDA-capable device is detected")                               \
  F(cudaErrorInvalidDevice, "invalid device ordinal")                                      \
  F(cudaErrorInvalidResourceHandle, "invalid resource handle")                             \
  F(cudaErrorNotReady, "device not ready")                                                 \
  F(cudaErrorIllegalAddress, "an illegal memory access was encountered")                   \
  F(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                     \
  F(cudaErrorAssert, "device-side assert triggered")                                       \
  F(cudaErrorHardwareStackError, "hardware stack error")                                   \
  F(cudaErrorMisalignedAddress, "misaligned address")                                      \
  F(cudaErrorLaunchOutOfResources, "too many resources requested for launch")              \
  F(cudaErrorLaunchFailure, "unspecified launch failure")                                  \
  F(cudaErrorNotSupported, "operation not supported")                                      \
  F(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing") \
  F(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")
#define LONGSPAN_TEXT(error, text) \
  case error:                      \
    return text;
#define LONGSPAN_NAME(error, text) \
  case error:                      \
    return #error;
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) { LONGSPAN_ERRORS(LONGSPAN_TEXT) }
  return "unrecognized error code";
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) { LONGSPAN_ERRORS(LONGSPAN_NAME) }
  return "unrecognized error code";
}

namespace {

cudaError_t refuseInCapture(cudaStream_t stream) {
  stream->spoilt = true;
  return keep(cudaErrorStreamCaptureUnsupported);
}
void release(EmulatedGraph* graph) {
  if (--graph->owners > 0) return;
  for (const auto& [data, bytes] : graph->memory) cudaFree(data);
  delete graph;
}

}  // namespace

cudaError_t cudaMalloc(void** data, size_t bytes) {
  *data = nullptr;
  if (!isDevice(current)) return keep(cudaErrorInvalidDevice);
  if (bytes == 0) return cudaSuccess;
  std::lock_guard lock(guard);
  if (bytes > totalBytes() || usedBytes[current] > totalBytes() - bytes) return keep(cudaErrorMemoryAllocation);
  if (posix_memalign(data, 256, bytes) != 0) return keep(cudaErrorMemoryAllocation);
  std::memset(*data, 0xff, bytes);
  allocations[static_cast<unsigned char*>(*data)] = {bytes, current};
  usedBytes[current] += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  if (!data) return cudaSuccess;
  std::lock_guard lock(guard);
  const auto found = allocations.find(static_cast<unsigned char*>(data));
  if (found == allocations.end()) return keep(cudaErrorInvalidValue);
  usedBytes[found->second.device] -= found->second.bytes;
  allocations.erase(found);
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t stream) {
  const cudaError_t status = cudaMalloc(data, bytes);
  if (status == cudaSuccess && stream && stream->graph) {
    stream->graph->memory.emplace_back(*data, bytes);
    stream->graph->nodes.push_back([data = *data, bytes] { return cudaMemset(data, 0xff, bytes); });
  }
  return status;
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  if (!data) return keep(cudaErrorInvalidValue);
  if (!stream || !stream->graph) return cudaFree(data);
  for (const auto& [own, bytes] : stream->graph->memory)
    if (own == data) return cudaSuccess;  // with the graph
  return refuseInCapture(stream);
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  *data = nullptr;
  if (bytes != 0 && posix_memalign(data, 256, bytes) != 0) return keep(cudaErrorMemoryAllocation);
  if (bytes != 0) std::memset(*data, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) { return cudaHostAlloc(data, bytes, 0); }
cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  if (!isDevice(current)) return keep(cudaErrorInvalidDevice);
  std::lock_guard lock(guard);
  *total = totalBytes();
  *available = *total > usedBytes[current] ? *total - usedBytes[current] : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  if (!isDevice(device)) return keep(cudaErrorInvalidDevice);
  *pool = &pools[device];
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  if (attribute != cudaMemPoolAttrReleaseThreshold) return keep(cudaErrorInvalidValue);
  std::lock_guard lock(guard);
  std::memcpy(&pool->threshold, value, sizeof pool->threshold);
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  std::lock_guard lock(guard);
  const uint64_t used = usedBytes[pool - pools];
  std::memcpy(value, attribute == cudaMemPoolAttrReleaseThreshold ? &pool->threshold : &used, sizeof used);
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }

// A device's side that is no device memory, or reaches beyond its allocation, is an error.
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  const bool toDevice = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool fromDevice = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  {
    std::lock_guard lock(guard);
    if ((toDevice && !onDevice(to, bytes)) || (fromDevice && !onDevice(from, bytes)))
      return keep(cudaErrorInvalidValue);
  }
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (!stream || !stream->graph) return cudaMemcpy(to, from, bytes, kind);
  if (kind != cudaMemcpyDeviceToDevice) return refuseInCapture(stream);
  stream->graph->nodes.push_back([=] { return cudaMemcpy(to, from, bytes, kind); });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  {
    std::lock_guard lock(guard);
    if (!onDevice(data, bytes)) return keep(cudaErrorInvalidValue);
  }
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (!stream || !stream->graph) return cudaMemset(data, value, bytes);
  stream->graph->nodes.push_back([=] { return cudaMemset(data, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new EmulatedStream{flags, nullptr, false};
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream && stream->graph ? refuseInCapture(stream) : cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new EmulatedEvent{flags, {}};
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  if (!event) return keep(cudaErrorInvalidResourceHandle);
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return keep(event ? cudaSuccess : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start || !end || ((start->flags | end->flags) & cudaEventDisableTiming)) {
    return keep(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->graph) return keep(cudaErrorInvalidValue);
  stream->graph = new EmulatedGraph;
  stream->spoilt = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream || !stream->graph) return keep(cudaErrorInvalidValue);
  EmulatedGraph* captured = std::exchange(stream->graph, nullptr);
  if (stream->spoilt) {
    release(captured);
    return keep(cudaErrorStreamCaptureInvalidated);
  }
  *graph = captured;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  ++graph->owners;
  *executable = graph;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  release(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  release(executable);
  return cudaSuccess;
}
cudaError_t cudaDeviceGraphMemTrim(int) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (stream && stream->graph) return refuseInCapture(stream);
  for (const auto& node : executable->nodes)
    if (const cudaError_t status = node(); status != cudaSuccess) return status;
  return cudaSuccess;
}

namespace longspan::emulator {

bool isCapturing(cudaStream_t stream) { return stream && stream->graph; }

cudaError_t record(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> call) {
  cudaLaunchConfig_t later = config;
  later.stream = nullptr;
  later.attrs = nullptr;
  config.stream->graph->nodes.push_back([=]() mutable {
    return launch(
        later, kernel, [](void* context) { (*static_cast<std::function<void()>*>(context))(); }, &call);
  });
  return cudaSuccess;
}

cudaError_t setFunctionAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > maxShared) return keep(cudaErrorInvalidValue);
  std::lock_guard lock(guard);
  sharedOf[kernel] = value;
  return cudaSuccess;
}

cudaError_t getFunctionAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  std::lock_guard lock(guard);
  const auto found = sharedOf.find(kernel);
  *attributes = {0, 32, 1024, found == sharedOf.end() ? defaultShared : found->second};
  return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, void (*call)(void*), void* context) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  if (!isDevice(current)) return keep(cudaErrorInvalidDevice);
  if (!kernel) return keep(cudaErrorInvalidDeviceFunction);
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
    return keep(cudaErrorInvalidConfiguration);
  }
  if (uint64_t(grid.x) * grid.y * grid.z == 0 || grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff) {
    return keep(cudaErrorInvalidConfiguration);
  }
  cudaFuncAttributes attributes;
  getFunctionAttributes(&attributes, kernel);
  const int allowed = std::max(attributes.maxDynamicSharedSizeBytes, defaultShared);
  if (config.dynamicSmemBytes > size_t(allowed)) return keep(cudaErrorInvalidValue);
  if (isTimeToFail()) return keep(cudaErrorLaunchFailure);
  std::lock_guard lock(running);
  runGrid(grid, block, config.dynamicSmemBytes, kernel, call, context);
  return cudaSuccess;
}

}  // namespace longspan::emulator
