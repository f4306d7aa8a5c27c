// Rotary position embedding (Su et al. 2021), as csrc/cpu/rope.inl. One block a token: its threads make the table of
// sines and cosines (rope.cuh) once and turn every head with it.
#include "rope.cuh"

#include "launch.cuh"
#include "numbers.cuh"

namespace longspan::cuda {
namespace {

constexpr int threads = 128;

struct Launch {
  const void* x;  // [batch, seqLen, numHeads, headDim]
  void* out;      // the same; may be x
  int64_t xStrides[4], outStrides[4];
  int64_t seqLen;
  int numHeads, headDim;
  Rotation rotation;
};

template <class T>
__global__ void __launch_bounds__(threads) ropeToken(const __grid_constant__ Launch launch) {
  __shared__ RotaryTable table;
  const int64_t batch = blockIdx.x / launch.seqLen, row = blockIdx.x % launch.seqLen;
  const T* x = static_cast<const T*>(launch.x) + batch * launch.xStrides[0] + row * launch.xStrides[1];
  T* out = static_cast<T*>(launch.out) + batch * launch.outStrides[0] + row * launch.outStrides[1];
  fillTable(launch.rotation, batch, row, table);

  const int n = launch.rotation.numFrequencies;
  for (int at = threadIdx.x; at < launch.numHeads * n; at += threads) {
    const int head = at / n, i = at % n;
    const Pair pair = pairOf(launch.rotation, i);
    const T* from = x + head * launch.xStrides[2];
    T* to = out + head * launch.outStrides[2];
    const float a = toFloat(from[pair.first * launch.xStrides[3]]), b = toFloat(from[pair.second * launch.xStrides[3]]);
    to[pair.first * launch.outStrides[3]] = fromFloat<T>(turnedFirst(table, i, a, b));
    to[pair.second * launch.outStrides[3]] = fromFloat<T>(turnedSecond(table, i, a, b));
  }
  const int rest = launch.headDim - 2 * n;  // dims that do not turn
  if (launch.x == launch.out) return;
  for (int at = threadIdx.x; at < launch.numHeads * rest; at += threads) {
    const int head = at / rest, dim = 2 * n + at % rest;
    out[head * launch.outStrides[2] + dim * launch.outStrides[3]] =
        x[head * launch.xStrides[2] + dim * launch.xStrides[3]];
  }
}

Launch describe(const RopeArgs& args) {
  Launch launch{};
  launch.x = args.x.data;
  launch.out = args.out.data;
  for (int axis = 0; axis < 4; ++axis) {
    launch.xStrides[axis] = args.x.strides[axis];
    launch.outStrides[axis] = args.out.strides[axis];
  }
  launch.seqLen = args.x.shape[1];
  launch.numHeads = int(args.x.shape[2]);
  launch.headDim = int(args.x.shape[3]);
  launch.rotation = rotationOf(args);
  return launch;
}

}  // namespace

void rope(const RopeArgs& args, Parallel&) {
  const int64_t tokens = args.x.shape[0] * args.x.shape[1];
  if (tokens == 0 || args.x.shape[2] == 0 || args.x.shape[3] == 0) return;
  if (args.numFrequencies > maxFrequencies) return keepError("rope: more than 256 frequencies");
  if (tokens > 0x7fffffff) return keepError("rope: more than 2^31 - 1 tokens in one call");
  const Launch description = describe(args);
  forFloat("rope: expected float32, float16 or bfloat16", args.x.dtype,
           [&](auto type) { launch("rope", ropeToken<decltype(type)>, unsigned(tokens), threads, 0, description); });
}

}  // namespace longspan::cuda
