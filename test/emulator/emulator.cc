// Blocks run one after another; the threads of a block are fibers of the thread that launched. Which of those that can
// go on does so next is LONGSPAN_EMULATOR_ORDER: 0 the lowest, 1 the highest, else a random one of that seed.
#include "emulator.h"

#include <emulated_ptx.h>

#include <dlfcn.h>

#include <cstdarg>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace longspan::emulator {

Block block;

namespace {

Fiber host;
Thread threads[maxThreads];
Thread* current = nullptr;

unsigned numThreads = 0, unfinished = 0;
uint32_t runnable[maxWarps];  // a bit for each lane
uint32_t runnableWarps = 0;   // a bit for each word of the above
Warp warps[maxWarps];

const char* barrierName = nullptr;
unsigned barrierArrived = 0;
int barrierVotes = 0, barrierSum = 0;

uint64_t order = 0, randomState = 1;
const void* kernelAddress = nullptr;
void (*threadCall)(void*) = nullptr;
void* threadContext = nullptr;

uint32_t random32() {
  randomState ^= randomState << 13;
  randomState ^= randomState >> 7;
  randomState ^= randomState << 17;
  return uint32_t(randomState >> 32);
}
// One of the bits set, by the order.
unsigned choose(uint32_t bits) {
  if (order == 0) return unsigned(__builtin_ctz(bits));
  if (order == 1) return 31 - unsigned(__builtin_clz(bits));
  const uint32_t later = bits & ~0u << (random32() & 31);
  return unsigned(__builtin_ctz(later ? later : bits));
}

void allow(unsigned warp, uint32_t lanes) {
  runnable[warp] |= lanes;
  if (lanes) runnableWarps |= 1u << warp;
}
void forbid(const Thread& thread) {
  runnable[thread.warp] &= ~(1u << thread.lane);
  if (!runnable[thread.warp]) runnableWarps &= ~(1u << thread.warp);
}

void printKernel() {
  Dl_info info;
  if (!dladdr(kernelAddress, &info)) return void(std::fprintf(stderr, "kernel %p", kernelAddress));
  const auto* base = static_cast<const char*>(info.dli_fbase);
  std::fprintf(stderr, "kernel %s (%s+0x%zx)", info.dli_sname ? info.dli_sname : "", info.dli_fname,
               size_t(static_cast<const char*>(kernelAddress) - base));
}
void printThreads(const Warp& warp, uint32_t lanes) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(lanes >> lane & 1)) continue;
    const uint3 at = threads[size_t(&warp - warps) * 32 + lane].index;
    std::fprintf(stderr, " (%u, %u, %u)", at.x, at.y, at.z);
  }
}

[[noreturn]] void failDeadlocked() {
  std::fprintf(stderr,
               "longspan emulator: deadlock: no thread of the block can go on. %u of %u threads have returned.\n",
               numThreads - unfinished, numThreads);
  if (barrierArrived) std::fprintf(stderr, "  %u threads wait at %s\n", barrierArrived, barrierName);
  for (const Warp& warp : warps) {
    for (unsigned i = 0; i < warp.numMeetings; ++i) {
      const Meeting& meeting = warp.meetings[i];
      std::fprintf(stderr, "  in %s, mask %08x, wait", meeting.name, meeting.mask);
      printThreads(warp, meeting.arrived);
      std::fprintf(stderr, " for");
      printThreads(warp, meeting.mask & ~meeting.arrived);
      std::fputc('\n', stderr);
    }
  }
  fail("deadlock");
}

// Another thread goes on, or this one again if it can and is chosen.
void goOn() {
  if (!runnableWarps) failDeadlocked();
  const unsigned warp = choose(runnableWarps), lane = choose(runnable[warp]);
  Thread& next = threads[warp * 32 + lane];
  if (&next == current) return;
  Thread& self = *current;
  current = &next;
  threadIdx = next.index;
  self.fiber.switchTo(next.fiber);
}

void releaseBarrier() {
  if (!barrierArrived || barrierArrived != unfinished) return;
  for (unsigned warp = 0; warp * 32 < numThreads; ++warp) allow(warp, std::exchange(warps[warp].atBarrier, 0u));
  barrierSum = barrierVotes;
  barrierVotes = 0;
  barrierArrived = 0;
}

// Whoever of the warp waits for this thread in a collective waits for ever.
void failIfAwaited(const char* what) {
  const Warp& warp = warps[current->warp];
  for (unsigned i = 0; i < warp.numMeetings; ++i) {
    const Meeting& meeting = warp.meetings[i];
    if (meeting.mask >> current->lane & 1) {
      std::fprintf(stderr, "longspan emulator: in %s, mask %08x, wait", meeting.name, meeting.mask);
      printThreads(warp, meeting.arrived);
      std::fputc('\n', stderr);
      fail("%s: %s, but lanes of its warp wait for it", meeting.name, what);
    }
  }
}

