// Of small functions that a CPU's kernels and a GPU's share: always inline, so that no CPU kernel leaves a weak symbol.
#pragma once

#ifdef __CUDACC__
#define LONGSPAN_HD __host__ __device__ __forceinline__
#else
#define LONGSPAN_HD [[gnu::always_inline]] inline
#endif
