// Rows of the embedding table by token id, a block a row. A wrong id gives a row of zeros and is reported.
#include "bad_index.cuh"
#include "launch.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

constexpr int threads = 128;

struct Launch {
  const int32_t* ids;
  const void* weight;
  void* out;
  Place* bad;
  DType weightType, outType;
  bool isMoved;  // rows are moved as they are, 16 bytes at a time
  int64_t rows, n, vocabSize, idStride, weightStrides[2], outStrides[2];
};

__device__ void moveRow(const Launch& launch, int64_t id, int64_t row) {
  const int width = launch.weightType == DType::Float32 ? 4 : 8;
  const uint4* from = static_cast<const uint4*>(launch.weight) + id * launch.weightStrides[0] / width;
  uint4* to = static_cast<uint4*>(launch.out) + row * launch.outStrides[0] / width;
  for (int64_t i = threadIdx.x; i < launch.n / width; i += threads) to[i] = from[i];
}

__device__ void convertRow(const Launch& launch, int64_t id, int64_t row, bool isBad) {
  for (int64_t i = threadIdx.x; i < launch.n; i += threads) {
    float x[1] = {0.f};
    if (!isBad) {
      x[0] = loadFloat(launch.weight, launch.weightType, id * launch.weightStrides[0] + i * launch.weightStrides[1]);
    }
    storeAny(launch.out, launch.outType, row * launch.outStrides[0] + i * launch.outStrides[1], x);
  }
}

__global__ void __launch_bounds__(threads) embeddingRows(const __grid_constant__ Launch launch) {
  for (int64_t row = blockIdx.x; row < launch.rows; row += gridDim.x) {
    const int64_t id = launch.ids[row * launch.idStride];
    const bool isBad = id < 0 || id >= launch.vocabSize;
    if (isBad && threadIdx.x == 0) keepLowest(launch.bad, row);
    if (launch.isMoved && !isBad) {
      moveRow(launch, id, row);
    } else {
      convertRow(launch, id, row, isBad);
    }
  }
}

}  // namespace

void embedding(const EmbeddingArgs& args, Parallel&) {
  const TensorView &weight = args.weight, &out = args.out;
  if (out.shape[0] == 0) return;
  const bool isMoved = weight.dtype == out.dtype && hasVectorRows(weight) && hasVectorRows(out);
  Launch description{args.ids.as<const int32_t>(),
                     weight.data,
                     out.data,
                     nullptr,
                     weight.dtype,
                     out.dtype,
                     isMoved,
                     out.shape[0],
                     out.shape[1],
                     weight.shape[0],
                     args.ids.strides[0],
                     {weight.strides[0], weight.strides[1]},
                     {out.strides[0], out.strides[1]}};
  findBadIndex("embedding", args.badIndex, [&](Place* bad) {
    description.bad = bad;
    return launch("embedding", embeddingRows, blocksFor(out.shape[0], 1), threads, 0, description);
  });
}

}  // namespace longspan::cuda
