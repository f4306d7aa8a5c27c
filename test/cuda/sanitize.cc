// A few small cases over longspan_cuda.so for compute-sanitizer: no torch, no Node, a start of milliseconds. Each is
// compared with float64 on the CPU.  sanitize path/to/longspan_cuda.so; scripts/cuda/device.sh builds and runs it.
#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "../../csrc/core/host_convert.h"
#include "../../csrc/core/plugin.h"
#include "../native/check.h"

namespace longspan {
namespace {

const Backend* table;
const DeviceCalls* calls;

void require(bool good, const char* what) {
  if (good) return;
  int ignored;
  const char* text = calls ? calls->error(&ignored) : dlerror();
  std::fprintf(stderr, "%s: %s\n", what, text ? text : "");
  std::exit(2);
}

double valueOf(uint16_t bits, DType dtype) {
  if (dtype == DType::BFloat16) return std::bit_cast<float>(uint32_t(bits) << 16);
  const int exponent = bits >> 10 & 31;
  const double mantissa = bits & 1023, magnitude = exponent == 31  ? NAN
                                                   : exponent == 0 ? std::ldexp(mantissa, -24)
                                                                   : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

// Of 16-bit floats: on the device, and as the device has it in float64. Exactly as large as it is, so that a step
// beyond it is seen.
class Values {
 public:
  Values(DType dtype, std::vector<int64_t> shape, unsigned seed) : dtype_(dtype), shape_(std::move(shape)) {
    size_t size = 1;
    for (int64_t extent : shape_) size *= size_t(extent);
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    std::vector<uint16_t> bits(size, 0xffff);
    for (uint16_t& one : bits) {
      if (seed == 0) break;  // an output: NaN
      one = dtype == DType::BFloat16 ? toBFloat16Bits(normal(random)) : toFloat16Bits(normal(random));
      values.push_back(valueOf(one, dtype));
    }
    values.resize(size);
    bits_ = bits;
    data_ = calls->allocate(0, size * 2);
    require(data_ && calls->upload(data_, bits.data(), size * 2) == 0, "memory");
  }
  ~Values() { calls->release(0, data_); }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;

  TensorView view() const {
    TensorView v{data_, dtype_, int(shape_.size()), {}, {}};
    int64_t stride = 1;
    for (size_t i = shape_.size(); i-- > 0; stride *= shape_[i]) v.shape[i] = shape_[i], v.strides[i] = stride;
    return v;
  }
  void download() {
    require(calls->download(bits_.data(), data_, bits_.size() * 2) == 0, "reading back");
    for (size_t i = 0; i < bits_.size(); ++i) values[i] = valueOf(bits_[i], dtype_);
  }

  std::vector<double> values;

 private:
  DType dtype_;
  std::vector<int64_t> shape_;
  std::vector<uint16_t> bits_;
  void* data_;
};

struct Sizes {
  int seqLenQ, seqLenKV, numHeads, numKVHeads, headDim;
};

// out [query][head][dim]; rowOf(key): where its row begins in k and v
template <class P, class Row>
std::vector<double> reference(const Sizes& s, const P& pattern, const Values& q, const Values& k, const Values& v,
                              const Row& rowOf) {
  std::vector<double> out(size_t(s.seqLenQ) * s.numHeads * s.headDim), weights(s.seqLenKV);
  const size_t row = size_t(s.numKVHeads) * s.headDim;
  for (int query = 0; query < s.seqLenQ; ++query)
    for (int head = 0; head < s.numHeads; ++head) {
      const size_t at = (size_t(query) * s.numHeads + head) * s.headDim;
      const size_t own = size_t(head / (s.numHeads / s.numKVHeads)) * s.headDim;
      double total = 0;
      for (int key = 0; key < s.seqLenKV; ++key) {
        double score = 0;
        for (int d = 0; d < s.headDim; ++d) score += q.values[at + d] * k.values[rowOf(key) * row + own + d];
        weights[key] = pattern.allows(query, key) ? std::exp(score / std::sqrt(double(s.headDim))) : 0;
        total += weights[key];
      }
      for (int key = 0; key < s.seqLenKV && total > 0; ++key)
        for (int d = 0; d < s.headDim; ++d) out[at + d] += weights[key] / total * v.values[rowOf(key) * row + own + d];
    }
  return out;
}

void compare(const char* name, Values& out, const std::vector<double>& expected) {
  out.download();
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (out.values[i] - expected[i]) * (out.values[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  const double relative = std::sqrt(error / norm);
  check(relative < 5e-3, "%s: relative error %.2e", name, relative);
  std::printf("%s: relative error %.2e\n", name, relative);
}

void run(const char* name, const AttentionArgs& args) {
  Parallel parallel;
  calls->clearError();
  table->attention(args, parallel);
  int ignored;
  require(calls->error(&ignored)[0] == '\0' && calls->synchronise() == 0, name);
}

AttentionArgs arguments(const Sizes& s, const Values& q, const Values& out, const Pattern& pattern) {
  AttentionArgs args{};
  args.q = q.view(), args.out = out.view();
  args.scale = float(1 / std::sqrt(double(s.headDim)));
  args.pattern = &pattern;
  args.offset = s.seqLenKV - s.seqLenQ;
  return args;
}

template <class P>
void dense(const char* name, DType dtype, const Sizes& s, const P& kind) {
  Values q(dtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 1), k(dtype, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 2),
      v(dtype, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 3), out(dtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 0);
  const Pattern pattern(kind);
  AttentionArgs args = arguments(s, q, out, pattern);
  args.k = k.view(), args.v = v.view();
  run(name, args);
  compare(name, out, reference(s, kind, q, k, v, [](int key) { return size_t(key); }));
}

Window window(const Sizes& s, int before) {
  Window made{Contiguous(s.seqLenQ, s.seqLenKV)};
  made.before = before, made.after = 0;
  return made;
}

void blocks() {
  const Sizes s = {130, 190, 2, 2, 64};
  static const int rowStart[] = {0, 2, 2, 5, 6, 8, 9}, columns[] = {0, 2, 0, 1, 5, 3, 2, 4, 0};
  Blocks made{Contiguous(s.seqLenQ, s.seqLenKV)};
  made.blockQ = made.blockKV = 32;
  made.base = s.seqLenKV - s.seqLenQ, made.firstRow = 0, made.rows = 6, made.perRow = 0;
  made.rowStart = rowStart, made.columns = columns;
  dense("blocks, bf16, d64", DType::BFloat16, s, made);
}

void pages() {
  const Sizes s = {3, 75, 4, 2, 128};
  constexpr int pageSize = 16, numPages = 7;
  static const int order[] = {4, 0, 6, 2, 5};
  Values q(DType::BFloat16, {1, s.seqLenQ, s.numHeads, s.headDim}, 1),
      k(DType::BFloat16, {numPages, pageSize, s.numKVHeads, s.headDim}, 2),
      v(DType::BFloat16, {numPages, pageSize, s.numKVHeads, s.headDim}, 3),
      out(DType::BFloat16, {1, s.seqLenQ, s.numHeads, s.headDim}, 0);
  const Window kind = window(s, Window::unbounded);
  Pattern part(kind), pattern;
  pattern.each = &part;
  SequenceView sequence{};
  sequence.offset = s.seqLenKV - s.seqLenQ;
  sequence.pages = order;
  AttentionArgs args = arguments(s, q, out, pattern);
  args.k = k.view(), args.v = v.view();
  args.k.shape[1] = args.v.shape[1] = s.seqLenKV;
  args.sequences = &sequence;
  args.pageSize = pageSize;
  run("pages", args);
  compare("pages of 16, bf16, d128", out, reference(s, kind, q, k, v, [](int key) {
            return size_t(order[key / pageSize]) * pageSize + key % pageSize;
          }));
}

void cache() {
  const Sizes s = {1, 205, 4, 2, 128};
  Values q(DType::BFloat16, {1, s.seqLenQ, s.numHeads, s.headDim}, 1),
      k(DType::BFloat16, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 2),
      v(DType::BFloat16, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 3),
      out(DType::BFloat16, {1, s.seqLenQ, s.numHeads, s.headDim}, 0);
  KVCacheView view;
  view.dtype = DType::BFloat16, view.numKVHeads = s.numKVHeads, view.headDim = view.valueDim = s.headDim;
  view.length = s.seqLenKV;
  void* slab = calls->allocate(0, view.slabBytes());
  require(slab && calls->zero(slab, view.slabBytes()) == 0, "a slab");
  view.slabs = &slab;
  Parallel parallel;
  table->cacheAppend({view, 0, k.view(), v.view(), k.view()}, parallel);
  const Window kind = window(s, Window::unbounded);
  const Pattern pattern(kind);
  AttentionArgs args = arguments(s, q, out, pattern);
  args.cache = view;
  run("cache", args);
  compare("cache, bf16, d128", out, reference(s, kind, q, k, v, [](int key) { return size_t(key); }));
  calls->release(0, slab);
}

void product(int rows) {
  const int columns = 130, depth = 200;
  Values x(DType::BFloat16, {rows, depth}, 1), weight(DType::BFloat16, {columns, depth}, 2),
      out(DType::BFloat16, {rows, columns}, 0);
  const size_t bytes = packedBytes(columns, depth, DType::BFloat16);
  void* packed = calls->allocate(0, bytes);
  require(packed, "a packed weight");
  Parallel parallel;
  calls->clearError();
  table->pack({weight.view(), packed, DType::BFloat16}, parallel);
  table->matmul({x.view(), {packed, DType::BFloat16, columns, depth}, {}, {}, out.view(), Activation::None}, parallel);
  int ignored;
  require(calls->error(&ignored)[0] == '\0' && calls->synchronise() == 0, "a product");
  std::vector<double> expected(size_t(rows) * columns);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j)
      for (int d = 0; d < depth; ++d)
        expected[size_t(i) * columns + j] += x.values[size_t(i) * depth + d] * weight.values[size_t(j) * depth + d];
  compare(rows == 1 ? "gemv, bf16" : "gemm, bf16", out, expected);
  calls->release(0, packed);
}

void load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  require(library, "loading the plugin");
  const auto version = reinterpret_cast<uint64_t (*)()>(dlsym(library, "longspanPluginVersion"));
  const auto backend = reinterpret_cast<const Backend* (*)()>(dlsym(library, "longspanBackend"));
  const auto device = reinterpret_cast<const DeviceCalls* (*)()>(dlsym(library, "longspanDeviceCalls"));
  require(version && backend && device && version() == pluginVersion, "a plugin of this build");
  table = backend();
  calls = device();
  require(calls->open(0) == 0, "device 0");
}

void all() {
  const Sizes causal = {127, 129, 4, 2, 128}, local = {65, 130, 2, 2, 64};
  dense("causal, bf16, d128", DType::BFloat16, causal, window(causal, Window::unbounded));
  dense("window, f16, d64", DType::Float16, local, window(local, 40));
  blocks();
  pages();
  cache();
  product(1);
  product(65);
}

}  // namespace
}  // namespace longspan

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: sanitize path/to/longspan_cuda.so\n");
    return 2;
  }
  longspan::load(arguments[1]);
  longspan::all();
  return finish("sanitize");
}
