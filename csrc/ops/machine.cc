#include "machine.h"

#include "../core/backends.h"
#include "../core/memory.h"
#include "../core/plugin.h"
#include "../core/settings.h"
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

MachineInfo machine() {
  const Backend& table = backend();
  std::vector<std::string> isas;
  for (const Backend* each : cpuBackends())
    if (each->isSupported()) isas.push_back(each->name);
  return {table.name,
          isas,
          table.nativeBFloat16,
          Stream::instance().threads(),
          Stream::instance().limitBytes(),
          settings().device,
          settings().logLevel};
}

CudaInfo cuda() {
  const Plugin& plugin = cudaPlugin();
  return {plugin.file, plugin.reason, plugin.devices};
}

DeviceMemoryInfo deviceMemoryOf(const std::string& name) {
  const Device device = parseDevice(name, "deviceMemory");
  if (device.isCpu()) {
    MemoryStatus status = memoryStatus();
    return {double(status.usedBytes), double(status.availableBytes)};
  }
  const DeviceMemory status = deviceMemory(device);
  return {double(status.usedBytes), double(status.availableBytes)};
}

DeviceReason deviceReason(const std::string& name) {
  try {
    parseDevice(name, "");
    return {};
  } catch (const Error& error) {
    for (const auto& [field, value] : error.fields)
      if (field == "reason") return {std::get<std::string>(value)};
    throw;
  }
}

std::string requireDevice(const std::string& op, const std::optional<std::string>& given) {
  const std::string& wish = given ? *given : settings().device;
  try {
    return parseDevice(wish, op).name();
  } catch (const Error& error) {
    if (given || error.code != Code::Device) throw;
    const std::string reason = deviceReason(wish).reason;
    throw Error(Code::Device, concat(op, ": device \"", wish, "\" (LONGSPAN_DEVICE) cannot be used: ", reason))
        .with("device", wish)
        .with("reason", reason);
  }
}

MemoryInfo memory() {
  MemoryStatus status = memoryStatus();
  return {double(status.usedBytes), double(status.budgetBytes), double(status.availableBytes),
          double(Stream::instance().pendingBytes())};
}

void setMemoryBudget(double bytes) {
  if (!(bytes >= 0)) badArgument("setMemoryBudget", "bytes", "bytes must be 0 (no own limit) or more");
  setMemoryLimit(int64_t(bytes));
}

void setQueueBytes(double bytes) {
  if (!(bytes > 0)) badArgument("setQueueBytes", "bytes", "bytes must be positive");
  Stream::instance().setLimitBytes(int64_t(bytes));
}

void setThreads(int64_t threads) {
  if (threads < 0 || threads > maxThreads)
    badArgument("setThreads", "threads",
                concat("threads must be in [1, ", maxThreads, "], or 0 for the default, got ", threads));
  Stream::instance().setThreads(int(threads));
}

Tensor ceilings() {
  Tensor out = newOutput("ceilings", DType::Float32, {3});
  enqueue("ceilings", {}, {&out}, [out](const Backend& table, Parallel& parallel) {
    Ceilings measured{};
    table.ceilings(measured, parallel);
    auto* values = static_cast<float*>(out.data());
    values[0] = float(measured.float32FlopsPerSecond);
    values[1] = float(measured.bfloat16FlopsPerSecond);
    values[2] = float(measured.readBytesPerSecond);
  });
  return out;
}

Tensor plainRead(const Tensor& given) {
  Tensor tensor = contiguous(given), out = newOutput("plainRead", DType::Int32, {1});
  enqueue("plainRead", {&tensor}, {&out}, [tensor, out](const Backend& table, Parallel& parallel) {
    table.read({tensor.data(), tensor.bytes()}, parallel);
    *static_cast<int32_t*>(out.data()) = 0;
  });
  return out;
}

}  // namespace longspan
