// The one allocator of tensor, cache and scratch memory, under a budget:
// min(cgroup limit − current, MemAvailable, LONGSPAN_MEMORY). Over it: Error{OutOfMemory} at the call.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace longspan {

struct MemoryStatus {
  int64_t usedBytes;       // allocated by us now
  int64_t budgetBytes;     // usedBytes + availableBytes
  int64_t availableBytes;  // what may still be allocated
};
MemoryStatus memoryStatus();
// Sets LONGSPAN_MEMORY's limit at run time; 0 removes it.
void setMemoryLimit(int64_t bytes);

// 64-byte aligned memory; from 2 MiB on, zeroed pages aligned to 2 MiB with huge pages asked for.
// `zeroed` makes small blocks zero too. Throws Error{OutOfMemory} naming `what`.
std::shared_ptr<void> allocate(size_t bytes, const char* what, bool zeroed = false);

}  // namespace longspan
