// A pattern says which keys a query may see. It is the only thing that differs between full, causal, window and
// sink attention: a kernel walks query tiles and key tiles, and masks only where a tile is Partial.
// Host and device, pure. Queries and keys are rows of a sequence; `offset` aligns the last query with the last key.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define LONGSPAN_HD __host__ __device__ __forceinline__
#else
#define LONGSPAN_HD [[gnu::always_inline]] inline
#endif

namespace longspan {

struct Rows {  // rows of a sequence: contiguous, strided, or gathered (LSH buckets)
  int start = 0, count = 0, stride = 1;
  const int* index = nullptr;
  LONGSPAN_HD int operator[](int i) const {
    int at = start + i * stride;
    return index ? index[at] : at;
  }
};

enum class Cover { None, Partial, Full };

LONGSPAN_HD int ceilDiv(int a, int b) { return (a + b - 1) / b; }
LONGSPAN_HD int minOf(int a, int b) { return a < b ? a : b; }
LONGSPAN_HD int maxOf(int a, int b) { return a > b ? a : b; }

}  // namespace longspan
