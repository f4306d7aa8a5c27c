// A token's pass as a graph, as csrc/ops/recording.cc has it: recorded once, run with another token and position, while
// another thread asks for memory.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "../native/check.h"
#include "sanitize_attention.h"

namespace longspan::sanitize {
namespace {

constexpr int numHeads = 2, headDim = 16, runs = 5, windowed = 301;
const std::vector<double> frequencies = {1, 0.3, 0.1, 0.03, 0.01};

// What JavaScript's thread does meanwhile
class Neighbour {
 public:
  Neighbour()
      : thread_([this] {
          if (calls->use(0) != 0) fault_ = "use";
          while (!stop_.load() && fault_.empty()) turn();
          ended_ = true;
        }) {
    await();
  }
  ~Neighbour() {
    stop_ = true;
    thread_.join();
    check(fault_.empty(), "memory calls beside a graph: %s", fault_.c_str());
  }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  // Until it has done something more
  void await() const {
    for (const int seen = turns_; turns_ == seen && !ended_;)
      std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  void turn() {
    constexpr size_t bytes = 1 << 16;
    calls->clearError();
    void* memory = calls->allocate(0, bytes);
    const bool zeroed = memory && calls->zero(memory, bytes) == 0;
    if (memory) calls->release(0, memory);
    int ignored;
    if (!zeroed || calls->error(&ignored)[0]) fault_ = calls->error(&ignored);
    if (!zeroed && fault_.empty()) fault_ = "no text";
    ++turns_;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  std::atomic<bool> stop_{false}, ended_{false};
  std::atomic<int> turns_{0};
  std::string fault_;
  std::thread thread_;  // the last: it uses the others
};

class Decoding {
 public:
  Decoding(const char* name, int numSlabs, int before)
      : name_(name),
        room_(numSlabs * KVCacheView::keysPerSlab),
        before_(before),
        slabs_(shape(), numSlabs),
        keys_(size_t(room_) * headDim),
        values_(keys_.size()) {}
  ~Decoding() {
    if (graph_) calls->releaseGraph(0, graph_);
  }

  // Most keys are zeros; some of the first and the middle slab are not, and none that a window sees.
  void fill(int length) {
    int turn = 0;
    for (int first : {0, length / 2, length - windowed}) {
      const int count = turn < 2 ? 40 : windowed;
      Values k(DType::BFloat16, {1, count, 1, headDim}, 50 + turn),
          v(DType::BFloat16, {1, count, 1, headDim}, 60 + turn);
      run(name_,
          [&](Parallel& parallel) { table->cacheAppend(appended(first, first + count, k, v, nullptr), parallel); });
      keep(first, k.values, v.values);
      ++turn;
    }
  }
  // Op by op, as the first tokens are
  void plain(int position) {
    take(position);
    const Window kind = window({1, position + 1, numHeads, 1, headDim}, before_);
    run(name_, [&](Parallel& parallel) {
      turnAndAppend(position, position + 1, nullptr, parallel);
      attend(position + 1, kind, nullptr, parallel);
    });
    judge(position);
  }
  bool record(int position) {
    Parallel parallel;
    const int* lengthAt = static_cast<const int*>(step_.data()) + 1;
    calls->clearError();
    require(calls->beginCapture() == 0, name_);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the neighbour must wait
    turnAndAppend(position, room_, lengthAt, parallel);
    attend(room_, window({1, room_, numHeads, 1, headDim}, before_), lengthAt, parallel);
    graph_ = calls->endCapture();
    int ignored;
    const char* error = calls->error(&ignored);
    return check(graph_ && error[0] == '\0', "%s: %s", name_, error);
  }
  void replay(int position) {
    take(position);
    require(calls->runGraph(graph_) == 0 && calls->synchronise() == 0, name_);
    judge(position);
  }

 private:
  static KVCacheView shape() {
    KVCacheView view;
    view.dtype = DType::BFloat16, view.numKVHeads = 1, view.headDim = view.valueDim = headDim;
    return view;
  }
  CacheAppendArgs appended(int position, int length, const Values& k, const Values& v, const int* lengthAt) {
    KVCacheView view = slabs_.view;
    view.length = length, view.lengthAt = lengthAt;
    return {view, position, k.view(), v.view(), k.view()};
  }
  void turnAndAppend(int position, int length, const int* lengthAt, Parallel& parallel) {
    TensorView at = step_.view();
    at.data = static_cast<int*>(at.data) + 1, at.shape[0] = 1;
    RopeArgs rope{q_.view(), at, frequencies.data(), int64_t(frequencies.size()), 1, false, 1, 0, turned_.view()};
    table->ropeAppend({rope, appended(position, length, k_, v_, lengthAt)}, parallel);
  }
  void attend(int length, const Window& kind, const int* lengthAt, Parallel& parallel) {
    const Sizes s = {1, length, numHeads, 1, headDim};
    const Pattern pattern(kind);
    AttentionArgs args = argumentsOf(s, turned_, out_, pattern);
    args.cache = slabs_.view;
    args.cache.length = length, args.cache.lengthAt = lengthAt;
    table->attention(args, parallel);
  }
  void keep(int position, const std::vector<double>& k, const std::vector<double>& v) {
    std::copy(k.begin(), k.end(), keys_.begin() + int64_t(position) * headDim);
    std::copy(v.begin(), v.end(), values_.begin() + int64_t(position) * headDim);
  }
  static std::vector<double> turnedBy(int position, std::vector<double> heads) {
    for (size_t at = 0; at < heads.size(); at += headDim) turn(&heads[at], position, frequencies, 1, false);
    return rounded(DType::BFloat16, std::move(heads));
  }
  void take(int position) {
    q_.fill(unsigned(position) * 3 + 1, 2), k_.fill(unsigned(position) * 3 + 2), v_.fill(unsigned(position) * 3 + 3, 8);
    step_.write({double(7 + position), double(position)});
    keep(position, turnedBy(position, k_.values), v_.values);
  }
  void judge(int position) {
    std::vector<double> expected(numHeads * headDim);
    const std::vector<double> q = turnedBy(position, q_.values);
    const int first = std::max(0, position - before_);
    for (int head = 0; head < numHeads; ++head) {
      double total = 0;
      for (int key = first; key <= position; ++key) {
        double score = 0;
        for (int d = 0; d < headDim; ++d)
          score += q[head * headDim + d] * keys_[size_t(key) * headDim + d] / std::sqrt(double(headDim));
        const double weight = std::exp(score);
        total += weight;
        for (int d = 0; d < headDim; ++d) expected[head * headDim + d] += weight * values_[size_t(key) * headDim + d];
      }
      for (int d = 0; d < headDim; ++d) expected[head * headDim + d] /= total;
    }
    compare((std::string(name_) + ", key " + std::to_string(position)).c_str(), out_, expected);
  }

  const char* name_;
  int room_, before_;
  Slabs slabs_;
  std::vector<double> keys_, values_;
  Values step_{DType::Int32, {2}, 0}, q_{DType::BFloat16, {1, 1, numHeads, headDim}, 0},
      k_{DType::BFloat16, {1, 1, 1, headDim}, 0}, v_{DType::BFloat16, {1, 1, 1, headDim}, 0},
      turned_{DType::BFloat16, {1, 1, numHeads, headDim}, 0}, out_{DType::BFloat16, {1, 1, numHeads, headDim}, 0};
  void* graph_ = nullptr;
};

// More than one piece of pinned memory, after a capture
void transfer() {
  std::vector<int> sent(3 << 20), received(sent.size());
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = int(i * 2654435761u);
  Memory memory(sent.size() * sizeof(int));
  require(calls->upload(memory.data(), sent.data(), sent.size() * sizeof(int)) == 0, "an upload after a capture");
  require(calls->download(received.data(), memory.data(), sent.size() * sizeof(int)) == 0,
          "a download after a capture");
  check(sent == received, "what was uploaded after a capture came back differently");
}

// The replays reach into the last slab
void decode(const char* name, int numSlabs, int before) {
  const Neighbour neighbour;
  const int first = (numSlabs - 1) * KVCacheView::keysPerSlab - 3;
  Decoding decoding(name, numSlabs, before);
  decoding.fill(first);
  decoding.plain(first);
  const bool recorded = decoding.record(first + 1);
  neighbour.await();  // the end of the capture lets it go on
  transfer();
  for (int i = 1; recorded && i <= runs; ++i) decoding.replay(first + i);
}

}  // namespace

void replayCases() {
  decode("a graph, 2 slabs, causal", 2, Window::unbounded);
  decode("a graph, 2 slabs, window", 2, 100);
  decode("a graph, 65 slabs, window", 65, windowed - 1);
  decode("a graph, 65 slabs, causal", 65, Window::unbounded);
}

}  // namespace longspan::sanitize
