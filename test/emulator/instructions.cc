// The instructions of cuda/ptx.cuh: copies that come late, loads of fragments, products of a warp.
#include <emulated_ptx.h>

#include "emulator.h"

namespace longspan::emulator {
namespace {

typedef float Row __attribute__((vector_size(32)));  // a row of b or d

void requireAligned(const char* what, const void* address) {
  if (reinterpret_cast<uintptr_t>(address) % 16) fail("%s: %p is not aligned to 16 bytes", what, address);
}
void perform(const Copy& copy) {
  if (copy.from) {
    std::memcpy(copy.to, copy.from, 16);
  } else {
    std::memset(copy.to, 0, 16);
  }
}

struct MatrixRow {
  const unsigned char* address;
};
template <bool transposed>
void loadAll(Lane* lanes, unsigned) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
      unsigned short pair[2];
      for (unsigned i = 0; i < 2; ++i) {
        const unsigned inner = lane % 4 * 2 + i, row = transposed ? inner : lane / 4;
        const unsigned column = transposed ? lane / 4 : inner;
        std::memcpy(&pair[i], operandOf<MatrixRow>(lanes[matrix * 8 + row]).address + 2 * column, 2);
      }
      std::memcpy(lanes[lane].result + 4 * matrix, pair, 4);
    }
  }
}

struct Operands {
  float d[4];
  uint32_t a[4], b[2];
};
template <bool isHalf>
float valueOf(uint32_t pair, unsigned index) {
  const auto bits = static_cast<unsigned short>(pair >> 16 * index);
  return isHalf ? fromHalf(bits) : fromBFloat16(bits);
}
// Sums in float32 in the order of k. The device adds several products at once, and cuts where we round.
template <bool isHalf>
void multiplyAll(Lane* lanes, unsigned) {
  float a[16][16], b[16][8], d[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Operands& own = operandOf<Operands>(lanes[lane]);
    const unsigned g = lane / 4, t = lane % 4 * 2;
    for (unsigned i = 0; i < 2; ++i) {
      a[g][t + i] = valueOf<isHalf>(own.a[0], i);
      a[g + 8][t + i] = valueOf<isHalf>(own.a[1], i);
      a[g][t + 8 + i] = valueOf<isHalf>(own.a[2], i);
      a[g + 8][t + 8 + i] = valueOf<isHalf>(own.a[3], i);
      b[t + i][g] = valueOf<isHalf>(own.b[0], i);
      b[t + 8 + i][g] = valueOf<isHalf>(own.b[1], i);
      d[g][t + i] = own.d[i];
      d[g + 8][t + i] = own.d[2 + i];
    }
  }
  for (unsigned m = 0; m < 16; ++m) {
    Row sum, row;
    std::memcpy(&sum, d[m], sizeof sum);
    for (unsigned k = 0; k < 16; ++k) {
      std::memcpy(&row, b[k], sizeof row);
      sum += a[m][k] * row;
    }
    std::memcpy(d[m], &sum, sizeof sum);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned g = lane / 4, t = lane % 4 * 2;
    const float own[4] = {d[g][t], d[g][t + 1], d[g + 8][t], d[g + 8][t + 1]};
    std::memcpy(lanes[lane].result, own, sizeof own);
  }
}

// These take a whole warp, unlike a vote.
const void* wholeWarp(const char* name, const void* operand, size_t bytes, Finish finish) {
  if (livingLanes() != 0xffffffffu) fail("%s: only the lanes %08x of the warp are there", name, livingLanes());
  return collective(name, 0xffffffffu, operand, bytes, finish);
}

}  // namespace

unsigned char* dynamicShared() { return block.shared; }

// Until it is waited for, NaN is what others see: old data could be right by accident.
void copyAsync16(void* shared, const void* global, bool valid) {
  requireAligned("copyAsync16, to", shared);
  if (valid) requireAligned("copyAsync16, from", global);
#if defined(__SANITIZE_ADDRESS__)
  if (valid) {  // a report then shows who asked for it
    unsigned char probe[16];
    std::memcpy(probe, global, sizeof probe);
    asm volatile("" ::"r"(probe) : "memory");
  }
#endif
  std::memset(shared, 0xff, 16);
  Thread& thread = currentThread();
  thread.copies.push_back({shared, valid ? global : nullptr, thread.groups});
}
void commitCopies() { ++currentThread().groups; }
void waitCopies(int groups) { completeCopies(currentThread(), uint64_t(groups)); }

void completeCopies(Thread& thread, uint64_t late) {
  size_t done = 0;
  while (done < thread.copies.size() && thread.copies[done].group + late < thread.groups) {
    perform(thread.copies[done++]);
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + std::ptrdiff_t(done));
}

void loadMatrices(uint32_t (&r)[4], const void* row, bool transposed) {
  const char* name = transposed ? "loadMatricesTransposed" : "loadMatrices";
  requireAligned(name, row);
  const MatrixRow own{static_cast<const unsigned char*>(row)};
  std::memcpy(r, wholeWarp(name, &own, sizeof own, transposed ? loadAll<true> : loadAll<false>), sizeof r);
}

void multiply(const char* name, float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool isHalf) {
  const Operands own{{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  std::memcpy(d, wholeWarp(name, &own, sizeof own, isHalf ? multiplyAll<true> : multiplyAll<false>), sizeof d);
}

}  // namespace longspan::emulator
