// longspan_cuda.so: the CUDA side of the backend table and its C boundary (csrc/core/plugin.h). The runtime is linked
// in statically, so that without a driver the file still loads and says what is missing.
#include <cstdio>
#include <cstring>
#include <mutex>

#include "../csrc/core/plugin.h"
#include "kernels.h"

namespace longspan::cuda {
namespace {

constexpr int maxDevices = 64;
constexpr size_t stagingBytes = 4 << 20;

thread_local char lastError[512];
thread_local bool lackedMemory = false;
thread_local int inUse = 0;

struct Device {
  cudaStream_t stream = nullptr;
  int processors = 0, sharedBytes = 0;
  unsigned char* staging[2] = {};  // pinned: transfers go through them in turn
  cudaEvent_t staged[2] = {};      // the device has taken what the staging held
  int turn = 0;
  std::mutex memory;  // memory calls of other threads and captures exclude each other
};
Device devices[maxDevices];

int countDevices() {
  int count = 0;
  if (!succeeded(cudaGetDeviceCount(&count), "looking for a CUDA device")) return 0;
  return count < maxDevices ? count : maxDevices;
}

bool hasDevice() { return countDevices() > 0; }

bool prepare(Device& device, int index) {
  cudaMemPool_t pool;
  uint64_t keep = UINT64_MAX;  // freed memory stays with us: the next allocation is then quick
  return succeeded(cudaDeviceGetAttribute(&device.processors, cudaDevAttrMultiProcessorCount, index), "a device") &&
         succeeded(cudaDeviceGetAttribute(&device.sharedBytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index),
                   "a device") &&
         succeeded(cudaDeviceGetDefaultMemPool(&pool, index), "the memory pool of a device") &&
         succeeded(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the pool of a device") &&
         succeeded(cudaHostAlloc(reinterpret_cast<void**>(&device.staging[0]), stagingBytes, 0), "pinned memory") &&
         succeeded(cudaHostAlloc(reinterpret_cast<void**>(&device.staging[1]), stagingBytes, 0), "pinned memory") &&
         succeeded(cudaEventCreateWithFlags(&device.staged[0], cudaEventDisableTiming), "an event") &&
         succeeded(cudaEventCreateWithFlags(&device.staged[1], cudaEventDisableTiming), "an event") &&
         succeeded(cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking), "the stream of a device");
}

int use(int index) {
  if (!succeeded(cudaSetDevice(index), "choosing a device")) return 1;
  inUse = index;
  return 0;
}
// Not at the same time on two threads: the host calls it once per device before anything else
int open(int index) { return use(index) != 0 || (!devices[index].stream && !prepare(devices[index], index)); }

void* allocate(int index, size_t bytes) {
  void* data = nullptr;
  if (use(index) != 0) return nullptr;
  std::lock_guard lock(devices[index].memory);
  return succeeded(cudaMallocAsync(&data, bytes ? bytes : 1, devices[index].stream), "device memory") ? data : nullptr;
}
void release(int index, void* data) {  // whatever thread lets go of it last
  int before = inUse;
  if (use(index) == 0) {
    std::lock_guard lock(devices[index].memory);
    cudaFreeAsync(data, devices[index].stream);
  }
  if (before != index) use(before);
}
int freeBytes(int index, size_t* available, size_t* total) {
  return use(index) != 0 || !succeeded(cudaMemGetInfo(available, total), "asking for free device memory");
}
int upload(void* to, const void* from, size_t bytes) { return !copyToDevice(to, from, bytes); }
int download(void* to, const void* from, size_t bytes) { return !copyToHost(to, from, bytes); }
int zero(void* data, size_t bytes) {
  std::lock_guard lock(devices[inUse].memory);
  return !succeeded(cudaMemsetAsync(data, 0, bytes, stream()), "zeroing");
}
int synchronise() { return !succeeded(cudaStreamSynchronize(stream()), "waiting for the device"); }

int beginCapture() {
  devices[inUse].memory.lock();
  if (succeeded(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "capturing a graph")) return 0;
  devices[inUse].memory.unlock();
  return 1;
}
void* endCapture() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  const bool captured = succeeded(cudaStreamEndCapture(stream(), &graph), "capturing a graph");
  devices[inUse].memory.unlock();
  if (captured && !succeeded(cudaGraphInstantiate(&executable, graph, 0), "making a graph")) executable = nullptr;
  if (graph) cudaGraphDestroy(graph);
  return executable;
}
int runGraph(void* graph) {
  return !succeeded(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream()), "running a graph");
}
void releaseGraph(int index, void* graph) {
  int before = inUse;
  if (use(index) == 0) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
  if (before != index) use(before);
}

const char* error(int* outOfMemory) {
  *outOfMemory = lackedMemory;
  return lastError;
}
void clearError() {
  lastError[0] = '\0';
  lackedMemory = false;
}

