// copy: any dtype to any dtype, any strides, with the conversions of csrc/cpu/convert.inl: floats round to nearest
// even, to integers values are cut towards zero and held within the range, NaN gives 0. Axes are ordered by out's
// strides, so that out is written in order; where the inner axis of in is not dense but another one is, tiles of both
// are turned in shared memory.
#include "launch.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

constexpr int threads = 256;

struct Launch {
  const void* in;
  void* out;
  DType from, to;
  Walk<2> walk;  // in, out
};

// Every dtype is read as one of two, which hold its values exactly.
struct Value {
  bool isFloat;
  float real;
  int64_t whole;
};

__device__ Value loadValue(const void* data, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::Int8:
      return {false, 0.f, static_cast<const int8_t*>(data)[at]};
    case DType::UInt8:
      return {false, 0.f, static_cast<const uint8_t*>(data)[at]};
    case DType::Int32:
      return {false, 0.f, static_cast<const int32_t*>(data)[at]};
    case DType::Int64:
      return {false, 0.f, static_cast<const int64_t*>(data)[at]};
    default:
      return {true, loadFloat(data, dtype, at), 0};
  }
}

template <class To>
__device__ To toWhole(const Value& value, int64_t lowest, int64_t highest) {
  if (!value.isFloat) {
    const int64_t held = value.whole > lowest ? value.whole : lowest;
    return To(held < highest ? held : highest);
  }
  if (value.real != value.real) return 0;
  if (value.real >= float(highest)) return To(highest);
  if (value.real <= float(lowest)) return To(lowest);
  return To(value.real);
}

__device__ void storeValue(void* data, DType dtype, int64_t at, const Value& value) {
  switch (dtype) {
    case DType::Int8:
      static_cast<int8_t*>(data)[at] = toWhole<int8_t>(value, INT8_MIN, INT8_MAX);
      return;
    case DType::UInt8:
      static_cast<uint8_t*>(data)[at] = toWhole<uint8_t>(value, 0, UINT8_MAX);
      return;
    case DType::Int32:
      static_cast<int32_t*>(data)[at] = toWhole<int32_t>(value, INT32_MIN, INT32_MAX);
      return;
    case DType::Int64:
      static_cast<int64_t*>(data)[at] = toWhole<int64_t>(value, INT64_MIN, INT64_MAX);
      return;
    default:
      const float real[1] = {value.isFloat ? value.real : float(value.whole)};
      storeAny(data, dtype, at, real);
  }
}

__global__ void __launch_bounds__(threads) convertElements(const __grid_constant__ Launch launch) {
  for (int64_t i = int64_t(blockIdx.x) * threads + threadIdx.x; i < launch.walk.count;
       i += int64_t(gridDim.x) * threads) {
    int64_t at[2];
    moveTo(at, launch.walk, i);
    storeValue(launch.out, launch.to, at[1], loadValue(launch.in, launch.from, at[0]));
  }
}

// `Unit` is what moves as it is: the bits of an element, or 16 bytes of them
template <class Unit>
__global__ void __launch_bounds__(threads) moveUnits(const __grid_constant__ Launch launch) {
  for (int64_t i = int64_t(blockIdx.x) * threads + threadIdx.x; i < launch.walk.count;
       i += int64_t(gridDim.x) * threads) {
    int64_t at[2];
    moveTo(at, launch.walk, i);
    static_cast<Unit*>(launch.out)[at[1]] = static_cast<const Unit*>(launch.in)[at[0]];
  }
}

constexpr int convertWidth = 8;

template <class From, class To>
__global__ void __launch_bounds__(threads) convertVectors(const __grid_constant__ Launch launch) {
  for (int64_t i = int64_t(blockIdx.x) * threads + threadIdx.x; i < launch.walk.count;
       i += int64_t(gridDim.x) * threads) {
    int64_t at[2];
    moveTo(at, launch.walk, i);
    float x[convertWidth];
    loadFloats(static_cast<const From*>(launch.in) + at[0], x);
    storeFloats(static_cast<To*>(launch.out) + at[1], x);
  }
}

constexpr int tileEdge = 32;

struct TileLaunch {
  const void* in;
  void* out;
  int64_t lengthI, lengthJ;  // axis i is dense in out, axis j in in
  int64_t strideI, strideJ;  // of i in in, of j in out
  Walk<2> outer;             // the other axes
};

template <class Unit>
__device__ Unit held(Unit x) {
  return x;
}
__device__ float held(__half x) { return toFloat(x); }
__device__ float held(__nv_bfloat16 x) { return toFloat(x); }
template <class To, class Held>
__device__ To released(Held x) {
  if constexpr (sizeof(To) == sizeof(Held)) {
    return x;
  } else {
    return fromFloat<To>(x);
  }
}

// Held: float for a conversion between floats, else the bits
template <class From, class To, class Held>
__global__ void __launch_bounds__(threads) copyTiles(const __grid_constant__ TileLaunch launch) {
  __shared__ Held tile[tileEdge][tileEdge + 1];
  constexpr int step = threads / tileEdge;
  const int lane = threadIdx.x % tileEdge, line = threadIdx.x / tileEdge;
  const int64_t tilesI = (launch.lengthI + tileEdge - 1) / tileEdge;
  const int64_t tilesJ = (launch.lengthJ + tileEdge - 1) / tileEdge;
  const int64_t tiles = launch.outer.count * tilesI * tilesJ;
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    int64_t at[2];
    moveTo(at, launch.outer, index / (tilesI * tilesJ));
    const int64_t firstI = index / tilesJ % tilesI * tileEdge, firstJ = index % tilesJ * tileEdge;
    const From* in = static_cast<const From*>(launch.in) + at[0];
    To* out = static_cast<To*>(launch.out) + at[1];
    for (int i = line; i < tileEdge; i += step) {
      if (firstI + i >= launch.lengthI || firstJ + lane >= launch.lengthJ) continue;
      tile[i][lane] = held(in[(firstI + i) * launch.strideI + firstJ + lane]);
    }
    __syncthreads();
    for (int j = line; j < tileEdge; j += step) {
      if (firstJ + j >= launch.lengthJ || firstI + lane >= launch.lengthI) continue;
      out[(firstJ + j) * launch.strideJ + firstI + lane] = released<To>(tile[lane][j]);
    }
    __syncthreads();
  }
}

