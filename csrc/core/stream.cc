#include "stream.h"

#include "settings.h"
#include "spin.h"

namespace longspan {
namespace {

std::shared_ptr<const Error> failureOfInputs(const Completion& completion) {
  for (const auto& input : completion.inputs)
    if (input->state.load(std::memory_order_acquire) == Completion::State::Failed) return input->error;
  return nullptr;
}
std::shared_ptr<const Error> aborted(double abortId) {
  return std::make_shared<Error>(Error(Code::Aborted, "the operation was aborted").with("abortId", abortId));
}
bool cancelRequested(const Completion& completion) {
  return __atomic_load_n(&completion.cancelRequested, __ATOMIC_ACQUIRE);
}
void finish(Completion& completion, std::shared_ptr<const Error> error) {
  completion.inputs.clear();
  completion.error = std::move(error);
  completion.state.store(completion.error ? Completion::State::Failed : Completion::State::Done,
                         std::memory_order_release);
}

}  // namespace

Stream& Stream::instance() {  // never destroyed: tensors may outlive every static
  static auto* stream = new Stream;
  return *stream;
}

void Stream::reserve(int64_t outputBytes) {
  std::lock_guard lock(mutex_);
  const int64_t limit = limitLocked();
  if (pendingBytes_ == 0 || pendingBytes_ + outputBytes <= limit) return;
  throw Error(
      Code::QueueFull,
      concat("the stream's queue is full: ", pendingBytes_, " bytes of outputs are pending and ", outputBytes,
             " more would pass the limit of ", limit, "; await ready() or a tensor's data() before enqueuing more"))
      .with("pendingBytes", double(pendingBytes_))
      .with("limitBytes", double(limit));
}

void Stream::startLocked() {
  if (started_) return;
  started_ = true;
  stopping_ = false;
  thread_ = std::thread([this] { loop(); });
}

void Stream::enqueue(const void* owner, std::shared_ptr<Completion> completion, int64_t outputBytes, Work work) {
  settings();  // throws here, not on the stream's thread
  {
    std::lock_guard lock(mutex_);
    startLocked();
    pendingBytes_ += outputBytes;
    tasks_.push_back({owner, std::move(completion), outputBytes, std::move(work)});
    arrivals_.fetch_add(1, std::memory_order_relaxed);
  }
  wake_.notify_one();
}

void Stream::whenReached(const void* owner, std::function<void()> callback) {
  enqueue(owner, nullptr, 0, [callback = std::move(callback)](Parallel&) { callback(); });
}

void Stream::whenReady(const void* owner, std::function<void()> callback) {
  settings();
  std::unique_lock lock(mutex_);
  readyWaiters_.emplace_back(owner, std::move(callback));
  notifyReady(lock);
}

void Stream::notifyReady(std::unique_lock<std::mutex>& lock) {
  while (!readyWaiters_.empty() && pendingBytes_ * 2 <= limitLocked()) {
    auto callback = std::move(readyWaiters_.front().second);
    readyWaiters_.pop_front();
    lock.unlock();
    callback();
    lock.lock();
  }
}

void Stream::cancel(const std::shared_ptr<Completion>& completion, double abortId) {
  std::vector<std::shared_ptr<Completion>> open{completion};
  std::lock_guard lock(instance().mutex_);  // inputs are let go under the same lock
  while (!open.empty()) {
    auto next = std::move(open.back());
    open.pop_back();
    if (!next || next->state.load(std::memory_order_acquire) != Completion::State::Pending || cancelRequested(*next))
      continue;
    next->abortId = abortId;
    __atomic_store_n(&next->cancelRequested, 1, __ATOMIC_RELEASE);
    for (const auto& input : next->inputs) open.push_back(input);
  }
}

// Waking a sleeping thread costs more than a small op: look a little before sleeping.
void Stream::awaitTask(std::unique_lock<std::mutex>& lock) {
  auto hasWork = [this] { return stopping_ || !tasks_.empty(); };
  if (!hasWork()) {
    const uint32_t seen = arrivals_.load(std::memory_order_relaxed);
    lock.unlock();
    spinWhile([&] { return arrivals_.load(std::memory_order_relaxed) == seen; });
    lock.lock();
  }
  wake_.wait(lock, hasWork);
}

void Stream::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    awaitTask(lock);
    if (stopping_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    running_ = task.owner;
    runningCompletion_ = task.completion;
    lock.unlock();
    runTask(task);
    int64_t outputBytes = task.outputBytes;
    task = {};  // lets go of tensors before anyone is told
    lock.lock();
    pendingBytes_ -= outputBytes;
    running_ = nullptr;
    runningCompletion_ = nullptr;
    finished_.notify_all();
    notifyReady(lock);
  }
}

