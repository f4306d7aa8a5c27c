// Facts of the machine and of this process, for doctor, bench and tests.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "../core/field.h"
#include "../core/tensor.h"

namespace longspan {

struct MachineInfo {
  std::string isa;
  std::vector<std::string> isas;
  bool nativeBFloat16;
  int64_t threads, queueBytes;
  std::string device, logLevel;
  static constexpr auto fields = std::tuple{
      field("isa", &MachineInfo::isa, "kernels in use"),
      field("isas", &MachineInfo::isas, "kernels this machine can run"),
      field("nativeBFloat16", &MachineInfo::nativeBFloat16, "bfloat16 products without widening"),
      field("threads", &MachineInfo::threads, "compute threads"),
      field("queueBytes", &MachineInfo::queueBytes, "limit of pending output bytes"),
      field("device", &MachineInfo::device, "where new tensors and models are put"),
      field("logLevel", &MachineInfo::logLevel, "silent, error, warn, info or debug"),
  };
};
struct MemoryInfo {
  double usedBytes, budgetBytes, availableBytes, pendingBytes;
  static constexpr auto fields = std::tuple{
      field("usedBytes", &MemoryInfo::usedBytes, "held by tensors, caches and scratch now"),
      field("budgetBytes", &MemoryInfo::budgetBytes, "what they may hold in all"),
      field("availableBytes", &MemoryInfo::availableBytes, "what may still be allocated"),
      field("pendingBytes", &MemoryInfo::pendingBytes, "outputs that wait in the queue"),
  };
};

struct CudaInfo {
  std::string file, reason;
  std::vector<std::string> devices;
  static constexpr auto fields = std::tuple{
      field("file", &CudaInfo::file, "the plugin that was opened"),
      field("reason", &CudaInfo::reason, "why no GPU is used; empty when one can be"),
      field("devices", &CudaInfo::devices, "GPUs found"),
  };
};
struct DeviceMemoryInfo {
  double usedBytes, availableBytes;
  static constexpr auto fields = std::tuple{
      field("usedBytes", &DeviceMemoryInfo::usedBytes, "held by tensors and caches there now"),
      field("availableBytes", &DeviceMemoryInfo::availableBytes, "what may still be allocated there"),
  };
};
DeviceMemoryInfo deviceMemoryOf(const std::string& device);
struct DeviceReason {
  std::string reason;
  static constexpr auto fields =
      std::tuple{field("reason", &DeviceReason::reason, "why the device cannot be used; empty when it can")};
};

MachineInfo machine();
CudaInfo cuda();
DeviceReason deviceReason(const std::string& device);
// The device's name: none given is LONGSPAN_DEVICE, else cpu. Throws Error{Device} unless tensors can live there.
std::string requireDevice(const std::string& op, const std::optional<std::string>& device);
MemoryInfo memory();
void setMemoryBudget(double bytes);
void setQueueBytes(double bytes);
void setThreads(int64_t threads);
// [float32 FLOP/s, bfloat16 FLOP/s, bytes read per second], measured now with the kernels in use.
Tensor ceilings();
// Loads every byte of a contiguous tensor once, for comparison; the result [1] only says when.
Tensor plainRead(const Tensor& tensor);

}  // namespace longspan
