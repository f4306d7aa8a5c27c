// Several tensors of one shape walked together, as csrc/cpu/walk.inl: axes of length 1 are dropped, axes that are one
// run in every tensor are merged. Made on the host, it travels with the launch; a thread asks where its element lies.
#pragma once
#include "kernels.h"

namespace longspan::cuda {

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <int N>
struct Walk {
  int rank = 0;
  int64_t count = 1;  // of elements
  int64_t shape[maxRank] = {};
  int64_t strides[maxRank][N] = {};
};

template <int N>
void appendAxis(Walk<N>& walk, int64_t length, const int64_t (&strides)[N]) {
  walk.count *= length;
  if (length == 1) return;
  bool mergeable = walk.rank > 0;
  for (int t = 0; mergeable && t < N; ++t) mergeable = walk.strides[walk.rank - 1][t] == strides[t] * length;
  if (mergeable) {
    walk.shape[walk.rank - 1] *= length;
  } else {
    walk.shape[walk.rank++] = length;
  }
  for (int t = 0; t < N; ++t) walk.strides[walk.rank - 1][t] = strides[t];
}

// The first `axes` axes of the views, the last view giving the shape; an absent view stands still.
template <int N>
Walk<N> makeWalk(const TensorView* const (&views)[N], int axes) {
  Walk<N> walk;
  for (int axis = 0; axis < axes; ++axis) {
    int64_t strides[N];
    for (int t = 0; t < N; ++t) strides[t] = *views[t] ? views[t]->strides[axis] : 0;
    appendAxis(walk, views[N - 1]->shape[axis], strides);
  }
  return walk;
}

// Whether `width` elements at an address can be moved at once: they travel 16 bytes at a time, or all if fewer.
inline bool isAligned(const void* data, DType dtype, int width) {
  const int bytes = width * sizeOf(dtype);
  return reinterpret_cast<uintptr_t>(data) % (bytes < 16 ? bytes : 16) == 0;
}

// Turns a walk over elements into one over vectors of `width` along the innermost axis; false where a tensor does not
// allow it. A tensor that stands still along that axis does, if `mayRepeat`.
template <int N>
bool takeVectors(Walk<N>& walk, const TensorView* const (&views)[N], int width, bool mayRepeat) {
  const int inner = walk.rank - 1;
  if (inner < 0 || walk.shape[inner] % width != 0) return false;
  for (int t = 0; t < N; ++t) {
    if (mayRepeat && walk.strides[inner][t] == 0) continue;
    if (walk.strides[inner][t] != 1 || !isAligned(views[t]->data, views[t]->dtype, width)) return false;
    for (int axis = 0; axis < inner; ++axis) {
      if (walk.strides[axis][t] % width != 0) return false;
    }
  }
  walk.count /= width;
  walk.shape[inner] /= width;
  for (int t = 0; t < N; ++t) walk.strides[inner][t] *= width;
  return true;
}

// Where element `index` of the walk lies in each tensor
template <int N>
__device__ inline void moveTo(int64_t (&at)[N], const Walk<N>& walk, int64_t index) {
  for (int t = 0; t < N; ++t) at[t] = 0;
  const bool isSmall = walk.count <= 0xffffffff;  // a division of 64 bits costs some hundred instructions
  for (int axis = walk.rank - 1; axis >= 0; --axis) {
    int64_t rest = 0, place = index;
    if (axis > 0 && isSmall) {
      rest = uint32_t(index) / uint32_t(walk.shape[axis]);
      place = uint32_t(index) - uint32_t(rest) * uint32_t(walk.shape[axis]);
    } else if (axis > 0) {
      rest = index / walk.shape[axis];
      place = index - rest * walk.shape[axis];
    }
    for (int t = 0; t < N; ++t) at[t] += place * walk.strides[axis][t];
    index = rest;
  }
}

// Blocks for `count` items, `perBlock` a block; kernels take further rounds where there are more than that.
inline unsigned blocksFor(int64_t count, int64_t perBlock) {
  const int64_t blocks = ceilDiv(count, perBlock);
  return unsigned(blocks < (1 << 22) ? blocks : 1 << 22);
}

}  // namespace longspan::cuda
