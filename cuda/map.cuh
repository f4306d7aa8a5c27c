// Kernels of single elements: out = f(a, b) with any strides and float dtypes, computed in float32. Where memory allows
// it, elements are taken 16 bytes at a time.
#pragma once
#include "launch.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {

constexpr int mapThreads = 256;

template <class F>
struct MapLaunch {
  const void *a, *b;  // b may be null
  void* out;
  DType aType, bType, outType;
  bool aRepeats, bRepeats;  // stands still along the innermost axis
  Walk<3> walk;             // a, b, out
  F f;                      // f(a, b): the results replace a
};

template <class T, int width>
__device__ void readElements(const void* data, DType dtype, int64_t at, bool repeats, float (&x)[width]) {
  if (width == 1 || !repeats) return readRow<T>(data, dtype, at, x);
  const float value = loadFloat(data, dtype, at);
#pragma unroll
  for (int i = 0; i < width; ++i) x[i] = value;
}

template <class T, int width, class F>
__global__ void __launch_bounds__(mapThreads) mapElements(const __grid_constant__ MapLaunch<F> launch) {
  for (int64_t i = int64_t(blockIdx.x) * mapThreads + threadIdx.x; i < launch.walk.count;
       i += int64_t(gridDim.x) * mapThreads) {
    int64_t at[3];
    moveTo(at, launch.walk, i);
    float a[width], b[width] = {};
    readElements<T>(launch.a, launch.aType, at[0], launch.aRepeats, a);
    if (launch.b) readElements<T>(launch.b, launch.bType, at[1], launch.bRepeats, b);
    launch.f(a, b);
    writeRow<T>(launch.out, launch.outType, at[2], a);
  }
}

template <class F>
void mapTensors(const char* what, const TensorView& a, const TensorView& b, const TensorView& out, const F& f) {
  MapLaunch<F> description{
      a.data, b.data, out.data, a.dtype, b.dtype, out.dtype, false, false, makeWalk<3>({&a, &b, &out}, out.rank), f};
  Walk<3>& walk = description.walk;
  if (walk.count == 0) return;
  const int inner = walk.rank - 1;
  const bool alike = a.dtype == out.dtype && (!b || b.dtype == out.dtype);
  const bool vectors = alike && inner >= 0 && walk.strides[inner][2] == 1 &&
                       takeVectors<3>(walk, {&a, &b, &out}, 16 / sizeOf(out.dtype), true);
  if (vectors) {
    description.aRepeats = walk.strides[inner][0] == 0;
    description.bRepeats = walk.strides[inner][1] == 0;
  }
  forRowKind(what, out.dtype, vectors, [&](auto kind) {
    using Kind = decltype(kind);
    launch(what, mapElements<typename Kind::Type, Kind::width, F>, blocksFor(walk.count, mapThreads), mapThreads, 0,
           description);
  });
}

}  // namespace longspan::cuda
