// What threads of a block have beside C++: who they are, barriers, collectives of a warp, atomics. A collective waits
// until all lanes of its mask have arrived; the last computes the results of all (emulator.cc).
#pragma once
#include "cuda_runtime.h"

extern uint3 threadIdx, blockIdx;  // of the thread that runs now
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace longspan::emulator {

struct Lane {
  alignas(16) unsigned char operand[48];
  alignas(16) unsigned char result[16];
};
using Finish = void (*)(Lane* lanes, unsigned mask);

[[noreturn]] void fail(const char* what, ...) __attribute__((format(printf, 1, 2)));
// The threads of the block that call this meet; the sum of their votes.
int barrier(const char* name, int vote);
// The lanes of `mask` meet; finish(…) by the last of them. Where the result of this lane is, until its next collective.
const void* collective(const char* name, unsigned mask, const void* operand, size_t bytes, Finish finish);
unsigned laneIndex();
unsigned livingLanes();
void yield();     // another thread may run now
void atAtomic();  // yields where the order is random

template <class T>
T& operandOf(Lane& lane) {
  static_assert(sizeof(T) <= sizeof lane.operand);
  return *reinterpret_cast<T*>(lane.operand);
}
template <class T>
T& resultOf(Lane& lane) {
  static_assert(sizeof(T) <= sizeof lane.result);
  return *reinterpret_cast<T*>(lane.result);
}
template <class Result, class Operand>
Result meet(const char* name, unsigned mask, const Operand& operand, Finish finish) {
  return *static_cast<const Result*>(collective(name, mask, &operand, sizeof operand, finish));
}

struct Exchange {
  uint64_t bits;
  unsigned source;
};
inline void exchange(Lane* lanes, unsigned mask) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    const unsigned source = operandOf<Exchange>(lanes[lane]).source;
    if (!(mask >> source & 1))
      fail("a shuffle: lane %u reads lane %u, which takes no part (mask %08x)", lane, source, mask);
    resultOf<uint64_t>(lanes[lane]) = operandOf<Exchange>(lanes[source]).bits;
  }
}
template <class T>
T shuffle(const char* name, unsigned mask, T value, unsigned source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  Exchange mine{0, source};
  std::memcpy(&mine.bits, &value, sizeof value);
  const uint64_t bits = meet<uint64_t>(name, mask, mine, exchange);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned segment(int width) {  // the first lane of this lane's
  if (width < 1 || width > 32 || (width & (width - 1))) fail("a shuffle: width %d", width);
  return laneIndex() & ~unsigned(width - 1);
}

template <class T, class F>
void reduceLanes(Lane* lanes, unsigned mask, F f) {
  unsigned first = unsigned(__builtin_ctz(mask));
  T all = operandOf<T>(lanes[first]);
  for (unsigned lane = first + 1; lane < 32; ++lane) {
    if (mask >> lane & 1) all = f(all, operandOf<T>(lanes[lane]));
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) resultOf<T>(lanes[lane]) = all;
  }
}
inline unsigned ballot(const char* name, unsigned mask, bool vote) {
  return meet<unsigned>(name, mask, unsigned(vote) << laneIndex(), [](Lane* lanes, unsigned mask) {
    reduceLanes<unsigned>(lanes, mask, [](unsigned a, unsigned b) { return a | b; });
  });
}

template <class T>
inline constexpr bool isAtomic =
    std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long> ||
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, long long>;
template <class T, class F>
T atomic(T* at, F f) {
  static_assert(isAtomic<T>, "CUDA has no such atomic");
  atAtomic();
  const T before = *at;
  *at = f(before);
  return before;
}

}  // namespace longspan::emulator

