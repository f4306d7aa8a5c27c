#include "memory.h"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "error.h"
#include "settings.h"

namespace longspan {
namespace {

constexpr size_t hugePage = size_t(2) << 20;
constexpr size_t keptBytesLimit = size_t(64) << 20;  // freed large blocks kept for reuse: saves page faults
constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

int64_t readNumber(const std::string& path) {  // "max" and missing files read as unlimited
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : unlimited;
}

int64_t memAvailable() {
  std::ifstream file("/proc/meminfo");
  for (std::string key, unit; file >> key;) {
    int64_t kilobytes;
    if (!(file >> kilobytes)) break;
    if (key == "MemAvailable:") return kilobytes * 1024;
    std::getline(file, unit);
  }
  return unlimited;
}

int64_t cgroupAvailable() {
  std::ifstream file("/proc/self/cgroup");
  int64_t least = unlimited;
  for (std::string line; std::getline(file, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    bool version2 = controllers.empty();
    if (!version2 && controllers.find("memory") == std::string::npos) continue;
    std::string root = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (const std::string& folder : {root + path, root}) {  // inside a container the own path may not be mounted
      int64_t limit = readNumber(folder + (version2 ? "/memory.max" : "/memory.limit_in_bytes"));
      int64_t current = readNumber(folder + (version2 ? "/memory.current" : "/memory.usage_in_bytes"));
      if (limit != unlimited && current != unlimited && limit < (int64_t(1) << 60))
        least = std::min(least, std::max<int64_t>(0, limit - current));
    }
  }
  return least;
}

class Allocator {
 public:
  Allocator() {
    if (settings().memoryBytes > 0) limit_ = settings().memoryBytes;
  }

  MemoryStatus status() {
    std::lock_guard lock(mutex_);
    int64_t available = availableLocked(true);
    return {used_, used_ + available, available};
  }
  void setLimit(int64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes > 0 ? bytes : unlimited;
  }

  std::shared_ptr<void> allocate(size_t bytes, const char* what, bool zeroed) {
    size_t rounded = roundUp(bytes);
    void* address = nullptr;
    {
      std::lock_guard lock(mutex_);
      address = zeroed ? nullptr : takeKept(rounded);
      if (int64_t(rounded) > availableLocked(false) && int64_t(rounded) > availableLocked(true)) {
        if (address) keep(address, rounded);
        refuse(bytes, what);
      }
      used_ += rounded;
    }
    if (!address) address = fresh(rounded, zeroed);
    if (!address) {
      give(nullptr, rounded);
      std::lock_guard lock(mutex_);
      refuse(bytes, what);
    }
    return std::shared_ptr<void>(address, [this, rounded](void* p) { give(p, rounded); });
  }

 private:
  static size_t roundUp(size_t bytes) {
    size_t unit = bytes >= hugePage ? hugePage : 64;
    if (bytes > std::numeric_limits<size_t>::max() / 2) return bytes;
    return (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit;
  }
  // glibc before 2.38 seldom reuses what aligned_alloc gave: resident memory grew without bound. So malloc, with the
  // start of its block kept below ours.
  static void* small(size_t bytes, bool zeroed) {
    void* block = std::malloc(bytes + 64);
    if (!block) return nullptr;
    auto* p = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(block) + 64) / 64 * 64);
    p[-1] = block;
    if (zeroed) std::memset(p, 0, bytes);
    return p;
  }
  static void* fresh(size_t bytes, bool zeroed) {
    if (bytes < hugePage) return small(bytes, zeroed);
    // One huge page more than asked for, so that an aligned start can be cut out.
    void* p = mmap(nullptr, bytes + hugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    auto start = reinterpret_cast<uintptr_t>(p), aligned = (start + hugePage - 1) / hugePage * hugePage;
    if (aligned > start) munmap(p, aligned - start);
    size_t tail = start + hugePage - aligned;
    if (tail) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
    madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }
  static void release(void* p, size_t bytes) {
    if (bytes < hugePage)
      std::free(static_cast<void**>(p)[-1]);
    else
      munmap(p, bytes);
  }
  void give(void* p, size_t bytes) {
    std::lock_guard lock(mutex_);
    used_ -= bytes;
    if (!p) return;
    if (bytes >= hugePage && keptBytes_ + bytes <= keptBytesLimit)
      keep(p, bytes);
    else
      release(p, bytes);
  }
  void keep(void* p, size_t bytes) {
    kept_.emplace(bytes, p);
    keptBytes_ += bytes;
  }
  void* takeKept(size_t bytes) {
    auto found = kept_.find(bytes);
    if (found == kept_.end()) return nullptr;
    void* p = found->second;
    kept_.erase(found);
    keptBytes_ -= bytes;
    return p;
  }

  // What the system gave at its last reading, less what we took since; read again when old or when `again`.
  int64_t availableLocked(bool again) {
    auto now = std::chrono::steady_clock::now();
    if (again || now - readAt_ > std::chrono::milliseconds(200)) {
      for (auto& [bytes, p] : kept_) release(p, bytes);
      kept_.clear();
      keptBytes_ = 0;
      readAt_ = now;
      usedAtReading_ = used_;
      systemAvailable_ = std::min(memAvailable(), cgroupAvailable());
    }
    int64_t system = systemAvailable_ == unlimited ? unlimited : systemAvailable_ - (used_ - usedAtReading_);
    return std::max<int64_t>(0, std::min(system, limit_ == unlimited ? unlimited : limit_ - used_));
  }
  [[noreturn]] void refuse(size_t bytes, const char* what) {
    int64_t available = availableLocked(false);
    throw Error(Code::OutOfMemory,
                concat(what, ": needs ", bytes, " bytes, ", available,
                       " are available within the memory budget (LONGSPAN_MEMORY, cgroup, free memory)"))
        .with("requiredBytes", double(bytes))
        .with("availableBytes", double(available))
        .with("device", "cpu");
  }

  std::mutex mutex_;
  int64_t used_ = 0, limit_ = unlimited;
  int64_t systemAvailable_ = 0, usedAtReading_ = 0;
  std::chrono::steady_clock::time_point readAt_{};
  std::multimap<size_t, void*> kept_;
  size_t keptBytes_ = 0;
};

Allocator& allocator() {  // never destroyed: tensors may outlive every static
  static auto* instance = new Allocator;
  return *instance;
}

}  // namespace

MemoryStatus memoryStatus() { return allocator().status(); }
void setMemoryLimit(int64_t bytes) { allocator().setLimit(bytes); }
std::shared_ptr<void> allocate(size_t bytes, const char* what, bool zeroed) {
  return allocator().allocate(bytes, what, zeroed);
}

}  // namespace longspan
