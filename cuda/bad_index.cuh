// Where a kernel finds an index outside its range: the lowest such place of a call, for EmbeddingArgs and NllArgs.
#pragma once
#include "kernels.h"

namespace longspan::cuda {

// On the device, all bits set at first: −1 for the host, the highest place for the kernel.
using Place = unsigned long long;

__device__ inline void keepLowest(Place* kept, int64_t place) {
  if (kept) atomicMin(kept, Place(place));
}

// run(kept) launches the kernel; *badIndex is then what it found. Waits for the device.
template <class F>
void findBadIndex(const char* what, int64_t* badIndex, const F& run) {
  if (!badIndex) {  // nobody asks
    run(nullptr);
    return;
  }
  Scratch scratch(sizeof(Place));
  if (!scratch) return;
  Place* kept = scratch.as<Place>();
  if (!succeeded(cudaMemsetAsync(kept, 0xff, sizeof(Place), stream()), what) || !run(kept)) return;
  copyToHost(badIndex, kept, sizeof(Place));
}

}  // namespace longspan::cuda