int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

Walk<2> makeCopyWalk(const TensorView& in, const TensorView& out) {
  int order[maxRank];
  for (int axis = 0; axis < out.rank; ++axis) {
    int place = axis;
    for (; place > 0 && magnitude(out.strides[order[place - 1]]) < magnitude(out.strides[axis]); --place) {
      order[place] = order[place - 1];
    }
    order[place] = axis;
  }
  Walk<2> walk;
  for (int i = 0; i < out.rank; ++i) {
    appendAxis(walk, out.shape[order[i]], {in.strides[order[i]], out.strides[order[i]]});
  }
  return walk;
}

bool isFloat(DType dtype) { return dtype <= DType::BFloat16; }

// Whether in is dense along another axis than out is; then that axis
bool isTurned(const Walk<2>& walk, int& axisJ) {
  const int inner = walk.rank - 1;
  if (inner < 1 || walk.strides[inner][1] != 1 || magnitude(walk.strides[inner][0]) <= 1) return false;
  for (axisJ = inner - 1; axisJ >= 0; --axisJ) {
    if (walk.strides[axisJ][0] == 1) return true;
  }
  return false;
}

template <class From, class To, class Held>
void turn(const CopyArgs& args, const Walk<2>& walk, int axisJ) {
  const int axisI = walk.rank - 1;
  TileLaunch description{args.in.data,
                         args.out.data,
                         walk.shape[axisI],
                         walk.shape[axisJ],
                         walk.strides[axisI][0],
                         walk.strides[axisJ][1],
                         {}};
  for (int axis = 0; axis < axisI; ++axis) {
    if (axis != axisJ) appendAxis(description.outer, walk.shape[axis], walk.strides[axis]);
  }
  const int64_t tiles =
      description.outer.count * ceilDiv(description.lengthI, tileEdge) * ceilDiv(description.lengthJ, tileEdge);
  launch("copy", copyTiles<From, To, Held>, blocksFor(tiles, 1), threads, 0, description);
}

template <class Unit>
void moveAs(const CopyArgs& args, const Walk<2>& walk, int axisJ) {
  if (axisJ >= 0) return turn<Unit, Unit, Unit>(args, walk, axisJ);
  launch("copy", moveUnits<Unit>, blocksFor(walk.count, threads), threads, 0,
         Launch{args.in.data, args.out.data, args.in.dtype, args.out.dtype, walk});
}

void move(const CopyArgs& args, Walk<2>& walk, int axisJ) {
  const int bytes = sizeOf(args.in.dtype), inner = walk.rank - 1;
  if (inner < 0 || (inner == 0 && walk.strides[0][0] == 1 && walk.strides[0][1] == 1)) {
    succeeded(
        cudaMemcpyAsync(args.out.data, args.in.data, size_t(walk.count * bytes), cudaMemcpyDeviceToDevice, stream()),
        "copy");
    return;
  }
  if (takeVectors<2>(walk, {&args.in, &args.out}, 16 / bytes, false)) {
    for (int axis = 0; axis < walk.rank; ++axis) {
      for (int t = 0; t < 2; ++t) walk.strides[axis][t] /= 16 / bytes;
    }
    return moveAs<uint4>(args, walk, -1);
  }
  switch (bytes) {
    case 1:
      return moveAs<uint8_t>(args, walk, axisJ);
    case 2:
      return moveAs<uint16_t>(args, walk, axisJ);
    case 4:
      return moveAs<uint32_t>(args, walk, axisJ);
    default:
      return moveAs<uint64_t>(args, walk, axisJ);
  }
}

// Between floats of different dtypes; false: neither tiles nor vectors
bool convertFloats(const CopyArgs& args, Walk<2>& walk, int axisJ) {
  if (axisJ < 0 && !takeVectors<2>(walk, {&args.in, &args.out}, convertWidth, false)) return false;
  forFloat("copy", args.in.dtype, [&](auto from) {
    forFloat("copy", args.out.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      if constexpr (!(sizeof(From) == 4 && sizeof(To) == 4)) {
        if (axisJ >= 0) return turn<From, To, float>(args, walk, axisJ);
        launch("copy", convertVectors<From, To>, blocksFor(walk.count, threads), threads, 0,
               Launch{args.in.data, args.out.data, args.in.dtype, args.out.dtype, walk});
      }
    });
  });
  return true;
}

}  // namespace

void copy(const CopyArgs& args, Parallel&) {
  Walk<2> walk = makeCopyWalk(args.in, args.out);
  if (walk.count == 0) return;
  int axisJ = -1;
  if (!isTurned(walk, axisJ)) axisJ = -1;
  if (args.in.dtype == args.out.dtype) return move(args, walk, axisJ);
  if (isFloat(args.in.dtype) && isFloat(args.out.dtype) && convertFloats(args, walk, axisJ)) return;
  launch("copy", convertElements, blocksFor(walk.count, threads), threads, 0,
         Launch{args.in.data, args.out.data, args.in.dtype, args.out.dtype, walk});
}

}  // namespace longspan::cuda
