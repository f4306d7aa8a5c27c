// longspan_cuda.so: the CUDA side of the backend table and its C boundary (csrc/core/plugin.h). The runtime is linked
// in statically, so that without a driver the file still loads and says what is missing.
#include <cstdio>

#include "../csrc/core/plugin.h"
#include "kernels.h"

namespace longspan::cuda {
namespace {

thread_local char lastError[256];

int countDevices() {
  int count = 0;
  return succeeded(cudaGetDeviceCount(&count), "looking for a CUDA device") ? count : 0;
}

bool hasDevice() { return countDevices() > 0; }

constexpr Backend table = {
    .name = "cuda",
    .isSupported = hasDevice,
    .nativeBFloat16 = true,
    .rope = rope,
};

}  // namespace

void keepError(const char* text) { snprintf(lastError, sizeof lastError, "%s", text); }

bool succeeded(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return true;
  snprintf(lastError, sizeof lastError, "%s: %s (%s)", what, cudaGetErrorString(status), cudaGetErrorName(status));
  return false;
}

}  // namespace longspan::cuda

using namespace longspan;
#define LONGSPAN_EXPORT extern "C" __attribute__((visibility("default")))

LONGSPAN_EXPORT uint64_t longspanPluginVersion() { return pluginVersion; }

LONGSPAN_EXPORT const Backend* longspanBackend() { return &cuda::table; }

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
  const double gibibytes = double(properties.totalGlobalMem) / double(1 << 30);
  snprintf(text, size, "%s, sm_%d%d, %.1f GiB, driver %d.%d, runtime %d.%d", properties.name, properties.major,
           properties.minor, gibibytes, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  return 0;
}

LONGSPAN_EXPORT const char* longspanError() { return cuda::lastError; }

LONGSPAN_EXPORT int longspanRope(const RopeArgs* args) {
  cuda::lastError[0] = '\0';
  Parallel none;
  cuda::rope(*args, none);
  return cuda::lastError[0] ? 1 : 0;
}
