// A backend that lives in a file of its own beside the addon (longspan_cuda.so), behind these C functions. No exception
// crosses them: a call that fails keeps its text for longspanError(). A missing file, driver or device is no error but
// a reason, which `longspan doctor` prints.
#pragma once
#include <string>
#include <vector>

#include "backend.h"

namespace longspan {

// Memory and order of the devices of a plugin. Calls that return an int give 0, or 1 with error() set; memory calls are
// in the order of the device's one stream.
struct DeviceCalls {
  int (*open)(int device);                      // once per device, before all else
  int (*use)(int device);                       // kernels and copies of this thread go there from now on
  void* (*allocate)(int device, size_t bytes);  // null and error(); may be called by any thread
  void (*release)(int device, void* data);      // by any thread, after the last kernel that uses it was enqueued
  int (*freeBytes)(int device, size_t* available, size_t* total);
  int (*upload)(void* to, const void* from, size_t bytes);    // `from` may be used again when it returns
  int (*download)(void* to, const void* from, size_t bytes);  // waits for all work before
  int (*zero)(void* data, size_t bytes);
  int (*synchronise)();
  // What this thread enqueues between the two is kept instead of run; memory calls of other threads wait for the end.
  int (*beginCapture)();
  void* (*endCapture)();  // null and error()
  int (*runGraph)(void* graph);
  void (*releaseGraph)(int device, void* graph);
  const char* (*error)(int* outOfMemory);  // of this thread since clearError(): "" if none
  void (*clearError)();
};

}  // namespace longspan

extern "C" {
uint64_t longspanPluginVersion();            // longspan::pluginVersion it was built with
const longspan::Backend* longspanBackend();  // rows without a kernel are null; rows enqueue and return
const longspan::DeviceCalls* longspanDeviceCalls();
int longspanDeviceCount();  // 0: longspanError() says why
// Writes e.g. "NVIDIA H200, sm_90, 139.8 GiB, driver 13.0, runtime 13.0"; 0, or 1 and longspanError().
int longspanDescribeDevice(int device, char* text, size_t size);
const char* longspanError();  // of the last failed call on this thread, "" if none
}

namespace longspan {

// A plugin of another build is refused: the sizes change when a row or an argument is added; else the first number
// does.
inline constexpr uint64_t pluginVersion = (uint64_t(2) << 48) | (uint64_t(sizeof(Backend)) << 32) |
                                          (uint64_t(sizeof(DeviceCalls) + sizeof(RopeArgs)) << 16) |
                                          (sizeof(AttentionArgs) + sizeof(Pattern));

struct Plugin {
  const Backend* backend = nullptr;  // null: not usable, reason says why
  const DeviceCalls* calls = nullptr;
  std::string file;
  std::string reason;
  std::vector<std::string> devices;  // what each is, or why it cannot be used
  std::vector<std::string> faults;   // of each, "" where it can be used
};

const Plugin& cudaPlugin();  // opened at the first call, never closed

}  // namespace longspan
