// Without longspan_cuda.so beside the program the loader gives a reason, not a fault; with one, either devices or a
// reason.
#include "core/plugin.h"

#include <cstdio>

int main() {
  const longspan::Plugin& plugin = longspan::cudaPlugin();
  printf("%s: %s\n", plugin.file.c_str(), plugin.backend ? plugin.backend->name : plugin.reason.c_str());
  for (const std::string& device : plugin.devices) printf("  %s\n", device.c_str());
  const bool usable = plugin.backend != nullptr;
  if (usable == plugin.reason.empty() && usable == !plugin.devices.empty()) return 0;
  printf("FAILED: a plugin is either usable, with devices, or says why not\n");
  return 1;
}
