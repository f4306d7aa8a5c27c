// One thread of arithmetic for the process, work in order. JavaScript enqueues and never waits; the queue is bounded
// by the bytes of pending outputs (LONGSPAN_QUEUE_BYTES).
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "completion.h"
#include "thread_pool.h"

namespace longspan {

class Stream {
 public:
  using Work = std::function<void(Parallel&)>;
  static Stream& instance();

  // Throws Error{QueueFull} when `outputBytes` more would pass the bound and the queue is not empty.
  void reserve(int64_t outputBytes);
  // `owner` names the JavaScript environment. Work runs after all earlier work; it is skipped, and its completion
  // fails, when one of completion->inputs failed or a cancellation was asked for.
  void enqueue(const void* owner, std::shared_ptr<Completion> completion, int64_t outputBytes, Work work);
  // Runs on the stream thread after all earlier work, whatever became of it.
  void whenReached(const void* owner, std::function<void()> callback);
  // Calls back once pendingBytes is at most half the bound.
  void whenReady(const void* owner, std::function<void()> callback);
  // Asks a pending op and all it still waits for to stop; kernels see it at their next tile.
  static void cancel(const std::shared_ptr<Completion>& completion, double abortId);

  void addOwner();
  // Drops the owner's queued work and waits for its running op; the last owner also ends the threads.
  void removeOwner(const void* owner);

  int threads();
  void setThreads(int threads);
  int64_t pendingBytes();
  int64_t limitBytes();
  void setLimitBytes(int64_t bytes);

 private:
  struct Task {
    const void* owner;
    std::shared_ptr<Completion> completion;  // null: a callback
    int64_t outputBytes = 0;
    Work work;
  };
  Stream() = default;
  void loop();
  void awaitTask(std::unique_lock<std::mutex>& lock);
  void runTask(Task& task);
  void startLocked();
  int64_t limitLocked() const;
  void notifyReady(std::unique_lock<std::mutex>& lock);

  std::mutex lifecycle_;  // held while owners come and go: no thread is started before the last one has ended
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::deque<Task> tasks_;
  std::atomic<uint32_t> arrivals_{0};  // of tasks ever
  std::deque<std::pair<const void*, std::function<void()>>> readyWaiters_;
  const void* running_ = nullptr;
  std::shared_ptr<Completion> runningCompletion_;
  int64_t pendingBytes_ = 0, limitBytes_ = 0;  // 0: as the settings say, and so are 0 threads
  int owners_ = 0, threads_ = 0;
  bool stopping_ = false, started_ = false;
  std::unique_ptr<ThreadPool> pool_;
  std::thread thread_;
};

}  // namespace longspan
