// The k largest of a row. A value and its index are one 64-bit key, ordered by value and then by lower index, so that
// any order of work gives the same answer. One block a row: short rows are sorted whole; of long ones, the k-th best of
// the threads' own maxima bounds the answer from below and few keys pass it; where too many do or k is large, digits of
// the k-th key are found one after the other (radix select). What is left is sorted.
#include "launch.cuh"
#include "reduce.cuh"
#include "vectors.cuh"
#include "walk.cuh"

namespace longspan::cuda {
namespace {

// high: the value, ordered as an unsigned number, NaN 0; low: the index, inverted. 0 is less than every key.
using Ranked = unsigned long long;

constexpr int maxThreads = 1024;
constexpr int maxSorted = 2048;  // keys in shared memory
constexpr int maxBounded = 256;  // k, for the bound by maxima
constexpr int digitBits = 11, numDigits = 1 << digitBits;

struct Launch {
  const void* x;
  void* values;  // may be null
  int32_t* indices;
  Ranked* scratch;  // [blocks][scratchKeys], where k keys do not fit shared memory
  DType xType, valueType;
  int64_t rows, n, k, scratchKeys;
  int64_t xStrides[2], valueStrides[2], indexStrides[2];
};

__device__ Ranked rank(float x, int64_t index) {
  const int bits = __float_as_int(x + 0.f);  // −0 becomes 0: they tie
  const unsigned order = x == x ? unsigned(bits ^ ((bits >> 31) & 0x7fffffff)) ^ 0x80000000u : 0u;
  return Ranked(order) << 32 | (0xffffffffu - unsigned(index));
}
__device__ int64_t indexOf(Ranked ranked) { return 0xffffffffu - unsigned(ranked); }

// f(key) for every key of a row, shared by `threads` threads of which this is `thread`
template <class T, int width, class F>
__device__ void forKeys(const Launch& launch, int64_t row, int thread, int threads, const F& f) {
#pragma unroll 4
  for (int64_t i = int64_t(thread) * width; i < launch.n; i += int64_t(threads) * width) {
    float x[width];
    readRow<T>(launch.x, launch.xType, row * launch.xStrides[0] + i * launch.xStrides[1], x);
#pragma unroll
    for (int j = 0; j < width; ++j) f(rank(x[j], i + j));
  }
}

template <class T, int width>
__device__ Ranked bestOf(const Launch& launch, int64_t row, int thread, int threads) {
  Ranked best = 0;
  forKeys<T, width>(launch, row, thread, threads, [&](Ranked key) { best = key > best ? key : best; });
  return best;
}

__device__ void writeBest(const Launch& launch, int64_t row, int64_t place, Ranked key) {
  const int64_t index = indexOf(key);
  launch.indices[row * launch.indexStrides[0] + place * launch.indexStrides[1]] = int32_t(index);
  if (!launch.values) return;
  // the value is read again: the key has lost the sign of zero and the payload of NaN
  const float value[1] = {loadFloat(launch.x, launch.xType, row * launch.xStrides[0] + index * launch.xStrides[1])};
  storeAny(launch.values, launch.valueType, row * launch.valueStrides[0] + place * launch.valueStrides[1], value);
}

template <class T, int width, int warps>
__global__ void __launch_bounds__(rowsPerBlock(warps) * warps * 32) largest(const __grid_constant__ Launch launch) {
  __shared__ Ranked partial[warps];
  constexpr int rows = rowsPerBlock(warps);
  const int place = warps == 1 ? threadIdx.x / 32 : 0, thread = threadIdx.x % (warps * 32);
  for (int64_t row = int64_t(blockIdx.x) * rows + place; row < launch.rows; row += int64_t(gridDim.x) * rows) {
    const Ranked best = maxOfThreads<warps>(bestOf<T, width>(launch, row, thread, warps * 32), partial);
    if (thread == 0) writeBest(launch, row, 0, best);
  }
}

// Bitonic, by the whole block; `size` is a power of 2
__device__ void sortDescending(Ranked* keys, int64_t size) {
  for (int64_t length = 2; length <= size; length *= 2) {
    for (int64_t apart = length / 2; apart > 0; apart /= 2) {
      __syncthreads();
      for (int64_t i = threadIdx.x; i < size / 2; i += blockDim.x) {
        const int64_t lower = (i & ~(apart - 1)) << 1 | (i & (apart - 1)), upper = lower + apart;
        const Ranked a = keys[lower], b = keys[upper];
        if ((a < b) == ((lower & length) == 0)) keys[lower] = b, keys[upper] = a;
      }
    }
  }
  __syncthreads();
}

// Puts the keys of a row that are at least `bound` into keys[capacity], in any order, and zeros behind them up to a
// power of 2; gives how many there are, though only as many as fit are kept.
template <class T, int width>
__device__ int64_t gather(const Launch& launch, int64_t row, Ranked bound, Ranked* keys, int64_t capacity,
                          int* counter) {
  __syncthreads();
  if (threadIdx.x == 0) *counter = 0;
  __syncthreads();
  forKeys<T, width>(launch, row, threadIdx.x, blockDim.x, [&](Ranked key) {
    if (key < bound) return;
    const int place = atomicAdd(counter, 1);
    if (place < capacity) keys[place] = key;
  });
  __syncthreads();
  const int64_t count = *counter;
  for (int64_t i = count + threadIdx.x; i < capacity; i += blockDim.x) keys[i] = 0;
  __syncthreads();
  return count;
}

__device__ int64_t sortedSize(int64_t count) {
  int64_t size = 1;
  while (size < count) size *= 2;
  return size;
}

// One warp looks through the histogram from the highest digit on.
__device__ void findDigit(const int* histogram, int wanted, int* found) {
  if (threadIdx.x < 32) {
    constexpr int each = numDigits / 32;
    const int lane = threadIdx.x, first = numDigits - 1 - lane * each;
    int own = 0;
    for (int i = 0; i < each; ++i) own += histogram[first - i];
    int above = own;  // becomes the keys of this lane's digits and all higher ones
    for (int apart = 1; apart < 32; apart *= 2) {
      const int other = __shfl_up_sync(allLanes, above, apart);
      if (lane >= apart) above += other;
    }
    above -= own;
    if (above < wanted && wanted <= above + own) {
      int digit = first;
      while (above + histogram[digit] < wanted) above += histogram[digit--];
      found[0] = digit, found[1] = above, found[2] = histogram[digit];
    }
  }
  __syncthreads();
}

// The k-th largest key of a row, or a lower bound that no further key reaches
template <class T, int width>
__device__ Ranked selectKey(const Launch& launch, int64_t row, int* histogram, int* found) {
  Ranked prefix = 0;
  int wanted = int(launch.k);
  for (int shift = 64; shift > 0;) {
    const int bits = shift < digitBits ? shift : digitBits, before = shift;
    shift -= bits;
    __syncthreads();
    for (int i = threadIdx.x; i < numDigits; i += blockDim.x) histogram[i] = 0;
    __syncthreads();
    forKeys<T, width>(launch, row, threadIdx.x, blockDim.x, [&](Ranked key) {
      if (before < 64 && key >> before != prefix >> before) return;
      atomicAdd(histogram + (key >> shift & ((1u << bits) - 1)), 1);
    });
    __syncthreads();
    findDigit(histogram, wanted, found);
    prefix |= Ranked(found[0]) << shift;
    wanted -= found[1];
    if (wanted == found[2]) break;
  }
  return prefix;
}

template <class T, int width>
__global__ void __launch_bounds__(maxThreads) selectRows(const __grid_constant__ Launch launch) {
  __shared__ Ranked sorted[maxSorted];
  __shared__ int histogram[numDigits], found[3], counter[1];
  const int64_t n = launch.n, k = launch.k;
  for (int64_t row = blockIdx.x; row < launch.rows; row += gridDim.x) {
    Ranked* keys = sorted;
    int64_t count = 0;
    if (n <= maxSorted) {
      count = gather<T, width>(launch, row, 0, sorted, sortedSize(n), counter);
    } else if (k <= maxBounded) {
      sorted[threadIdx.x] = bestOf<T, width>(launch, row, threadIdx.x, blockDim.x);
      sortDescending(sorted, blockDim.x);
      count = gather<T, width>(launch, row, sorted[k - 1], sorted, maxSorted, counter);
    }
    if (count == 0 || count > maxSorted) {
      const Ranked bound = selectKey<T, width>(launch, row, histogram, found);
      if (launch.scratch) keys = launch.scratch + blockIdx.x * launch.scratchKeys;
      count = gather<T, width>(launch, row, bound, keys, sortedSize(k), counter);
    }
    sortDescending(keys, sortedSize(count));
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x) writeBest(launch, row, i, keys[i]);
    __syncthreads();
  }
}

Launch describe(const TopKArgs& args) {
  Launch launch{args.x.data, args.values.data, args.indices.as<int32_t>(), nullptr, args.x.dtype, args.values.dtype};
  launch.rows = args.x.shape[0];
  launch.n = args.x.shape[1];
  launch.k = args.indices.shape[1];
  for (int axis = 0; axis < 2; ++axis) {
    launch.xStrides[axis] = args.x.strides[axis];
    launch.valueStrides[axis] = args.values ? args.values.strides[axis] : 0;
    launch.indexStrides[axis] = args.indices.strides[axis];
  }
  return launch;
}

int64_t powerFrom(int64_t count) {
  int64_t size = 1;
  while (size < count) size *= 2;
  return size;
}

template <class Kind>
void selectWith(Launch& description) {
  const int64_t rows = description.rows, n = description.n, k = description.k;
  const int64_t wanted = powerFrom(n) / 2;
  const unsigned threads = unsigned(wanted < 32 ? 32 : wanted > maxThreads ? maxThreads : wanted);
  unsigned blocks = blocksFor(rows, 1);
  if (n > maxSorted && k > maxSorted) {  // keys of a row in flight lie in device memory
    const unsigned most = unsigned(2 * numProcessors());
    blocks = blocks < most ? blocks : most;
    description.scratchKeys = powerFrom(k);
  }
  Scratch scratch(size_t(description.scratchKeys * blocks) * sizeof(Ranked));
  if (!scratch) return;
  description.scratch = description.scratchKeys ? scratch.as<Ranked>() : nullptr;
  launch("top k", selectRows<typename Kind::Type, Kind::width>, blocks, threads, 0, description);
}

}  // namespace

void topK(const TopKArgs& args, Parallel&) {
  Launch description = describe(args);
  if (description.rows == 0 || description.k == 0) return;
  forRowKind("top k: expected float32, float16 or bfloat16", args.x.dtype, hasVectorRows(args.x), [&](auto kind) {
    using Kind = decltype(kind);
    if (description.k > 1) return selectWith<Kind>(description);
    forWarps(description.rows, description.n, [&](auto warps) {
      constexpr int count = decltype(warps)::count, perBlock = rowsPerBlock(count);
      launch("argmax", largest<typename Kind::Type, Kind::width, count>, blocksFor(description.rows, perBlock),
             perBlock * count * 32, 0, description);
    });
  });
}

}  // namespace longspan::cuda
