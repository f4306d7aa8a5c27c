// The instructions that C++ has no name for: asynchronous copies to shared memory, loads of fragments, products of the
// tensor cores. All are of sm_80 and later. Tests that run kernels on the CPU bring their own (test/emulator).
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#ifdef LONGSPAN_EMULATOR
#include <emulated_ptx.h>
#else

namespace longspan::cuda {

// The start of the block's dynamic shared memory.
__device__ __forceinline__ unsigned char* dynamicShared() {
  extern __shared__ __align__(128) unsigned char dynamicSharedMemory[];
  return dynamicSharedMemory;
}
__device__ __forceinline__ uint32_t sharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// 16 bytes, both sides aligned to 16; not valid: zeros, and `global` is not read. They are there after commitCopies(),
// waitCopies() and, for other threads, a barrier.
__device__ __forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most the N groups committed last are under way.
template <int N>
__device__ __forceinline__ void waitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Four matrices of 8 × 8 values of 16 bits: lane l passes the address of row l % 8 of matrix l / 8, and gets from each
// matrix row l / 4, columns 2 (l % 4) and the next.
__device__ __forceinline__ void loadMatrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}
// The same of the transposed matrices: column l / 4, rows 2 (l % 4) and the next.
__device__ __forceinline__ void loadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}

// d[16, 8] += a[16, 16] b[16, 8] of a warp, summed in float32. With g = lane / 4 and t = 2 (lane % 4):
// a: (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8) and the next column each; b: (t, g), (t + 8, g) and the next row;
// d: (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
template <class T>
__device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// 2^x to about 2 units in the last place; numbers below 2^-126 count as 0.
__device__ __forceinline__ float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace longspan::cuda

#endif
