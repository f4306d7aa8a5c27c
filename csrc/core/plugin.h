// A backend that lives in a file of its own beside the addon (longspan_cuda.so), behind these C functions. No exception
// crosses them: a call that fails keeps its text for longspanError(). A missing file, driver or device is no error but
// a reason, which `longspan doctor` prints.
#pragma once
#include <string>
#include <vector>

#include "backend.h"

extern "C" {
uint64_t longspanPluginVersion();            // longspan::pluginVersion it was built with
const longspan::Backend* longspanBackend();  // rows without a kernel are null
int longspanDeviceCount();                   // 0: longspanError() says why
// Writes e.g. "NVIDIA H200, sm_90, 139.8 GiB, driver 13.0, runtime 13.0"; 0, or 1 and longspanError().
int longspanDescribeDevice(int device, char* text, size_t size);
const char* longspanError();  // of the last failed call on this thread, "" if none
// One kernel by name, for tests from other languages: device addresses in the views; 0, or 1 and longspanError().
int longspanRope(const longspan::RopeArgs* args);
}

namespace longspan {

// A plugin of another build is refused: the sizes change when a row or an argument is added.
inline constexpr uint64_t pluginVersion = (uint64_t(1) << 48) | (uint64_t(sizeof(Backend)) << 32) |
                                          (uint64_t(sizeof(RopeArgs)) << 16) | sizeof(AttentionArgs);

struct Plugin {
  const Backend* backend = nullptr;  // null: not usable, reason says why
  std::string file;
  std::string reason;
  std::vector<std::string> devices;
};

const Plugin& cudaPlugin();  // opened at the first call, never closed

}  // namespace longspan
