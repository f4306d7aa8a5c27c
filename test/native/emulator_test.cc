// The emulator of test/emulator against what CUDA documents: collectives, fragments, late copies, barriers, mistakes it
// must find; and the plugin made of it, by the rotary embedding.
#include <cuda_runtime.h>
#include <cub/cub.cuh>
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "../../cuda/ptx.cuh"
#include "check.h"
#include "core/plugin.h"

using namespace longspan;

namespace {

constexpr unsigned all = 0xffffffffu;
const char* const orders[] = {"0", "1", "2", "77"};

template <class T>
struct DeviceArray {
  T* data = nullptr;
  explicit DeviceArray(size_t n) { cudaMalloc(&data, n * sizeof(T)); }
  ~DeviceArray() { cudaFree(data); }
};
template <class... Parameters, class... Arguments>
cudaError_t run(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

// --- collectives: each line adds one bit where a lane got what it should
__global__ void useCollectives(unsigned* wrong) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned bad = 0;
  const auto expect = [&](bool good) { bad = bad * 2 + !good; };
  expect(__shfl_sync(all, lane * 10, 5) == 50);
  expect(__shfl_sync(all, float(lane), lane + 1, 8) == float(lane / 8 * 8 + (lane + 1) % 8));
  expect(__shfl_xor_sync(all, 1ull << lane, 16) == 1ull << (lane ^ 16));
  expect(__shfl_down_sync(all, unsigned(lane), 4) == unsigned(lane + 4 < 32 ? lane + 4 : lane));
  expect(__shfl_up_sync(all, lane, 3, 16) == (lane % 16 >= 3 ? lane - 3 : lane));
  expect(__ballot_sync(all, lane % 3 == 0) == 0x49249249u);
  expect(__any_sync(all, lane == 9) && !__any_sync(all, 0));
  expect(__all_sync(all, 1) && !__all_sync(all, lane != 9));
  expect(__match_any_sync(all, lane % 4) == 0x11111111u << lane % 4);
  expect(__reduce_add_sync(all, lane) == 496 && __reduce_max_sync(all, unsigned(lane)) == 31);
  if (lane < 8) {  // part of a warp
    expect(__shfl_xor_sync(0xffu, lane, 1) == (lane ^ 1));
  } else {
    expect(__popc(__ballot_sync(0xffffff00u, 1)) == 24);
  }
  __syncwarp();
  expect(__syncthreads_count(lane == 0) == int(blockDim.x / 32));
  expect(__syncthreads_or(warp == 1 && lane == 3) && !__syncthreads_and(lane != 3));
  atomicAdd(wrong, bad);
  atomicMax(wrong + 1, threadIdx.x + threadIdx.y * blockDim.x + blockIdx.y);
}

void testCollectives(const char* order) {
  DeviceArray<unsigned> wrong(2);
  cudaMemset(wrong.data, 0, 8);
  check(run(useCollectives, dim3(2, 3), 96, 0, wrong.data) == cudaSuccess, "collectives: the launch");
  check(wrong.data[0] == 0, "collectives, order %s: %x", order, wrong.data[0]);
  check(wrong.data[1] == 97, "indices: %u", wrong.data[1]);
}

// --- barriers: a sum through shared memory; half of the threads have returned
__global__ void sumBlocks(const int* in, int* out, bool early) {
  __shared__ int values[256];
  int* more = reinterpret_cast<int*>(longspan::cuda::dynamicShared());
  values[threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
  __syncthreads();
  for (unsigned n = 128; n > 0; n /= 2) {
    if (early && threadIdx.x >= n) return;
    if (threadIdx.x < n) values[threadIdx.x] += values[threadIdx.x + n];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = values[0] + (more[3] == -1 ? 0 : 1);
}

void testBarriers(const char* order) {
  DeviceArray<int> in(1024), out(4);
  for (int i = 0; i < 1024; ++i) in.data[i] = i * i;
  for (bool early : {false, true}) {
    run(sumBlocks, 4, 256, 16, in.data, out.data, early);
    for (int b = 0; b < 4; ++b) {
      int want = 0;
      for (int i = 0; i < 256; ++i) want += in.data[b * 256 + i];
      check(out.data[b] == want, "barriers, order %s: %d, not %d", order, out.data[b], want);
    }
  }
}

// --- fragments and products against a plain loop
template <class T>
__global__ void multiplyTile(const T* a, const T* b, float* d, bool throughMatrices) {
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4 * 2;
  T* sharedA = reinterpret_cast<T*>(cuda::dynamicShared());  // [16][16]
  T* sharedB = sharedA + 256;                                // [16][8]
  for (int i = lane; i < 32; i += 32) cuda::copyAsync16(sharedA + i * 8, a + i * 8, true);
  if (lane < 16) cuda::copyAsync16(sharedB + lane * 8, b + lane * 8, true);
  cuda::commitCopies();
  cuda::waitCopies<0>();
  __syncwarp();
  const auto pair = [](T low, T high) {
    T both[2] = {low, high};
    uint32_t bits;
    memcpy(&bits, both, 4);
    return bits;
  };
  uint32_t left[4], right[4];
  if (throughMatrices) {
    cuda::loadMatrices(left, sharedA + lane % 16 * 16 + lane / 16 * 8);
    cuda::loadMatricesTransposed(right, sharedB + lane % 16 * 8);
  } else {
    for (int i = 0; i < 4; ++i) {
      const T* at = sharedA + (g + i % 2 * 8) * 16 + t + i / 2 * 8;
      left[i] = pair(at[0], at[1]);
    }
    for (int i = 0; i < 2; ++i) right[i] = pair(sharedB[(t + i * 8) * 8 + g], sharedB[(t + 1 + i * 8) * 8 + g]);
  }
  float sum[4] = {1, 2, 3, 4};
  cuda::multiply<T>(sum, left, right[0], right[1]);
  d[g * 8 + t] = sum[0] - 1;
  d[g * 8 + t + 1] = sum[1] - 2;
  d[(g + 8) * 8 + t] = sum[2] - 3;
  d[(g + 8) * 8 + t + 1] = sum[3] - 4;
}

template <class T>
void testProduct(const char* name) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  DeviceArray<T> a(256), b(128);
  DeviceArray<float> d(128);
  for (int i = 0; i < 256; ++i) a.data[i] = T(normal(random));
  for (int i = 0; i < 128; ++i) b.data[i] = T(normal(random));
  for (bool throughMatrices : {false, true}) {
    run(multiplyTile<T>, 1, 32, 1024, a.data, b.data, d.data, throughMatrices);
    double worst = 0;
    for (int i = 0; i < 128; ++i) {
      double want = 0;
      for (int k = 0; k < 16; ++k) want += double(float(a.data[i / 8 * 16 + k])) * double(float(b.data[k * 8 + i % 8]));
      worst = std::fmax(worst, std::fabs(want - double(d.data[i])));
    }
    check(worst < 1e-5, "%s products through %s: off by %g", name, throughMatrices ? "ldmatrix" : "registers", worst);
  }
}

// --- copies: group by group, zeros where not valid, nothing before the wait
__global__ void copyLate(const float* from, float* seen) {
  float* shared = reinterpret_cast<float*>(cuda::dynamicShared());
  for (int group = 0; group < 3; ++group) {
    cuda::copyAsync16(shared + group * 4, from + group * 4, group != 1);
    cuda::commitCopies();
  }
  seen[0] = shared[0];
  cuda::waitCopies<1>();
  seen[1] = shared[0];
  seen[2] = shared[4];
  seen[3] = shared[8];
  cuda::waitCopies<0>();
  seen[4] = shared[8];
}

void testCopies() {
  DeviceArray<float> from(12), seen(5);
  for (int i = 0; i < 12; ++i) from.data[i] = float(i + 1);
  run(copyLate, 1, 1, 48, from.data, seen.data);
  check(std::isnan(seen.data[0]) && std::isnan(seen.data[3]), "copies: there before they were waited for");
  check(seen.data[1] == 1 && seen.data[2] == 0 && seen.data[4] == 9, "copies: wrong after the wait");
}

void testNumbers() {
  bool same = true;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto half = __ushort_as_half(static_cast<unsigned short>(bits));
    const auto brain = __ushort_as_bfloat16(static_cast<unsigned short>(bits));
    if (!std::isnan(float(half))) same &= __half_as_ushort(__float2half_rn(half)) == bits;
    if (!std::isnan(float(brain))) same &= __bfloat16_as_ushort(__float2bfloat16_rn(brain)) == bits;
    if (bits < 0x7bff) {  // halfway to the next: to the even one
      const double middle = (double(float(half)) + double(float(__ushort_as_half((unsigned short)(bits + 1))))) / 2;
      same &= __half_as_ushort(__float2half_rn(float(middle))) == bits + (bits & 1);
    }
  }
  check(same, "float16 and bfloat16: rounding");
  check(float(__half(65519.0f)) == 65504 && std::isinf(float(__half(65520.0f))), "float16: the largest");
  check(std::isnan(float(__half(NAN))) && std::isnan(float(__nv_bfloat16(NAN))), "float16 and bfloat16: NaN");
  check(float(__nv_bfloat16(1.00390625f)) == 1 && float(__nv_bfloat16(1.01171875f)) == 1.015625f, "bfloat16: halves");
  check(cuda::exp2Fast(-130) == 0 && cuda::exp2Fast(-INFINITY) == 0 && cuda::exp2Fast(3) == 8, "exp2Fast");
  check(min(3, 4u) == 3u && max(-1.5f, 2) == 2 && __clz(1) == 31 && __float2int_rn(2.5f) == 2, "numbers");
}

// --- launches that the driver refuses
__global__ void doNothing() {}

void testErrors() {
  check(run(doNothing, 0, 32, 0) == cudaErrorInvalidConfiguration, "an empty grid");
  check(run(doNothing, 1, 1025, 0) == cudaErrorInvalidConfiguration, "1025 threads");
  check(run(doNothing, dim3(1, 65536), 1, 0) == cudaErrorInvalidConfiguration, "a grid of 65536 rows");
  check(run(doNothing, 1, 32, 50000) == cudaErrorInvalidValue, "shared memory beyond the default");
  check(cudaFuncSetAttribute(doNothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 101377) != cudaSuccess,
        "too much");
  check(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess, "the last error");
  check(cudaFuncSetAttribute(doNothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000) == cudaSuccess &&
            run(doNothing, 1, 32, 50000) == cudaSuccess,
        "shared memory that was asked for");
  setenv("LONGSPAN_EMULATOR_FAIL_LAUNCH", "2", 1);
  const cudaError_t first = run(doNothing, 1, 1, 0), second = run(doNothing, 1, 1, 0), third = run(doNothing, 1, 1, 0);
  check(first == cudaSuccess && second == cudaErrorLaunchFailure && third == cudaSuccess, "a launch that fails");
  unsetenv("LONGSPAN_EMULATOR_FAIL_LAUNCH");
  void* data = nullptr;
  check(cudaMallocAsync(&data, size_t(2) << 30, nullptr) == cudaErrorMemoryAllocation && !data, "too much memory");
  DeviceArray<float> some(4);
  float host[8];
  check(std::isnan(some.data[3]), "fresh memory is no number");
  check(cudaMemcpy(host, some.data, 32, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue, "a copy beyond the end");
  check(cudaMemcpy(host, some.data, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue, "a copy the wrong way");
  cudaGetLastError();
}

// --- mistakes that must stop the program, each with its words
__global__ void mixCollectives() {
  if (threadIdx.x == 7) {
    __ballot_sync(all, 1);
  } else {
    __shfl_sync(all, 1, 0);
  }
}
__global__ void returnEarly() {
  if (threadIdx.x == 40) return;
  __syncwarp();
}
__global__ void skipBarrier() {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x == 33) __syncwarp(0x6);
  if (threadIdx.x == 34) __syncwarp(0xc);
  if (threadIdx.x == 35) __syncwarp(0xa);
}
__global__ void multiplyAlone() {
  float d[4] = {};
  const uint32_t a[4] = {};
  cuda::multiply<__half>(d, a, 0, 0);
}
__global__ void copyCrooked() { cuda::copyAsync16(cuda::dynamicShared() + 4, nullptr, false); }

void checkStops(const char* what, void (*kernel)(), unsigned threads, const char* words) {
  int ends[2];
  if (!check(pipe(ends) == 0, "a pipe")) return;
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    run(kernel, dim3(1, 2), threads, 64);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[512];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, size_t(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  check(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "%s: was let pass", what);
  check(text.find(words) != std::string::npos, "%s: says\n%s", what, text.c_str());
}

void testMistakes() {
  checkStops("two collectives", mixCollectives, 32, "thread (7, 0, 0): __ballot_sync, mask ffffffff");
  checkStops("an early return", returnEarly, 64, "but lanes of its warp wait for it");
  checkStops("a deadlock", skipBarrier, 64, "32 threads wait at __syncthreads");
  checkStops("part of a warp", multiplyAlone, 16, "multiply<__half>: only the lanes 0000ffff");
  checkStops("a crooked address", copyCrooked, 1, "not aligned to 16 bytes");
}

// --- a missing barrier shows in one order or another
__global__ void raceThroughShared(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = 0;
  __syncthreads();
  values[threadIdx.x] = int(threadIdx.x) + 1;
  out[threadIdx.x] = values[63 - threadIdx.x];  // of the other warp
}

void testOrders() {
  std::vector<std::vector<int>> results;
  for (const char* order : orders) {
    setenv("LONGSPAN_EMULATOR_ORDER", order, 1);
    DeviceArray<int> out(64);
    run(raceThroughShared, 1, 64, 0, out.data);
    results.emplace_back(out.data, out.data + 64);
  }
  check(results[0] != results[1] && results[1] != results[2], "a race looks the same in each order");
}

void testSort() {
  const int n = 5000;
  std::mt19937_64 random(3);
  DeviceArray<unsigned long long> keys(n), sorted(n);
  DeviceArray<int> values(n), moved(n);
  for (int i = 0; i < n; ++i) {
    keys.data[i] = random();
    values.data[i] = i;
  }
  size_t bytes = 0;
  cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys.data, sorted.data, values.data, moved.data, n, 4, 9);
  DeviceArray<char> scratch(bytes);
  check(cub::DeviceRadixSort::SortPairs(scratch.data, bytes, keys.data, sorted.data, values.data, moved.data, n, 4, 9,
                                        cudaStream_t(nullptr)) == cudaSuccess,
        "sort");
  bool good = true;
  for (int i = 0; i < n; ++i) good &= keys.data[moved.data[i]] == sorted.data[i];
  for (int i = 1; i < n; ++i) {
    const auto before = sorted.data[i - 1] >> 4 & 31, here = sorted.data[i] >> 4 & 31;
    good &= before < here || (before == here && moved.data[i - 1] < moved.data[i]);
  }
  check(good, "sort: by the digits asked for, stable");
  size_t less = 8;
  check(cub::DeviceScan::ExclusiveSum(scratch.data, less, values.data, moved.data, n) == cudaErrorInvalidValue,
        "scratch");
  cub::DeviceScan::ExclusiveSum(scratch.data, bytes, values.data, values.data, n);
  check(values.data[0] == 0 && values.data[100] == 4950, "sums");
}

// --- the plugin: memory both ways, and one kernel
void testPlugin() {
  void* plugin = dlopen(LONGSPAN_EMULATED_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (!check(plugin != nullptr, "%s", plugin ? "" : dlerror())) return;
  const auto version = reinterpret_cast<decltype(&longspanPluginVersion)>(dlsym(plugin, "longspanPluginVersion"));
  const auto backend = reinterpret_cast<decltype(&longspanBackend)>(dlsym(plugin, "longspanBackend"))();
  const auto calls = reinterpret_cast<decltype(&longspanDeviceCalls)>(dlsym(plugin, "longspanDeviceCalls"))();
  const auto describe = reinterpret_cast<decltype(&longspanDescribeDevice)>(dlsym(plugin, "longspanDescribeDevice"));
  char text[256] = "";
  check(version() == pluginVersion && describe(0, text, sizeof text) == 0, "plugin: version");
  check(std::strstr(text, "emulated device (tests), sm_80, 1.0 GiB") != nullptr, "plugin: %s", text);
  if (!check(calls->open(0) == 0, "plugin: open")) return;

  constexpr int tokens = 5, heads = 3, dim = 10, count = 4, n = tokens * heads * dim;
  float x[n], out[n];
  for (int i = 0; i < n; ++i) x[i] = float(i % 17) - 8;
  const int positions[tokens] = {0, 1, 7, 1000, 1000000};
  const double frequencies[count] = {1, 0.1, 0.01, 0.001};
  void* deviceX = calls->allocate(0, sizeof x);
  void* devicePositions = calls->allocate(0, sizeof positions);
  check(calls->upload(deviceX, x, sizeof x) == 0 && calls->upload(devicePositions, positions, sizeof positions) == 0,
        "plugin: upload");
  RopeArgs args{};
  args.x.data = deviceX;
  args.x.dtype = DType::Float32;
  args.x.rank = 4;
  const int64_t shape[4] = {1, tokens, heads, dim}, strides[4] = {n, heads * dim, dim, 1};
  std::copy_n(shape, 4, args.x.shape);
  std::copy_n(strides, 4, args.x.strides);
  args.positions.data = devicePositions;
  args.positions.dtype = DType::Int32;
  args.positions.rank = 1;
  args.positions.shape[0] = tokens;
  args.positions.strides[0] = 1;
  args.frequencies64 = frequencies;
  args.numFrequencies = count;
  args.attentionScale = 1;
  args.positionStep = 1;
  args.out = args.x;
  Parallel parallel{};
  backend->rope(args, parallel);
  check(calls->download(out, deviceX, sizeof out) == 0, "plugin: download");
  double worst = 0;
  for (int i = 0; i < n; ++i) {
    const int token = i / (heads * dim), d = i % dim, f = d % count;
    const double angle = positions[token] * frequencies[f], a = double(x[i - d + f]), b = double(x[i - d + f + count]);
    const double want = d >= 2 * count ? double(x[i])
                        : d < count    ? a * std::cos(angle) - b * std::sin(angle)
                                       : b * std::cos(angle) + a * std::sin(angle);
    worst = std::fmax(worst, std::fabs(want - double(out[i])));
  }
  check(worst < 2e-6 * 8, "plugin: rope is off by %g", worst);
  calls->release(0, devicePositions);
  calls->release(0, deviceX);
}

__global__ void switchOften(int times) {
  for (int i = 0; i < times; ++i) __syncthreads();
}

void printRate() {
  const auto start = std::chrono::steady_clock::now();
  run(switchOften, 1, 256, 0, 4000);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%.1f million switches a second\n", 256 * 4000 / seconds * 1e-6);
}

}  // namespace

int main() {
  for (const char* order : orders) {
    setenv("LONGSPAN_EMULATOR_ORDER", order, 1);
    testCollectives(order);
    testBarriers(order);
  }
  testOrders();
  unsetenv("LONGSPAN_EMULATOR_ORDER");
  testProduct<__half>("float16");
  testProduct<__nv_bfloat16>("bfloat16");
  testCopies();
  testNumbers();
  testErrors();
  testMistakes();
  testSort();
  testPlugin();
  printRate();
  return finish("emulator_test");
}
