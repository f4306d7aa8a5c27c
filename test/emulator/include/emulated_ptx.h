// cuda/ptx.cuh for the emulator: the same functions, by what the PTX ISA says of the instructions.
#pragma once
#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace longspan::emulator {

unsigned char* dynamicShared();
void copyAsync16(void* shared, const void* global, bool valid);  // done when waited for; until then NaN
void commitCopies();
void waitCopies(int groups);
void loadMatrices(uint32_t (&r)[4], const void* row, bool transposed);
void multiply(const char* name, float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool isHalf);

}  // namespace longspan::emulator

namespace longspan::cuda {

__forceinline__ unsigned char* dynamicShared() { return emulator::dynamicShared(); }
__forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
  emulator::copyAsync16(shared, global, valid);
}
__forceinline__ void commitCopies() { emulator::commitCopies(); }
template <int N>
__forceinline__ void waitCopies() {
  static_assert(N >= 0);
  emulator::waitCopies(N);
}
__forceinline__ void loadMatrices(uint32_t (&r)[4], const void* row) { emulator::loadMatrices(r, row, false); }
__forceinline__ void loadMatricesTransposed(uint32_t (&r)[4], const void* row) { emulator::loadMatrices(r, row, true); }
template <class T>
__forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  const bool isHalf = std::is_same_v<T, __half>;
  emulator::multiply(isHalf ? "multiply<__half>" : "multiply<__nv_bfloat16>", d, a, b0, b1, isHalf);
}
// As the device's, denormals count as zero.
__forceinline__ float exp2Fast(float x) {
  const float y = exp2f(x);
  return y < FLT_MIN ? 0 : y;
}

}  // namespace longspan::cuda
