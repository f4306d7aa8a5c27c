// What environment variables of the process say, read once at the first use. A value that means nothing is an error of
// that use, and of every later one, that names the variable; there is no silent default. LONGSPAN_ISA and
// LONGSPAN_DEVICE are judged where kernels and devices are known (core/backends.h, ops/machine.h).
#pragma once
#include <cstdint>
#include <string>

namespace longspan {

struct Settings {
  int threads;              // LONGSPAN_THREADS, else the processors this process may use
  int64_t queueBytes;       // LONGSPAN_QUEUE_BYTES, else 1 GiB
  int64_t memoryBytes;      // LONGSPAN_MEMORY; 0: no own limit
  int64_t cudaMemoryBytes;  // LONGSPAN_CUDA_MEMORY, of each device; 0: no own limit
  std::string cudaPlugin;   // LONGSPAN_CUDA_PLUGIN; empty: the file beside the addon
  std::string isa;          // LONGSPAN_ISA; empty: no wish
  std::string device;       // LONGSPAN_DEVICE, else cpu
  std::string logLevel;     // LONGSPAN_LOG_LEVEL, else warn
};
constexpr int maxThreads = 256;

// Throws Error{Argument}.
const Settings& settings();

}  // namespace longspan
