#include "thread_pool.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>

#include "memory.h"
#include "settings.h"
#include "spin.h"

namespace longspan {
namespace {

void futexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futexWake(std::atomic<uint32_t>& word, int howMany) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, howMany, nullptr, nullptr, 0);
}

double cgroupProcessors() {
  double quota, period;
  std::ifstream version2("/sys/fs/cgroup/cpu.max");
  if (version2 >> quota >> period && period > 0) return quota / period;
  std::ifstream quotaFile("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), periodFile("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quotaFile >> quota && periodFile >> period && quota > 0 && period > 0) return quota / period;
  return INFINITY;
}

}  // namespace

int availableProcessors() {
  cpu_set_t set;
  int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(processors, int(std::min(double(maxThreads), std::ceil(cgroupProcessors())))));
}

ThreadPool::ThreadPool(int threads) : wanted(threads) {
  runItems = [](Parallel& p, int64_t count, Body body, void* context) {
    static_cast<ThreadPool&>(p).run(count, body, context);
  };
  reserveScratch = [](Parallel& p, size_t perThread, size_t shared) {
    static_cast<ThreadPool&>(p).reserve(perThread, shared);
  };
  threadScratch = [](Parallel& p, int thread) {
    return static_cast<unsigned char*>(static_cast<ThreadPool&>(p).scratch_[thread].get());
  };
  sharedScratch = [](Parallel& p) { return static_cast<unsigned char*>(static_cast<ThreadPool&>(p).shared_.get()); };
  workers_.reserve(std::max(0, threads - 1));
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {  // a limit of processes
  }
  numThreads = 1 + int(workers_.size());
  scratch_.resize(numThreads);
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  generation_.fetch_add(1);
  futexWake(generation_, INT_MAX);
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::reserve(size_t bytesPerThread, size_t sharedBytes) {
  if (bytesPerThread > scratchBytes_) {
    scratchBytes_ = 0;
    for (auto& block : scratch_) block.reset();
    for (auto& block : scratch_) block = allocate(bytesPerThread, "scratch memory");
    scratchBytes_ = bytesPerThread;
  }
  if (sharedBytes > sharedBytes_) {
    sharedBytes_ = 0;
    shared_.reset();
    shared_ = allocate(sharedBytes, "scratch memory");
    sharedBytes_ = sharedBytes;
  }
}

void ThreadPool::run(int64_t count, Body body, void* context) {
  if (numThreads == 1 || count == 1) {
    for (int64_t i = 0; i < count && !cancelled(); ++i) body(context, i, 0);
    return;
  }
  constexpr int64_t most = int64_t(1) << 31;  // the counter has 32 bits
  for (int64_t first = 0; first < count && !cancelled(); first += most) {
    first_ = first;  // read only under a taken item: the part before has none left
    runPart(std::min(most, count - first), body, context);
  }
}

void ThreadPool::runPart(int64_t count, Body body, void* context) {
  uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  next_.store(uint64_t(generation) << 32 | UINT32_MAX);  // closed: nobody may take an item while the job is written
  body_ = body;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  count_.store(uint32_t(count), std::memory_order_release);
  next_.store(uint64_t(generation) << 32, std::memory_order_release);
  generation_.store(generation);  // sequentially consistent with sleeping_, so that no sleeper is missed
  if (sleeping_.load() > 0) futexWake(generation_, INT_MAX);
  takeItems(generation, 0);
  for (int spins = 0; done_.load(std::memory_order_acquire) != uint32_t(count);) {
    if (++spins < spinsBeforeSleep)
      pause();
    else
      sched_yield();
  }
}

// Runs items while the counter still belongs to `generation`; the counter moves only by compare-and-swap, so a late
// worker can neither take an item of a finished job nor touch its context.
bool ThreadPool::takeItems(uint32_t generation, int thread) {
  bool any = false;
  uint64_t at = next_.load(std::memory_order_acquire);
  while (uint32_t(at >> 32) == generation && uint32_t(at) < count_.load(std::memory_order_acquire)) {
    if (!next_.compare_exchange_weak(at, at + 1, std::memory_order_acq_rel)) continue;
    if (!cancelled()) body_(context_, first_ + int64_t(uint32_t(at)), thread);
    any = true;
    done_.fetch_add(1, std::memory_order_release);
    at = next_.load(std::memory_order_acquire);
  }
  return any;
}

void ThreadPool::work(int thread) {
  uint32_t seen = generation_.load();
  if (!stopping_ && uint32_t(next_.load() >> 32) == seen) takeItems(seen, thread);
  for (;;) {
    spinWhile([&] { return generation_.load(std::memory_order_acquire) == seen; });
    uint32_t current = generation_.load(std::memory_order_acquire);
    if (stopping_) return;  // also a worker that begins only after the last generation was counted
    if (current == seen) {
      sleeping_.fetch_add(1);
      if (generation_.load() == seen) futexWait(generation_, seen);
      sleeping_.fetch_sub(1);
      continue;
    }
    seen = current;
    takeItems(current, thread);
  }
}

}  // namespace longspan
