// ceilings: what this machine can do at best with this ISA, all threads together, measured now in about half a second.
// Benches print shares of it: a shared machine's memory drifts by a factor of two, its clock less.

LONGSPAN_INLINE double secondsNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// The shortest of the runs that fit into some 200 ms, long enough for every thread to wake: other work on the machine
// only ever adds time.
template <class F>
LONGSPAN_INLINE double shortestOf(Parallel& parallel, const F& run) {
  double shortest = 1e30;
  for (double start = secondsNow(), now = start; now - start < 0.2 && !parallel.cancelled();) {
    const double begin = now;
    run();
    now = secondsNow();
    shortest = now - begin < shortest ? now - begin : shortest;
  }
  return shortest;
}

constexpr int numChains = 12;  // enough to hide a latency of 6 at two operations a cycle
constexpr int64_t productSteps = 20000, productItemsPerThread = 16;

struct Float32Product {
  static constexpr double flopsPerLane = 2;
  LONGSPAN_INLINE static Vec apply(Vec sum, Vec a, Vec b) { return sum * a + b; }  // nothing to hoist without FMA
};
#ifdef __AVX512BF16__
struct BFloat16Product {
  static constexpr double flopsPerLane = 4;
  LONGSPAN_INLINE static Vec apply(Vec sum, Vec a, Vec b) { return dotPairs(sum, asInt(a), asInt(b)); }
};
#endif

template <class Product>
void multiplyInRegisters(float* result) {
  Vec sums[numChains], a = broadcast(0.5f), b = broadcast(0.25f);
#pragma GCC unroll 16
  for (int i = 0; i < numChains; ++i) sums[i] = broadcast(float(i));
  for (int64_t step = 0; step < productSteps; ++step) {
    __asm__ volatile("" : "+m"(*result));  // keeps the loop, touches no register
#pragma GCC unroll 16
    for (int i = 0; i < numChains; ++i) sums[i] = Product::apply(sums[i], a, b);
  }
  Vec total{};
#pragma GCC unroll 16
  for (int i = 0; i < numChains; ++i) total += sums[i];
  store(result, total);
}

template <class Product>
double flopsPerSecond(Parallel& parallel) {
  parallel.reserveScratch(parallel, 64, 0);
  const int64_t items = productItemsPerThread * parallel.numThreads;
  const double seconds = shortestOf(parallel, [&] {
    parallelFor(parallel, items, [&](int64_t, int thread) {
      multiplyInRegisters<Product>((float*)parallel.threadScratch(parallel, thread));
    });
  });
  return double(items) * productSteps * numChains * lanes * Product::flopsPerLane / seconds;
}

constexpr int64_t readChunkBytes = 1 << 20;

// Loads every byte of [data, data + bytes) once, each thread on a stretch of its own, and adds it to a sum that nobody
// needs but the compiler.
LONGSPAN_INLINE void readOnce(const void* data, int64_t bytes, Parallel& parallel) {
  const int64_t stretches = parallel.numThreads;
  const int64_t chunks = (bytes + readChunkBytes - 1) / readChunkBytes, each = (chunks + stretches - 1) / stretches;
  parallelFor(parallel, each * stretches, [&](int64_t item, int thread) {
    const int64_t begin = (item % stretches * each + item / stretches) * readChunkBytes;
    const char* chunk = (const char*)data + begin;
    const int64_t values = min(readChunkBytes, max(int64_t(0), bytes - begin)) / 4;
    const int32_t* p = (const int32_t*)chunk;
    VecInt sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * lanes <= values; i += 4 * lanes) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sums[j] += *(const UnalignedVecInt*)(p + i + j * lanes);
    }
    VecInt* total = (VecInt*)parallel.threadScratch(parallel, thread);
    *total = sums[0] + sums[1] + sums[2] + sums[3];
    for (; i < values; ++i) (*total)[0] += p[i];
  });
}

void read(const ReadArgs& args, Parallel& parallel) {
  parallel.reserveScratch(parallel, 64, 0);
  readOnce(args.data, args.bytes, parallel);
}

double readBytesPerSecond(Parallel& parallel) {
  constexpr int64_t bytes = int64_t(256) << 20;  // more than a last-level cache holds
  parallel.reserveScratch(parallel, 64, bytes);
  char* memory = (char*)parallel.sharedScratch(parallel);
  parallelFor(parallel, bytes / readChunkBytes,
              [&](int64_t item, int) { __builtin_memset(memory + item * readChunkBytes, 1, readChunkBytes); });
  return double(bytes) / shortestOf(parallel, [&] { readOnce(memory, bytes, parallel); });
}

void ceilings(Ceilings& result, Parallel& parallel) {
  result.float32FlopsPerSecond = flopsPerSecond<Float32Product>(parallel);
#ifdef __AVX512BF16__
  result.bfloat16FlopsPerSecond = flopsPerSecond<BFloat16Product>(parallel);
#else
  result.bfloat16FlopsPerSecond = 0;
#endif
  result.readBytesPerSecond = readBytesPerSecond(parallel);
}