constexpr Backend table = {
    .name = "cuda",
    .isSupported = hasDevice,
    .nativeBFloat16 = true,
    .copy = copy,
    .embedding = embedding,
    .norm = norm,
    .rope = rope,
    .gated = gated,
    .binary = binary,
    .softmax = softmax,
    .nll = nll,
    .topK = topK,
    .pack = pack,
    .matmul = matmul,
    .attention = attention,
    .mergeAttention = mergeAttention,
    .bucketHash = bucketHash,
    .sortTokens = sortTokens,
    .cacheAppend = cacheAppend,
};
constexpr DeviceCalls calls = {
    .open = open,
    .use = use,
    .allocate = allocate,
    .release = release,
    .freeBytes = freeBytes,
    .upload = upload,
    .download = download,
    .zero = zero,
    .synchronise = synchronise,
    .beginCapture = beginCapture,
    .endCapture = endCapture,
    .runGraph = runGraph,
    .releaseGraph = releaseGraph,
    .error = error,
    .clearError = clearError,
};

}  // namespace

void keepError(const char* text) { snprintf(lastError, sizeof lastError, "%s", text); }

bool succeeded(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return true;
  cudaGetLastError();  // so that the next call is not told of this one
  lackedMemory = status == cudaErrorMemoryAllocation;
  snprintf(lastError, sizeof lastError, "%s: %s (%s)", what, cudaGetErrorString(status), cudaGetErrorName(status));
  return false;
}

cudaStream_t stream() { return devices[inUse].stream; }
int numProcessors() { return devices[inUse].processors; }
size_t maxSharedBytes() { return size_t(devices[inUse].sharedBytes); }

Scratch::Scratch(size_t bytes) {
  if (!succeeded(cudaMallocAsync(&data_, bytes ? bytes : 1, stream()), "scratch memory of a kernel")) data_ = nullptr;
}
Scratch::~Scratch() {
  if (data_) cudaFreeAsync(data_, stream());
}

bool copyToDevice(void* to, const void* from, size_t bytes) {
  Device& device = devices[inUse];
  for (size_t at = 0; at < bytes; at += stagingBytes) {
    const int turn = device.turn ^= 1;  // also from call to call: a small one does not wait for the one before
    const size_t part = bytes - at < stagingBytes ? bytes - at : stagingBytes;
    if (!succeeded(cudaEventSynchronize(device.staged[turn]), "waiting for a transfer")) return false;
    memcpy(device.staging[turn], static_cast<const char*>(from) + at, part);
    if (!succeeded(cudaMemcpyAsync(static_cast<char*>(to) + at, device.staging[turn], part, cudaMemcpyHostToDevice,
                                   device.stream),
                   "to the device") ||
        !succeeded(cudaEventRecord(device.staged[turn], device.stream), "to the device"))
      return false;
  }
  return true;
}

bool copyToHost(void* to, const void* from, size_t bytes) {
  Device& device = devices[inUse];
  for (size_t at = 0; at < bytes; at += stagingBytes) {
    const size_t part = bytes - at < stagingBytes ? bytes - at : stagingBytes;
    if (!succeeded(cudaMemcpyAsync(device.staging[0], static_cast<const char*>(from) + at, part, cudaMemcpyDeviceToHost,
                                   device.stream),
                   "from the device") ||
        !succeeded(cudaStreamSynchronize(device.stream), "from the device"))
      return false;
    memcpy(static_cast<char*>(to) + at, device.staging[0], part);
  }
  return true;
}

}  // namespace longspan::cuda

using namespace longspan;
#define LONGSPAN_EXPORT extern "C" __attribute__((visibility("default")))

LONGSPAN_EXPORT uint64_t longspanPluginVersion() { return pluginVersion; }

LONGSPAN_EXPORT const Backend* longspanBackend() { return &cuda::table; }
LONGSPAN_EXPORT const DeviceCalls* longspanDeviceCalls() { return &cuda::calls; }

LONGSPAN_EXPORT int longspanDeviceCount() {
  const int count = cuda::countDevices();
  if (count == 0 && !cuda::lastError[0]) cuda::keepError("the driver sees no CUDA device");
  return count;
}

LONGSPAN_EXPORT int longspanDescribeDevice(int device, char* text, size_t size) {
  cudaDeviceProp properties;
  int driver = 0, runtime = 0;
  if (!cuda::succeeded(cudaGetDeviceProperties(&properties, device), "asking a CUDA device what it is") ||
      !cuda::succeeded(cudaDriverGetVersion(&driver), "asking for the driver's version") ||
      !cuda::succeeded(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version")) {
    return 1;
  }
  if (properties.major < 8) {
    snprintf(cuda::lastError, sizeof cuda::lastError, "%s is sm_%d%d; kernels are for sm_80 and later", properties.name,
             properties.major, properties.minor);
    return 1;
  }
  const double gibibytes = double(properties.totalGlobalMem) / double(1 << 30);
  snprintf(text, size, "%s, sm_%d%d, %.1f GiB, driver %d.%d, runtime %d.%d", properties.name, properties.major,
           properties.minor, gibibytes, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  return 0;
}

LONGSPAN_EXPORT const char* longspanError() { return cuda::lastError; }
