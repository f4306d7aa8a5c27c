// How kernels are launched: on the stream of the device in use, with as much shared memory as they ask for.
#pragma once
#include <utility>

#include "kernels.h"

namespace longspan::cuda {

// False, with the error kept, where the launch failed. `sharedBytes` is dynamic shared memory: see dynamicShared().
template <class... Parameters, class... Arguments>
bool launch(const char* what, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes,
            Arguments&&... arguments) {
  if (sharedBytes > (48 << 10) &&
      !succeeded(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sharedBytes)), what))
    return false;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream();
  return succeeded(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), what);
}

}  // namespace longspan::cuda