// The life of a fiber: a thread of this block, then of the next.
void runThreads() {
  current->fiber.arrived();
  for (;;) {
    threadCall(threadContext);
    commitCopies();
    completeCopies(*current, 0);
    failIfAwaited("the thread has returned");
    forbid(*current);
    warps[current->warp].finished |= 1u << current->lane;
    --unfinished;
    releaseBarrier();
    if (unfinished) {
      goOn();
    } else {
      current->fiber.switchTo(host);
    }
  }
}

void prepareThreads(dim3 size) {
  numThreads = size.x * size.y * size.z;
  for (unsigned i = 0; i < numThreads; ++i) {
    Thread& thread = threads[i];
    thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    thread.warp = i / 32;
    thread.lane = i % 32;
    if (!thread.fiber.exists()) thread.fiber.create(runThreads, i);
  }
}

void runBlock() {
  unfinished = numThreads;
  for (unsigned warp = 0; warp * 32 < numThreads; ++warp) {
    const unsigned lanes = std::min(32u, numThreads - warp * 32);
    warps[warp].exists = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps[warp].finished = warps[warp].atBarrier = warps[warp].numMeetings = 0;
    allow(warp, warps[warp].exists);
  }
  const unsigned warp = choose(runnableWarps), lane = choose(runnable[warp]);
  current = &threads[warp * 32 + lane];
  threadIdx = current->index;
  host.switchTo(current->fiber);
  current = nullptr;
}

}  // namespace

Thread& currentThread() { return *current; }

void fail(const char* what, ...) {
  std::fprintf(stderr, "longspan emulator: ");
  printKernel();
  std::fprintf(stderr, ", block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
               threadIdx.y, threadIdx.z);
  va_list rest;
  va_start(rest, what);
  std::vfprintf(stderr, what, rest);
  va_end(rest);
  std::fputc('\n', stderr);
  std::abort();
}

void yield() { goOn(); }
void atAtomic() {
  if (order > 1) goOn();
}
unsigned laneIndex() { return current->lane; }
unsigned livingLanes() { return warps[current->warp].exists & ~warps[current->warp].finished; }

int barrier(const char* name, int vote) {
  failIfAwaited("the thread comes to a barrier of the block");
  if (barrierArrived && std::strcmp(barrierName, name) != 0)
    fail("%s: others of the block wait at %s", name, barrierName);
  barrierName = name;
  barrierVotes += vote;
  ++barrierArrived;
  warps[current->warp].atBarrier |= 1u << current->lane;
  forbid(*current);
  releaseBarrier();
  goOn();
  return barrierSum;
}

const void* collective(const char* name, unsigned mask, const void* operand, size_t bytes, Finish finish) {
  Warp& warp = warps[current->warp];
  const uint32_t self = 1u << current->lane;
  Lane& lane = warp.lanes[current->lane];
  if (!(mask & self)) fail("%s: mask %08x without the lane itself, %u", name, mask, current->lane);
  mask &= warp.exists;
  if (mask & warp.finished) fail("%s: lanes %08x of the warp have returned", name, mask & warp.finished);
  if (mask & warp.atBarrier) fail("%s: lanes %08x of the warp wait at %s", name, mask & warp.atBarrier, barrierName);

  unsigned at = warp.numMeetings;
  for (unsigned i = 0; i < warp.numMeetings; ++i) {
    const Meeting& other = warp.meetings[i];
    if (other.mask == mask && std::strcmp(other.name, name) == 0) {
      at = i;
    } else if ((other.mask & self) && (other.arrived & mask)) {
      fail("%s, mask %08x: lanes %08x of the warp wait for this one in %s, mask %08x", name, mask, other.arrived & mask,
           other.name, other.mask);
    }
  }
  if (at == warp.numMeetings) warp.meetings[warp.numMeetings++] = {name, mask, 0};
  Meeting& meeting = warp.meetings[at];
  if (bytes) std::memcpy(lane.operand, operand, bytes);
  meeting.arrived |= self;
  if (meeting.arrived == mask) {
    warp.meetings[at] = warp.meetings[--warp.numMeetings];
    finish(warp.lanes, mask);
    allow(current->warp, mask);
  } else {
    forbid(*current);
  }
  goOn();
  return lane.result;
}

void runGrid(dim3 grid, dim3 size, size_t sharedBytes, const void* kernel, void (*call)(void*), void* context) {
  const char* asked = std::getenv("LONGSPAN_EMULATOR_ORDER");
  order = asked ? std::strtoull(asked, nullptr, 10) : 0;
  randomState = order * 0x9e3779b97f4a7c15 | 1;
  kernelAddress = kernel;
  threadCall = call;
  threadContext = context;
  gridDim = grid;
  blockDim = size;
  if (sharedBytes && posix_memalign(reinterpret_cast<void**>(&block.shared), 128, sharedBytes) != 0) std::abort();
  prepareThreads(size);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        if (sharedBytes) std::memset(block.shared, 0xff, sharedBytes);
        runBlock();
      }
    }
  }
  std::free(std::exchange(block.shared, nullptr));
}

}  // namespace longspan::emulator
