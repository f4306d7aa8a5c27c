// Our own threads: a job is items taken in order from one counter; workers spin a little, then sleep on a futex.
// The caller works too and waits for items, never for workers: a worker that wakes late finds the job gone.
#pragma once
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "parallel.h"

namespace longspan {

// By affinity and cgroup quota, at most maxThreads.
int availableProcessors();

class ThreadPool : public Parallel {
 public:
  explicit ThreadPool(int threads);  // fewer where the system gives no more
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  const int wanted;

 private:
  using Body = void (*)(void*, int64_t, int);
  void run(int64_t count, Body body, void* context);
  void runPart(int64_t count, Body body, void* context);
  bool takeItems(uint32_t generation, int thread);
  void work(int thread);
  void reserve(size_t bytesPerThread, size_t sharedBytes);

  std::vector<std::thread> workers_;
  std::vector<std::shared_ptr<void>> scratch_;
  std::shared_ptr<void> shared_;
  size_t scratchBytes_ = 0, sharedBytes_ = 0;

  Body body_ = nullptr;
  void* context_ = nullptr;
  int64_t first_ = 0;  // of this part
  std::atomic<uint32_t> count_{0};
  std::atomic<uint64_t> next_{0};  // generation << 32 | next item
  std::atomic<uint32_t> done_{0};  // items finished
  std::atomic<uint32_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace longspan