void Stream::runTask(Task& task) {
  if (!pool_ || pool_->wanted != threads()) pool_ = std::make_unique<ThreadPool>(threads());
  Completion* completion = task.completion.get();
  if (!completion) {
    task.work(*pool_);
    return;
  }
  std::shared_ptr<const Error> error = failureOfInputs(*completion);
  if (!error && cancelRequested(*completion)) error = aborted(completion->abortId);
  if (!error) {
    pool_->cancelRequested = &completion->cancelRequested;
    try {
      task.work(*pool_);
      if (cancelRequested(*completion)) error = aborted(completion->abortId);
    } catch (const Error& e) {
      error = std::make_shared<Error>(e);
    } catch (const std::exception& e) {
      error = std::make_shared<Error>(
          Error(Code::Execution, concat(completion->op, " failed: ", e.what())).with("op", completion->op));
    }
    pool_->cancelRequested = nullptr;
  }
  std::lock_guard lock(mutex_);
  finish(*completion, std::move(error));
}

void Stream::addOwner() {
  std::lock_guard lifecycle(lifecycle_);
  std::lock_guard lock(mutex_);
  ++owners_;
}

void Stream::removeOwner(const void* owner) {
  std::lock_guard lifecycle(lifecycle_);
  std::deque<Task> dropped;
  std::thread ending;
  {
    std::unique_lock lock(mutex_);
    if (running_ == owner && runningCompletion_)
      __atomic_store_n(&runningCompletion_->cancelRequested, 1, __ATOMIC_RELEASE);
    std::deque<Task> kept;
    for (auto& task : tasks_) {
      if (task.owner != owner)
        kept.push_back(std::move(task));
      else {
        pendingBytes_ -= task.outputBytes;
        dropped.push_back(std::move(task));
      }
    }
    tasks_ = std::move(kept);
    std::erase_if(readyWaiters_, [&](const auto& waiter) { return waiter.first == owner; });
    finished_.wait(lock, [&] { return running_ != owner; });
    if (--owners_ == 0 && started_) {
      stopping_ = true;
      started_ = false;
      ending = std::move(thread_);
    }
    notifyReady(lock);  // what was dropped may have been what others waited for
  }
  for (auto& task : dropped)
    if (task.completion) finish(*task.completion, aborted(0));
  if (ending.joinable()) {
    wake_.notify_one();
    ending.join();
    pool_.reset();
  }
}

int Stream::threads() {
  std::lock_guard lock(mutex_);
  return threads_ > 0 ? threads_ : settings().threads;
}
void Stream::setThreads(int threads) {
  std::lock_guard lock(mutex_);
  threads_ = threads;
}
int64_t Stream::limitLocked() const { return limitBytes_ > 0 ? limitBytes_ : settings().queueBytes; }
int64_t Stream::limitBytes() {
  std::lock_guard lock(mutex_);
  return limitLocked();
}
void Stream::setLimitBytes(int64_t bytes) {
  std::unique_lock lock(mutex_);
  limitBytes_ = bytes;
  notifyReady(lock);
}
int64_t Stream::pendingBytes() {
  std::lock_guard lock(mutex_);
  return pendingBytes_;
}

}  // namespace longspan
