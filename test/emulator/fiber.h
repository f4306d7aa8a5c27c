// A thread of the device on a stack of its own, and the switch from one to another. No system calls: a barrier of a
// block is hundreds of switches.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#error "ThreadSanitizer would make switches a hundred times slower: compile this with -fno-sanitize=thread"
#endif

namespace longspan::emulator {

// Saves what a call must keep, leaves its stack in *saved, and goes on where `next` was left (fiber.cc).
extern "C" void longspanSwitchStack(void** saved, void* next);
#if defined(__x86_64__)
inline constexpr int savedWords = 8, returnWord = 6;  // after the address to return to, a word keeps the alignment
#else
inline constexpr int savedWords = 20, returnWord = 1;
#endif

class Fiber {
 public:
  static constexpr size_t stackBytes = 256 << 10;

  // The stack of the caller; switchTo() leaves it.
  Fiber() = default;
  // A stack for `entry`, which must never return. `number` spreads the tops of stacks over the lines of the cache.
  void create(void (*entry)(), unsigned number) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, stackBytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
      std::perror("longspan emulator: a stack");
      std::abort();
    }
    bottom_ = static_cast<unsigned char*>(memory) + page;
    bytes_ = stackBytes;
    auto* words = reinterpret_cast<uint64_t*>(bottom_ + stackBytes - 64 * (1 + number % 64)) - savedWords;
    words[returnWord] = reinterpret_cast<uint64_t>(entry);
    top_ = words;
  }
  bool exists() const { return top_ != nullptr; }

  void switchTo(Fiber& next) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fakeStack_, next.bottom_, next.bytes_);
#endif
    previous = this;
    longspanSwitchStack(&top_, next.top_);
    arrived();
  }
  // First of all on a new stack, and after each switch.
  void arrived() {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fakeStack_, &bottom, &bytes);
    previous->bottom_ = static_cast<unsigned char*>(const_cast<void*>(bottom));  // only here do we learn the caller's
    previous->bytes_ = bytes;
#endif
  }

 private:
  static inline Fiber* previous = nullptr;
  void* top_ = nullptr;
  unsigned char* bottom_ = nullptr;
  size_t bytes_ = 0;
  [[maybe_unused]] void* fakeStack_ = nullptr;
};

}  // namespace longspan::emulator
