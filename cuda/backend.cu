// longspan_cuda.so: the CUDA side of the backend table and its C boundary (csrc/core/plugin.h). The runtime is linked
// in statically, so that without a driver the file still loads and says what is missing.
#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "../csrc/core/plugin.h"
#include "kernels.h"

namespace longspan::cuda {
namespace {

constexpr int maxDevices = 64;
constexpr size_t stagingBytes = 4 << 20, slotBytes = 64 << 10;
constexpr int numSlots = 64;

thread_local char lastError[512];
thread_local bool lackedMemory = false;
thread_local int inUse = -1;  // none was chosen by this thread
thread_local bool capturing = false;

// Pinned memory that transfers go through in turn, and when the device has taken what each piece held
template <int pieces, size_t bytes>
struct Staging {
  unsigned char* memory = nullptr;
  cudaEvent_t taken[pieces] = {};
  int turn = 0;

  bool prepare() {
    bool ready = succeeded(cudaHostAlloc(reinterpret_cast<void**>(&memory), pieces * bytes, 0), "pinned memory");
    for (cudaEvent_t& event : taken)
      ready = ready && succeeded(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
    return ready;
  }
  // At most `bytes`; `from` may be used again when it returns
  bool upload(void* to, const void* from, size_t size, cudaStream_t stream) {
    turn = (turn + 1) % pieces;
    unsigned char* piece = memory + turn * bytes;
    if (!succeeded(cudaEventSynchronize(taken[turn]), "waiting for a transfer")) return false;
    memcpy(piece, from, size);
    return succeeded(cudaMemcpyAsync(to, piece, size, cudaMemcpyHostToDevice, stream), "to the device") &&
           succeeded(cudaEventRecord(taken[turn], stream), "to the device");
  }
};

struct Device {
  cudaStream_t stream = nullptr;
  int processors = 0;
  Staging<2, stagingBytes> staging;
  Staging<numSlots, slotBytes> slots;  // for lists, so that many calls may be under way
  std::mutex memory;                   // memory calls of other threads and captures exclude each other
  std::vector<void*> released;         // while this thread captured
};
Device devices[maxDevices];
Device& used() { return devices[inUse < 0 ? 0 : inUse]; }

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
         succeeded(cudaDeviceGetDefaultMemPool(&pool, index), "the memory pool of a device") &&
         succeeded(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the pool of a device") &&
         device.staging.prepare() && device.slots.prepare() &&
         succeeded(cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking), "the stream of a device");
}

int use(int index) {
  if (!succeeded(cudaSetDevice(index), "choosing a device")) return 1;
  inUse = index;
  return 0;
}
// Not at the same time on two threads: the host calls it once per device before anything else
int open(int index) { return use(index) != 0 || (!devices[index].stream && !prepare(devices[index], index)); }

// Within a capture neither memory nor host copies may be had: the graph would do them again.
bool refusesInCapture(const char* what) {
  if (capturing) keepError(what);
  return capturing;
}

void* allocate(int index, size_t bytes) {
  void* data = nullptr;
  if (refusesInCapture("no memory can be had while a graph is captured") || use(index) != 0) return nullptr;
  std::lock_guard lock(devices[index].memory);
  return succeeded(cudaMallocAsync(&data, bytes ? bytes : 1, devices[index].stream), "device memory") ? data : nullptr;
}
// f() with a device chosen, whatever thread lets go of something last; what fails is nobody's error
template <class F>
void onDevice(int index, const F& f) {
  const int before = inUse;
  if (use(index) == 0 && f() != cudaSuccess) cudaGetLastError();
  if (before >= 0 && before != index) use(before);
}
void release(int index, void* data) {
  if (capturing) return devices[index].released.push_back(data);
  onDevice(index, [&] {
    std::lock_guard lock(devices[index].memory);
    return cudaFreeAsync(data, devices[index].stream);
  });
}
int freeBytes(int index, size_t* available, size_t* total) {
  return use(index) != 0 || !succeeded(cudaMemGetInfo(available, total), "asking for free device memory");
}
int upload(void* to, const void* from, size_t bytes) { return !copyToDevice(to, from, bytes); }
int download(void* to, const void* from, size_t bytes) { return !copyToHost(to, from, bytes); }
int zero(void* data, size_t bytes) {
  if (refusesInCapture("no memory can be zeroed while a graph is captured")) return 1;
  std::lock_guard lock(used().memory);
  return !succeeded(cudaMemsetAsync(data, 0, bytes, stream()), "zeroing");
}
int synchronise() { return !succeeded(cudaStreamSynchronize(stream()), "waiting for the device"); }

int beginCapture() {
  used().memory.lock();
  if (succeeded(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "capturing a graph")) {
    capturing = true;
    return 0;
  }
  used().memory.unlock();
  return 1;
}
void* endCapture() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  const bool captured = succeeded(cudaStreamEndCapture(stream(), &graph), "capturing a graph");
  capturing = false;
  used().memory.unlock();
  for (void* data : std::exchange(used().released, {})) release(inUse, data);
  if (captured && !succeeded(cudaGraphInstantiate(&executable, graph, 0), "making a graph")) executable = nullptr;
  if (graph) cudaGraphDestroy(graph);
  return executable;
}
int runGraph(void* graph) {
  return !succeeded(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream()), "running a graph");
}
void releaseGraph(int index, void* graph) {
  onDevice(index, [&] {
    const cudaError_t status = cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
    return status == cudaSuccess ? cudaDeviceGraphMemTrim(index) : status;
  });
}

