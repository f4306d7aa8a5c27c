// Rotary position embedding (Su et al. 2021), as csrc/cpu/rope.inl: angles are positions times frequencies in float64,
// reduced before the sine, so that position 1,000,000 is as right as position 1. One block a token: its threads make
// the table of sines and cosines once and turn every head with it.
#include "launch.cuh"
#include "numbers.cuh"

namespace longspan::cuda {
namespace {

constexpr int maxFrequencies = 256;  // they travel with the launch: 2 of the 4 KB that every driver takes
constexpr int threads = 128;

struct Launch {
  const void* x;             // [batch, seqLen, numHeads, headDim]
  void* out;                 // the same; may be x
  const int32_t* positions;  // [batch, seqLen]
  int64_t xStrides[4], outStrides[4], positionStrides[2];
  int64_t seqLen;
  int numHeads, headDim, numFrequencies;
  float attentionScale;
  bool interleaved;
  double positionStep, positionOffset;
  double frequencies[maxFrequencies];
};

__device__ void fillTable(const Launch& launch, int32_t position, float* cosines, float* sines) {
  for (int i = threadIdx.x; i < launch.numFrequencies; i += threads) {
    const double place = double(position) * launch.positionStep + launch.positionOffset;
    const double turns = place * launch.frequencies[i] * 0.15915494309189533577;  // 1 / 2π
    float sine, cosine;
    sincospif(float(2 * (turns - rint(turns))), &sine, &cosine);
    cosines[i] = cosine * launch.attentionScale;
    sines[i] = sine * launch.attentionScale;
  }
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(threads) ropeToken(const __grid_constant__ Launch launch) {
  __shared__ float cosines[maxFrequencies], sines[maxFrequencies];
  const int64_t batch = blockIdx.x / launch.seqLen, row = blockIdx.x % launch.seqLen;
  const T* x = static_cast<const T*>(launch.x) + batch * launch.xStrides[0] + row * launch.xStrides[1];
  T* out = static_cast<T*>(launch.out) + batch * launch.outStrides[0] + row * launch.outStrides[1];
  fillTable(launch, launch.positions[batch * launch.positionStrides[0] + row * launch.positionStrides[1]], cosines,
            sines);

  const int n = launch.numFrequencies, step = launch.interleaved ? 2 : 1, apart = launch.interleaved ? 1 : n;
  for (int at = threadIdx.x; at < launch.numHeads * n; at += threads) {
    const int head = at / n, i = at % n, first = i * step, second = first + apart;
    const T* from = x + head * launch.xStrides[2];
    T* to = out + head * launch.outStrides[2];
    const float a = toFloat(from[first * launch.xStrides[3]]), b = toFloat(from[second * launch.xStrides[3]]);
    to[first * launch.outStrides[3]] = fromFloat<T>(a * cosines[i] - b * sines[i]);
    to[second * launch.outStrides[3]] = fromFloat<T>(b * cosines[i] + a * sines[i]);
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
  launch.positions = args.positions.as<const int32_t>();
  for (int axis = 0; axis < 4; ++axis) {
    launch.xStrides[axis] = args.x.strides[axis];
    launch.outStrides[axis] = args.out.strides[axis];
  }
  const bool perBatch = args.positions.rank == 2;
  launch.positionStrides[0] = perBatch ? args.positions.strides[0] : 0;
  launch.positionStrides[1] = args.positions.strides[perBatch ? 1 : 0];
  launch.seqLen = args.x.shape[1];
  launch.numHeads = int(args.x.shape[2]);
  launch.headDim = int(args.x.shape[3]);
  launch.numFrequencies = int(args.numFrequencies);
  launch.attentionScale = args.attentionScale;
  launch.interleaved = args.interleaved;
  launch.positionStep = args.positionStep;
  launch.positionOffset = args.positionOffset;
  for (int i = 0; i < launch.numFrequencies; ++i) launch.frequencies[i] = args.frequencies64[i];
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
