// cacheAppend() of the CUDA plugin, which the emulator runs (test/emulator), into coded caches: the bytes of the slabs
// against cache_coding.h, row by row. Attention over them is a part of cuda_attention_test.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "cache_coding.h"
#include "check.h"
#include "core/plugin.h"
#include "plain_parallel.h"

using namespace longspan;

namespace {

const Backend* backend;
const DeviceCalls* calls;
std::mt19937 engine(5);

struct Memory {
  void* data;
  explicit Memory(const std::vector<unsigned char>& bytes) : data(calls->allocate(0, bytes.size())) {
    calls->upload(data, bytes.data(), bytes.size());
  }
  ~Memory() { calls->release(0, data); }
  Memory(const Memory&) = delete;
};

struct Rows {  // [length][heads][dim]
  int heads, dim;
  std::vector<float> values;
  const float* at(int64_t row, int head) const { return &values[size_t((row * heads + head) * dim)]; }
};

constexpr float infinite = std::numeric_limits<float>::infinity();

// Most are ordinary; some hold zeros alone, one value that is not finite, tiny or huge ones, or ties of the rounding
Rows randomRows(int64_t length, int heads, int dim) {
  Rows rows = {heads, dim, {}};
  std::normal_distribution<float> normal(0, 1);
  for (int64_t row = 0; row < length * heads; ++row) {
    const int kind = int(engine() % 16), odd = int(engine() % unsigned(dim));
    for (int d = 0; d < dim; ++d) {
      float x = normal(engine);
      if (kind == 0) x = 0;
      if (kind == 1 && d == odd) x = NAN;
      if (kind == 2 && d == odd) x = row % 2 ? infinite : -infinite;
      if (kind == 3) x *= 1e-44f;
      if (kind == 4) x = std::copysign(std::numeric_limits<float>::max(), x);
      if (kind == 5) x = d == 0 ? 127 : float(int(x * 60)) + 0.5f;
      if (kind == 6) x = d == 0 ? -448 : std::ldexp(17.f + 2 * float(d % 8), d % 19 - 14);
      if (kind == 7) x = d == 0 ? 1 : x * 1e-4f;
      rows.values.push_back(x);
    }
  }
  return rows;
}

TensorView view(const Rows& rows, const Memory& memory, int64_t first, int64_t count) {
  TensorView t;
  t.data = static_cast<float*>(memory.data) + first * rows.heads * rows.dim;
  t.dtype = DType::Float32, t.rank = 4;
  const int64_t shape[] = {1, count, rows.heads, rows.dim};
  int64_t step = 1;
  for (int axis = 4; axis-- > 0; step *= shape[axis]) t.shape[axis] = shape[axis], t.strides[axis] = step;
  return t;
}
std::vector<unsigned char> bytesOf(const Rows& rows) {
  std::vector<unsigned char> bytes(rows.values.size() * 4);
  std::memcpy(bytes.data(), rows.values.data(), bytes.size());
  return bytes;
}

// Rows and scales of a source, where they must lie; what was looked at becomes zero.
void compareRows(const char* what, const KVCacheView& cache, std::vector<std::vector<unsigned char>>& slabs,
                 const Rows& rows, int64_t begin, int64_t rowBytes, int64_t scales) {
  for (int64_t row = 0; row < cache.length; ++row)
    for (int head = 0; head < rows.heads; ++head) {
      auto& slab = slabs[size_t(row / KVCacheView::keysPerSlab)];
      const int64_t place = int64_t(head) * KVCacheView::keysPerSlab + row % KVCacheView::keysPerSlab;
      const test::CodedRow expected = test::codedRow(rows.at(row, head), rows.dim, cache.coding);
      unsigned char *codes = &slab[size_t(begin + place * rowBytes)], *scaleAt = &slab[size_t(scales + place * 4)];
      float scale;
      std::memcpy(&scale, scaleAt, 4);
      const bool same = scale == expected.scale || (std::isnan(scale) && std::isnan(expected.scale));
      check(same, "%s: scale of row %ld is %g, not %g", what, long(row), double(scale), double(expected.scale));
      check(!std::memcmp(codes, expected.codes.data(), size_t(rows.dim)), "%s: codes of row %ld", what, long(row));
      std::memset(codes, 0, size_t(rows.dim)), std::memset(scaleAt, 0, 4);
    }
}

void run(KVCoding coding, int dim, int valueDim, int keySets, bool isRecorded) {
  KVCacheView cache;
  cache.coding = coding, cache.numKVHeads = 3, cache.headDim = dim, cache.valueDim = valueDim;
  cache.keySets = keySets;
  const int64_t length = cache.length = 1100;
  std::string what = std::string(coding == KVCoding::Int8 ? "int8" : "float8") + " dims " + std::to_string(dim) + "/" +
                     std::to_string(valueDim) + (isRecorded ? " recorded" : "");
  std::vector<std::vector<unsigned char>> slabs(2, std::vector<unsigned char>(size_t(cache.slabBytes())));
  Memory first(slabs[0]), second(slabs[1]);
  void* const addresses[] = {first.data, second.data};
  cache.slabs = addresses;
  const Rows k = randomRows(length, 3, dim), v = randomRows(length, 3, valueDim), k2 = randomRows(length, 3, dim);
  const Memory keys(bytesOf(k)), values(bytesOf(v)), others(bytesOf(k2));
  PlainParallel parallel(1);
  calls->clearError();
  for (int64_t at = 0, n; at < length; at += n) {
    n = std::min<int64_t>(1 + engine() % 700, length - at);
    const int before = int(at);
    std::vector<unsigned char> position(4);
    std::memcpy(position.data(), &before, 4);
    const Memory counted(position);
    KVCacheView now = cache;
    if (isRecorded) now.lengthAt = static_cast<const int*>(counted.data);
    const TensorView other = keySets == 2 ? view(k2, others, at, n) : TensorView{};
    backend->cacheAppend({now, isRecorded ? 0 : at, view(k, keys, at, n), view(v, values, at, n), other}, parallel);
    calls->synchronise();
  }
  for (int i = 0; i < 2; ++i) calls->download(slabs[size_t(i)].data(), addresses[i], slabs[size_t(i)].size());
  int lacked = 0;
  check(!*calls->error(&lacked), "%s: %s", what.c_str(), calls->error(&lacked));

  const int64_t all = 3 * KVCacheView::keysPerSlab, wide = (dim + 15) / 16 * 16, wideValues = (valueDim + 15) / 16 * 16;
  const int64_t scales = all * (wide * keySets + wideValues);
  check(cache.slabBytes() == scales + all * 4 * (keySets + 1), "%s: bytes of a slab", what.c_str());
  compareRows((what + " k").c_str(), cache, slabs, k, 0, wide, scales);
  compareRows((what + " v").c_str(), cache, slabs, v, all * wide, wideValues, scales + all * 4);
  if (keySets == 2)
    compareRows((what + " k2").c_str(), cache, slabs, k2, all * (wide + wideValues), wide, scales + all * 8);
  for (const auto& slab : slabs)
    check(std::all_of(slab.begin(), slab.end(), [](int byte) { return byte == 0; }), "%s: pads", what.c_str());
}

}  // namespace

int main() {
  void* plugin = dlopen(LONGSPAN_EMULATED_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (!check(plugin != nullptr, "%s", plugin ? "" : dlerror())) return finish("cuda cache");
  backend = reinterpret_cast<decltype(&longspanBackend)>(dlsym(plugin, "longspanBackend"))();
  calls = reinterpret_cast<decltype(&longspanDeviceCalls)>(dlsym(plugin, "longspanDeviceCalls"))();
  if (!check(calls->open(0) == 0, "no emulated device")) return finish("cuda cache");
  for (KVCoding coding : {KVCoding::Int8, KVCoding::Float8})
    for (int dim : {1, 20, 36, 80, 128, 256}) {
      run(coding, dim, dim, 1, false);
      run(coding, dim, dim == 36 ? 100 : 16, 2, dim % 16 == 0);
    }
  return finish("cuda cache");
}
