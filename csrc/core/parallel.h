// What a kernel may use of the machine: threads, scratch memory, and the wish to stop. Plain function pointers, so
// that ISA files need nothing of the standard library (house.md 1.6: one export, no weak symbols).
#pragma once
#include <cstddef>
#include <cstdint>

namespace longspan {

struct Parallel {
  int numThreads = 1;
  const unsigned char* cancelRequested = nullptr;  // set by another thread; may be null
  // Calls body(context, item, thread) once for every item in [0, count). Items are taken in ascending order from one
  // counter, 0 <= thread < numThreads. After a cancellation no further item is begun.
  void (*runItems)(Parallel&, int64_t count, void (*body)(void* context, int64_t item, int thread),
                   void* context) = nullptr;
  // Makes `bytes` of 64-byte aligned scratch available to every thread; throws Error{OutOfMemory}. Call it before run.
  // The addresses stay valid until the next reserve. `shared` is one more block, the same for all threads.
  void (*reserveScratch)(Parallel&, size_t bytesPerThread, size_t sharedBytes) = nullptr;
  unsigned char* (*threadScratch)(Parallel&, int thread) = nullptr;
  unsigned char* (*sharedScratch)(Parallel&) = nullptr;

  [[gnu::always_inline]] bool cancelled() const {
    return cancelRequested && __atomic_load_n(cancelRequested, __ATOMIC_RELAXED);
  }
};

namespace {
// f(item, thread) for every item
template <class F>
[[gnu::always_inline]] inline void parallelFor(Parallel& parallel, int64_t count, const F& f) {
  struct Call {
    static void body(void* context, int64_t item, int thread) { (*static_cast<const F*>(context))(item, thread); }
  };
  parallel.runItems(parallel, count, &Call::body, const_cast<void*>(static_cast<const void*>(&f)));
}
}  // namespace

}  // namespace longspan
