#include "plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>

#include "settings.h"

namespace longspan {
namespace {

std::string folderOfThisFile() {
  Dl_info where{};
  if (!dladdr(reinterpret_cast<const void*>(&cudaPlugin), &where) || !where.dli_fname) return ".";
  const std::string file = where.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

template <class F>
F find(void* library, const char* name) {
  return reinterpret_cast<F>(dlsym(library, name));
}

// The reason why it cannot be used, or "" with plugin filled.
std::string open(Plugin& plugin) {
  if (access(plugin.file.c_str(), R_OK) != 0) return "built without CUDA: there is no " + plugin.file;
  void* library = dlopen(plugin.file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return dlerror();
  auto version = find<decltype(&longspanPluginVersion)>(library, "longspanPluginVersion");
  auto backend = find<decltype(&longspanBackend)>(library, "longspanBackend");
  auto calls = find<decltype(&longspanDeviceCalls)>(library, "longspanDeviceCalls");
  auto deviceCount = find<decltype(&longspanDeviceCount)>(library, "longspanDeviceCount");
  auto describe = find<decltype(&longspanDescribeDevice)>(library, "longspanDescribeDevice");
  auto error = find<decltype(&longspanError)>(library, "longspanError");
  if (!version || !backend || !calls || !deviceCount || !describe || !error)
    return plugin.file + " is not a longspan plugin";
  if (version() != pluginVersion) return plugin.file + " belongs to another build of longspan";
  const int count = deviceCount();
  if (count == 0) return error();
  for (int device = 0; device < count; ++device) {
    char text[256];
    const bool good = describe(device, text, sizeof text) == 0;
    plugin.faults.emplace_back(good ? "" : error());
    plugin.devices.emplace_back(good ? text : "not used: " + plugin.faults.back());
  }
  const auto& faults = plugin.faults;
  if (std::all_of(faults.begin(), faults.end(), [](const std::string& fault) { return !fault.empty(); }))
    return faults[0];
  plugin.backend = backend();
  plugin.calls = calls();
  return "";
}

}  // namespace

const Plugin& cudaPlugin() {
  static const Plugin plugin = [] {
    Plugin opened;
    const std::string& file = settings().cudaPlugin;
    opened.file = file.empty() ? folderOfThisFile() + "/longspan_cuda.so" : file;
    opened.reason = open(opened);
    return opened;
  }();
  return plugin;
}

}  // namespace longspan
