// What the parts of the emulator share: threads, warps and the block that runs.
#pragma once
#include <cuda_runtime.h>

#include "fiber.h"

namespace longspan::emulator {

inline constexpr unsigned maxThreads = 1024, maxWarps = maxThreads / 32;

struct Copy {  // of 16 bytes, asynchronous
  void* to;
  const void* from;  // null: zeros
  uint64_t group;
};
struct Thread {
  Fiber fiber;
  uint3 index;
  unsigned warp, lane;
  std::vector<Copy> copies;  // not done yet, in order
  uint64_t groups = 0;       // committed
};
struct Meeting {  // a collective some lanes have come to
  const char* name;
  uint32_t mask, arrived;
};
struct Warp {
  Lane lanes[32];
  Meeting meetings[32];
  unsigned numMeetings;
  uint32_t exists, finished, atBarrier;
};
struct Block {
  unsigned char* shared = nullptr;  // dynamic shared memory
};
extern Block block;

Thread& currentThread();
// Does what is under way but the `late` groups committed last, and what is not committed; at the end of a thread all.
void completeCopies(Thread& thread, uint64_t late);

}  // namespace longspan::emulator
