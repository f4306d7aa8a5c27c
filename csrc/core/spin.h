// Looking a little before sleeping: to sleep and be woken costs several microseconds on each side.
#pragma once

namespace longspan {

constexpr int spinsBeforeSleep = 1000;  // about 10 µs where a pause takes 40 cycles

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Until `waiting` is false, or it took too long.
template <class Waiting>
void spinWhile(const Waiting& waiting) {
  for (int spins = 0; spins < spinsBeforeSleep && waiting(); ++spins) pause();
}

}  // namespace longspan