const char* error(int* outOfMemory) {
  *outOfMemory = lackedMemory;
  return lastError;
}
void clearError() {
  lastError[0] = '\0';
  lackedMemory = false;
}

// No exception leaves the plugin.
template <auto kernel>
struct Row;
template <class Args, void (*kernel)(const Args&, Parallel&)>
struct Row<kernel> {
  static void call(const Args& args, Parallel& parallel) {
    try {
      kernel(args, parallel);
    } catch (...) {
      keepError("too little host memory");
    }
  }
};
template <auto kernel>
constexpr auto row = &Row<kernel>::call;

constexpr Backend table = {
    .name = "cuda",
    .isSupported = hasDevice,
    .nativeBFloat16 = true,
    .copy = row<copy>,
    .embedding = row<embedding>,
    .norm = row<norm>,
    .rope = row<rope>,
    .gated = row<gated>,
    .binary = row<binary>,
    .softmax = row<softmax>,
    .nll = row<nll>,
    .topK = row<topK>,
    .pack = row<pack>,
    .matmul = row<matmul>,
    .attention = row<attention>,
    .mergeAttention = row<mergeAttention>,
    .bucketHash = row<bucketHash>,
    .sortTokens = row<sortTokens>,
    .cacheAppend = row<cacheAppend>,
    .ropeAppend = row<ropeAppend>,
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

void keepError(const char* text) {
  lackedMemory = false;
  snprintf(lastError, sizeof lastError, "%s", text);
}

namespace {

// After these no call on the device succeeds any more.
bool isLost(cudaError_t status) {
  return status == cudaErrorIllegalAddress || status == cudaErrorMisalignedAddress ||
         status == cudaErrorLaunchFailure || status == cudaErrorLaunchTimeout ||
         status == cudaErrorHardwareStackError || status == cudaErrorAssert;
}

}  // namespace

bool succeeded(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return true;
  cudaGetLastError();  // so that the next call is not told of this one
  lackedMemory = status == cudaErrorMemoryAllocation;
  snprintf(lastError, sizeof lastError, "%s: %s (%s)%s", what, cudaGetErrorString(status), cudaGetErrorName(status),
           isLost(status) ? "; the device is lost to this process, by this or an earlier kernel" : "");
  return false;
}

cudaStream_t stream() { return used().stream; }
int numProcessors() { return used().processors; }

Scratch::Scratch(size_t bytes) {
  if (bytes == 0 || succeeded(cudaMallocAsync(&data_, bytes, stream()), "scratch memory of a kernel")) return;
  data_ = nullptr;
  isThere_ = false;
}
Scratch::~Scratch() {
  if (data_ && cudaFreeAsync(data_, stream()) != cudaSuccess) cudaGetLastError();
}

bool copyToDevice(void* to, const void* from, size_t bytes) {
  if (refusesInCapture("host memory cannot be copied while a graph is captured")) return false;
  Device& device = used();
  if (bytes <= slotBytes) return bytes == 0 || device.slots.upload(to, from, bytes, device.stream);
  for (size_t at = 0; at < bytes; at += stagingBytes) {
    const size_t part = bytes - at < stagingBytes ? bytes - at : stagingBytes;
    if (!device.staging.upload(static_cast<char*>(to) + at, static_cast<const char*>(from) + at, part, device.stream))
      return false;
  }
  return true;
}

bool copyToHost(void* to, const void* from, size_t bytes) {
  if (refusesInCapture("nothing can be read while a graph is captured")) return false;
  Device& device = used();
  for (size_t at = 0; at < bytes; at += stagingBytes) {
    const size_t part = bytes - at < stagingBytes ? bytes - at : stagingBytes;
    if (!succeeded(cudaMemcpyAsync(device.staging.memory, static_cast<const char*>(from) + at, part,
                                   cudaMemcpyDeviceToHost, device.stream),
                   "from the device") ||
        !succeeded(cudaStreamSynchronize(device.stream), "from the device"))
      return false;
    memcpy(static_cast<char*>(to) + at, device.staging.memory, part);
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