inline void __syncthreads() { longspan::emulator::barrier("__syncthreads", 0); }
inline int __syncthreads_count(int vote) { return longspan::emulator::barrier("__syncthreads_count", vote != 0); }
inline int __syncthreads_or(int vote) { return longspan::emulator::barrier("__syncthreads_or", vote != 0) != 0; }
inline int __syncthreads_and(int vote) { return longspan::emulator::barrier("__syncthreads_and", vote == 0) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  longspan::emulator::collective("__syncwarp", mask, nullptr, 0, [](longspan::emulator::Lane*, unsigned) {});
}
inline unsigned __activemask() { return longspan::emulator::livingLanes(); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) { longspan::emulator::yield(); }
[[noreturn]] inline void __trap() { longspan::emulator::fail("__trap"); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned from = longspan::emulator::segment(width) + (unsigned(source) & unsigned(width - 1));
  return longspan::emulator::shuffle("__shfl_sync", mask, value, from);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const unsigned first = longspan::emulator::segment(width), lane = longspan::emulator::laneIndex();
  const unsigned from = lane ^ unsigned(bits);  // later segments are out of reach, earlier ones are not
  return longspan::emulator::shuffle("__shfl_xor_sync", mask, value, from < first + unsigned(width) ? from : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned first = longspan::emulator::segment(width), lane = longspan::emulator::laneIndex();
  const bool within = by < unsigned(width) && lane + by < first + unsigned(width);
  return longspan::emulator::shuffle("__shfl_down_sync", mask, value, within ? lane + by : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned first = longspan::emulator::segment(width), lane = longspan::emulator::laneIndex();
  return longspan::emulator::shuffle("__shfl_up_sync", mask, value, lane - first >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int vote) {
  return longspan::emulator::ballot("__ballot_sync", mask, vote != 0);
}
inline int __any_sync(unsigned mask, int vote) {
  return longspan::emulator::ballot("__any_sync", mask, vote != 0) != 0;
}
inline int __all_sync(unsigned mask, int vote) {
  return longspan::emulator::ballot("__all_sync", mask, vote == 0) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  using namespace longspan::emulator;
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return meet<unsigned>("__match_any_sync", mask, bits, [](Lane* lanes, unsigned mask) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      unsigned same = 0;
      for (unsigned other = 0; other < 32; ++other) {
        same |= unsigned((mask >> other & 1) && operandOf<uint64_t>(lanes[other]) == operandOf<uint64_t>(lanes[lane]))
                << other;
      }
      if (mask >> lane & 1) resultOf<unsigned>(lanes[lane]) = same;
    }
  });
}
#define LONGSPAN_REDUCE(name, type, expression)                                        \
  inline type name(unsigned mask, type value) {                                        \
    using namespace longspan::emulator;                                                \
    return meet<type>(#name, mask, value, [](Lane* lanes, unsigned mask) {             \
      reduceLanes<type>(lanes, mask, [](type a, type b) { return type(expression); }); \
    });                                                                                \
  }
LONGSPAN_REDUCE(__reduce_add_sync, unsigned, a + b)
LONGSPAN_REDUCE(__reduce_add_sync, int, unsigned(a) + unsigned(b))
LONGSPAN_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
LONGSPAN_REDUCE(__reduce_min_sync, int, a < b ? a : b)
LONGSPAN_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
LONGSPAN_REDUCE(__reduce_max_sync, int, a > b ? a : b)
LONGSPAN_REDUCE(__reduce_and_sync, unsigned, a& b)
LONGSPAN_REDUCE(__reduce_or_sync, unsigned, a | b)
LONGSPAN_REDUCE(__reduce_xor_sync, unsigned, a ^ b)

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T x) {
    if constexpr (std::is_same_v<T, int>) return int(unsigned(x) + unsigned(value));  // wraps
    return T(x + value);
  });
}
template <class T>
T atomicSub(T* at, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T x) { return T(unsigned(x) - unsigned(value)); });
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "CUDA has no such atomic");
  return longspan::emulator::atomic(at, [&](T x) { return x > value ? x : value; });
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "CUDA has no such atomic");
  return longspan::emulator::atomic(at, [&](T x) { return x < value ? x : value; });
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T x) { return x == expected ? value : x; });
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T x) { return T(x | value); });
}
template <class T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  return longspan::emulator::atomic(at, [&](T x) { return T(x & value); });
}

template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
T __ldcs(const T* at) {
  return *at;
}
template <class T>
T __ldcg(const T* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
}
template <class T>
void __stcg(T* at, T value) {
  *at = value;
}
