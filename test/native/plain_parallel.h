// A Parallel of plain threads for native tests; who waits yields, since there may be fewer cores than threads.
#pragma once
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "core/parallel.h"

class PlainParallel : public longspan::Parallel {
 public:
  explicit PlainParallel(int threads) {
    numThreads = threads;
    runItems = run;
    reserveScratch = reserve;
    threadScratch = ofThread;
    sharedScratch = ofAll;
    blocks.resize(threads + 1);
    for (int t = 1; t < threads; ++t) workers.emplace_back([this, t] { work(t); });
  }
  ~PlainParallel() {
    quit = true;
    ++generation;
    for (auto& w : workers) w.join();
    for (auto& b : blocks) std::free(b.data);
  }
  size_t perThreadBytes = 0, sharedBytes = 0;  // asked for last

 private:
  struct Block {
    unsigned char* data = nullptr;
    size_t size = 0;
  };
  static PlainParallel& self(Parallel& p) { return static_cast<PlainParallel&>(p); }
  static void run(Parallel& p, int64_t count, void (*body)(void*, int64_t, int), void* context) {
    PlainParallel& me = self(p);
    me.body = body;
    me.context = context;
    me.count = count;
    me.next = 0;
    me.done = 0;
    ++me.generation;
    me.items(0);
    while (me.done < p.numThreads - 1) std::this_thread::yield();
  }
  void items(int thread) {
    for (int64_t i; (i = next++) < count && !cancelled();) body(context, i, thread);
  }
  void work(int thread) {
    for (int seen = 0;;) {
      while (generation == seen) std::this_thread::yield();
      ++seen;
      if (quit) return;
      items(thread);
      ++done;
    }
  }
  static void reserve(Parallel& p, size_t perThread, size_t shared) {
    PlainParallel& me = self(p);
    me.perThreadBytes = perThread;
    me.sharedBytes = shared;
    for (int t = 0; t <= p.numThreads; ++t) {
      Block& b = me.blocks[t];
      size_t size = t < p.numThreads ? perThread : shared;
      if (b.size >= size) continue;
      std::free(b.data);
      b.data = static_cast<unsigned char*>(std::aligned_alloc(64, (size + 63) / 64 * 64));
      b.size = size;
    }
  }
  static unsigned char* ofThread(Parallel& p, int t) { return self(p).blocks[t].data; }
  static unsigned char* ofAll(Parallel& p) { return self(p).blocks[p.numThreads].data; }

  std::vector<Block> blocks;
  std::vector<std::thread> workers;
  std::atomic<int> generation{0}, done{0};
  std::atomic<int64_t> next{0};
  std::atomic<bool> quit{false};
  int64_t count = 0;
  void (*body)(void*, int64_t, int) = nullptr;
  void* context = nullptr;
};
