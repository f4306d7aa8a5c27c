// attention() of every ISA this machine has, against a dense float64 reference made of `allows` alone. The bound is
// that of api.md: twice the largest error of the naive computation in the same dtype, plus half an ulp of the output.
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/backend.h"
#include "plain_parallel.h"

namespace longspan {
#ifdef __x86_64__
extern const Backend baselineBackend, avx2Backend, avx512Backend, avx512bf16Backend;
static const Backend* const backends[] = {&baselineBackend, &avx2Backend, &avx512Backend, &avx512bf16Backend};
#else
extern const Backend neonBackend;
static const Backend* const backends[] = {&neonBackend};
#endif
}  // namespace longspan
using namespace longspan;

static float round16(float x, DType dtype) {  // the nearest value of the dtype
  if (dtype == DType::BFloat16) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    return __builtin_bit_cast(float, (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
  }
  if (dtype == DType::Float16 && x != 0 && std::isfinite(x)) {
    int exponent = std::max(std::ilogb(x), -14);
    return std::ldexp(std::nearbyint(std::ldexp(x, 10 - exponent)), exponent - 10);
  }
  return x;
}
static uint16_t toBits(float x, DType dtype) {
  if (dtype == DType::BFloat16) return __builtin_bit_cast(uint32_t, x) >> 16;
  if (x == 0) return 0;
  int exponent = std::ilogb(x), sign = x < 0 ? 0x8000 : 0;
  float magnitude = std::fabs(x);
  if (exponent < -14) return sign | int(std::ldexp(magnitude, 24));
  return sign | ((exponent + 15) << 10) | (int(std::ldexp(magnitude, 10 - exponent)) & 0x3ff);
}
static float fromBits(uint16_t bits, DType dtype) {
  if (dtype == DType::BFloat16) return __builtin_bit_cast(float, uint32_t(bits) << 16);
  int exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  float x = exponent ? std::ldexp(float(mantissa | 0x400), exponent - 25) : std::ldexp(float(mantissa), -24);
  return bits & 0x8000 ? -x : x;
}

// A rank-4 tensor with its own strides; gaps are NaN, so that reading one shows.
struct Values {
  TensorView view;
  std::vector<unsigned char> bytes;
  std::vector<float> written;  // by set, as the dtype holds it
  int64_t shape[4], strides[4];

  Values(DType dtype, int64_t a, int64_t b, int64_t c, int64_t d, const std::string& layout = "bshd") {
    int64_t s[4] = {a, b, c, d};
    std::memcpy(shape, s, sizeof s);
    int order[4] = {0, 1, 2, 3};
    if (layout == "bhsd") std::swap(order[1], order[2]);
    if (layout == "bshd last first") order[0] = 3, order[1] = 0, order[2] = 1, order[3] = 2;
    int64_t step = layout == "every second" ? 2 : 1;
    for (int i = 3; i >= 0; --i) {
      strides[order[i]] = step;
      step *= shape[order[i]] + (layout == "padded" ? 3 : 0);
    }
    written.resize(step);
    bytes.assign((step + 64) * (dtype == DType::Float32 ? 4 : 2), 0xff);
    view = {bytes.data(), dtype, 4, {a, b, c, d}, {strides[0], strides[1], strides[2], strides[3]}};
  }
  int64_t at(int64_t a, int64_t b, int64_t c, int64_t d) const {
    return a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3];
  }
  float get(int64_t a, int64_t b, int64_t c, int64_t d) const {
    if (view.dtype == DType::Float32) return reinterpret_cast<const float*>(bytes.data())[at(a, b, c, d)];
    return fromBits(reinterpret_cast<const uint16_t*>(bytes.data())[at(a, b, c, d)], view.dtype);
  }
  float input(int64_t a, int64_t b, int64_t c, int64_t d) const { return written[at(a, b, c, d)]; }
  void set(int64_t a, int64_t b, int64_t c, int64_t d, float x) {
    written[at(a, b, c, d)] = round16(x, view.dtype);
    if (view.dtype == DType::Float32) {
      reinterpret_cast<float*>(bytes.data())[at(a, b, c, d)] = x;
    } else {
      reinterpret_cast<uint16_t*>(bytes.data())[at(a, b, c, d)] = toBits(round16(x, view.dtype), view.dtype);
    }
  }
  template <class F>
  void each(const F& f) {
    for (int64_t a = 0; a < shape[0]; ++a)
      for (int64_t b = 0; b < shape[1]; ++b)
        for (int64_t c = 0; c < shape[2]; ++c)
          for (int64_t d = 0; d < shape[3]; ++d) f(a, b, c, d);
  }
};

struct Case {
  const char* name;
  int batch, seqLenQ, seqLenKV, numHeads, numKVHeads, headDim, valueDim;
  Pattern pattern = {};
  float scale = 0;  // 0: headDim ** -0.5
  float softcap = 0;
  bool alibi = false, sinks = false, returnLse = true;
  const char* bias = "";  // which of b h q k it has
  const char* layout = "bshd";
  float magnitude = 1;
};

static std::mt19937 random_(7);
static void fill(Values& v, float magnitude) {
  std::normal_distribution<float> normal(0, magnitude);
  v.each([&](auto... at) { v.set(at..., normal(random_)); });
}

struct Row {
  std::vector<double> out, naive;
  double lse;
};
// One row of attention, in float64 and as naive code in `dtype` does it
static Row denseRow(const Case& c, const AttentionArgs& args, DType dtype, const Values& q, const Values& k,
                    const Values& v, const Values* bias, int b, int h, int i) {
  int kvHead = h / (c.numHeads / c.numKVHeads);
  const Pattern& pattern = args.pattern->of(b, h);
  std::vector<double> s(c.seqLenKV, -INFINITY);
  std::vector<float> t(c.seqLenKV, -INFINITY);
  double m = -INFINITY, l = 0;
  float mf = -INFINITY, lf = 0;
  for (int j = 0; j < c.seqLenKV; ++j) {
    if (!walkOf(pattern).allows(pattern, i, j)) continue;
    double x = 0;
    float y = 0;
    for (int d = 0; d < c.headDim; ++d) {
      x += double(q.input(b, i, h, d)) * k.input(b, j, kvHead, d);
      y += q.input(b, i, h, d) * k.input(b, j, kvHead, d);
    }
    x *= args.scale, y = round16(y * args.scale, dtype);
    if (c.softcap > 0)
      x = c.softcap * std::tanh(x / c.softcap), y = round16(c.softcap * std::tanh(y / c.softcap), dtype);
    int distance = std::abs(i + c.seqLenKV - c.seqLenQ - j);
    if (c.alibi)
      x -= double(args.alibiSlopes.as<float>()[h]) * distance, y -= args.alibiSlopes.as<float>()[h] * distance;
    if (bias) {
      float more = bias->input(b % bias->shape[0], h % bias->shape[1], i % bias->shape[2], j % bias->shape[3]);
      x += more, y += more;
    }
    s[j] = x, t[j] = y = round16(y, dtype);
    m = std::max(m, x), mf = std::max(mf, y);
  }
  if (c.sinks)
    m = std::max(m, double(args.sinkLogits.as<float>()[h])), mf = std::max(mf, args.sinkLogits.as<float>()[h]);
  Row row = {std::vector<double>(c.valueDim), std::vector<double>(c.valueDim), -INFINITY};
  if (m == -INFINITY) return row;
  for (int j = 0; j < c.seqLenKV; ++j) l += s[j] = std::exp(s[j] - m), lf += t[j] = std::exp(t[j] - mf);
  if (c.sinks) l += std::exp(args.sinkLogits.as<float>()[h] - m), lf += std::exp(args.sinkLogits.as<float>()[h] - mf);
  row.lse = m + std::log(l);
  for (int d = 0; d < c.valueDim; ++d) {
    float naive = 0;
    for (int j = 0; j < c.seqLenKV; ++j) {
      if (s[j] == 0 && t[j] == 0) continue;
      row.out[d] += s[j] / l * v.input(b, j, kvHead, d);
      naive += round16(t[j] / lf, dtype) * v.input(b, j, kvHead, d);
    }
    row.naive[d] = round16(naive, dtype);
  }
  return row;
}

// k and v of batch 0 in a key/value cache; float16 goes to float32
struct Cache {
  KVCacheView view;
  std::vector<void*> slabs;
  Cache(const Backend& backend, const Values& k, const Values& v) {
    view.dtype = k.view.dtype == DType::BFloat16 ? DType::BFloat16 : DType::Float32;
    view.numKVHeads = int(k.shape[2]), view.headDim = int(k.shape[3]), view.valueDim = int(v.shape[3]);
    view.length = k.shape[1];
    for (int64_t i = 0; i < view.numSlabs(view.length); ++i) {
      slabs.push_back(std::aligned_alloc(64, view.slabBytes()));
      std::memset(slabs.back(), 0, view.slabBytes());
    }
    view.slabs = slabs.data();
    PlainParallel parallel(1);
    backend.cacheAppend({view, 0, k.view, v.view}, parallel);
  }
  ~Cache() {
    for (void* slab : slabs) std::free(slab);
  }
};

static void run(const Case& c, DType dtype, DType kvDType) {
  Values q(dtype, c.batch, c.seqLenQ, c.numHeads, c.headDim, c.layout);
  Values k(kvDType, c.batch, c.seqLenKV, c.numKVHeads, c.headDim, c.layout);
  Values v(kvDType, c.batch, c.seqLenKV, c.numKVHeads, c.valueDim, c.layout);
  fill(q, c.magnitude), fill(k, 1), fill(v, 1);
  std::vector<float> slopes(c.numHeads), logits(c.numHeads), lse(size_t(c.batch) * c.numHeads * c.seqLenQ);
  for (int h = 0; h < c.numHeads; ++h) slopes[h] = std::exp2(-1.f - h), logits[h] = 0.5f * h - 1;
  AttentionArgs args = {};
  args.q = q.view, args.k = k.view, args.v = v.view;
  args.scale = c.scale ? c.scale : 1 / std::sqrt(float(c.headDim));
  args.softcap = c.softcap;
  if (c.alibi) args.alibiSlopes = {slopes.data(), DType::Float32, 1, {c.numHeads}, {1}};
  if (c.sinks) args.sinkLogits = {logits.data(), DType::Float32, 1, {c.numHeads}, {1}};
  int64_t rows = int64_t(c.numHeads) * c.seqLenQ;
  if (c.returnLse) args.lse = {lse.data(), DType::Float32, 3, {c.batch, c.numHeads, c.seqLenQ}, {rows, c.seqLenQ, 1}};
  std::unique_ptr<Values> bias;
  if (*c.bias) {
    auto has = [&](char x) { return std::strchr(c.bias, x) != nullptr; };
    bias = std::make_unique<Values>(dtype, has('b') ? c.batch : 1, has('h') ? c.numHeads : 1, has('q') ? c.seqLenQ : 1,
                                    has('k') ? c.seqLenKV : 1);
    fill(*bias, 2);
    args.bias = bias->view;
    int64_t full[4] = {c.batch, c.numHeads, c.seqLenQ, c.seqLenKV};
    for (int i = 0; i < 4; ++i) {
      if (bias->shape[i] == 1) args.bias.strides[i] = 0;
      args.bias.shape[i] = full[i];
    }
  }
  args.pattern = &c.pattern;
  args.offset = c.seqLenKV - c.seqLenQ;
  std::vector<Row> dense;
  double naiveError = 0, largest = 0;
  // the few rows of decoding meet bfloat16 keys as bfloat16
  bool fewRows = c.seqLenQ * c.numHeads / c.numKVHeads <= 48 && kvDType == DType::BFloat16;
  for (int b = 0; b < c.batch; ++b)
    for (int h = 0; h < c.numHeads; ++h)
      for (int i = 0; i < c.seqLenQ; ++i) {
        Row row = denseRow(c, args, fewRows ? DType::BFloat16 : dtype, q, k, v, bias.get(), b, h, i);
        for (int d = 0; d < c.valueDim; ++d) {
          naiveError = std::max(naiveError, std::fabs(row.naive[d] - row.out[d]));
          largest = std::max(largest, std::fabs(row.out[d]));
        }
        dense.push_back(std::move(row));
      }
  int bits = dtype == DType::Float32 ? 24 : dtype == DType::Float16 ? 11 : 8;
  double bound = 2 * naiveError + std::ldexp(1.0, std::ilogb(std::max(largest, 1e-30)) - bits);
  auto compare = [&](const Backend& backend, const Values& out, const char* where) {
    double error = 0, lseError = 0;
    const Row* row = dense.data();
    for (int b = 0; b < c.batch; ++b)
      for (int h = 0; h < c.numHeads; ++h)
        for (int i = 0; i < c.seqLenQ; ++i, ++row) {
          for (int d = 0; d < c.valueDim; ++d) {
            double e = std::fabs(out.get(b, i, h, d) - row->out[d]);
            error = e <= error ? error : e;  // a NaN stays
          }
          if (!c.returnLse) continue;
          double got = lse[(b * c.numHeads + h) * c.seqLenQ + i];
          double e = got == row->lse ? 0 : std::fabs(got - row->lse) / std::max(1.0, std::fabs(row->lse));
          lseError = e <= lseError ? lseError : e;
        }
    check(error <= bound, "%s %s %s/%s %s: error %.3g > %.3g (naive %.3g)", backend.name, c.name, nameOf(dtype),
          nameOf(kvDType), where, error, bound, naiveError);
    // probabilities that are rounded to bfloat16 anyway come from a polynomial of degree 3
    double lseBound = fewRows ? 4e-3 : dtype == DType::BFloat16 ? 1e-4 : 4e-6;
    check(lseError <= lseBound, "%s %s %s %s: lse error %.3g", backend.name, c.name, nameOf(dtype), where, lseError);
  };
  for (const Backend* backend : backends) {
    if (!backend->isSupported()) continue;
    Values first(dtype, c.batch, c.seqLenQ, c.numHeads, c.valueDim), out = first;
    PlainParallel one(1), three(3);
    args.out = first.view, args.out.data = first.bytes.data();
    backend->attention(args, one);
    compare(*backend, first, "from tensors");
    check(one.perThreadBytes + one.sharedBytes <= 8 << 20, "%s %s: %zu bytes of scratch", backend->name, c.name,
          one.perThreadBytes + one.sharedBytes);
    args.out.data = out.bytes.data();
    backend->attention(args, three);
    check(out.bytes == first.bytes, "%s %s: three threads change the result", backend->name, c.name);
    if (c.batch > 1 || c.seqLenKV == 0) continue;
    Cache cache(*backend, k, v);
    AttentionArgs cached = args;
    cached.k = cached.v = {}, cached.cache = cache.view;
    backend->attention(cached, three);
    compare(*backend, out, "from the cache");
  }
}

int main(int argc, char** argv) {
  constexpr int all = Window::unbounded;
  auto causal = [](int a, int b) { return Pattern(Window{{a, b}, all, 0}); };
  auto window = [](int a, int b, int before, int after) { return Pattern(Window{{a, b}, before, after}); };
  auto sinks = [](int a, int b, int tokens, int before) { return Pattern(Sinks{{a, b}, tokens, before, 0}); };
  auto full = [](int a, int b) { return Pattern(Full{{a, b}}); };
  Pattern perHead[4] = {causal(150, 150), window(150, 150, 9, 3), full(150, 150), sinks(150, 150, 3, 20)};
  Pattern each;
  each.each = perHead, each.eachHead = 4;
  const Case cases[] = {
      {"one key", 1, 1, 1, 1, 1, 64, 64, full(1, 1)},
      {"no key", 2, 3, 0, 2, 1, 16, 16, full(3, 0)},
      {"full 100", 1, 100, 100, 2, 2, 64, 64, full(100, 100)},
      {"full 193 gqa", 2, 65, 193, 4, 2, 80, 80, full(65, 193)},
      {"causal 128", 1, 128, 128, 2, 1, 128, 128, causal(128, 128)},
      {"causal 399", 1, 399, 399, 4, 1, 32, 48, causal(399, 399)},
      {"causal 7 of 500", 2, 7, 500, 8, 2, 64, 64, causal(7, 500)},
      {"causal more queries", 1, 90, 37, 3, 3, 24, 24, causal(90, 37)},
      {"odd dims", 1, 70, 70, 3, 1, 1, 3, causal(70, 70)},
      {"odd dims 2", 1, 33, 61, 2, 2, 17, 255, causal(33, 61)},
      {"wide", 1, 130, 130, 2, 1, 256, 256, causal(130, 130)},
      {"mqa 20", 1, 50, 50, 20, 1, 40, 8, causal(50, 50)},
      {"mqa 100 heads", 1, 3, 200, 100, 1, 16, 16, causal(3, 200)},
      {"window", 1, 450, 450, 2, 2, 32, 32, window(450, 450, 50, 0)},
      {"window both", 1, 300, 410, 2, 1, 32, 32, window(300, 410, 20, 30)},
      {"window wide", 1, 600, 600, 4, 4, 16, 16, window(600, 600, 299, 0)},
      {"anti-causal", 1, 250, 250, 1, 1, 32, 32, window(250, 250, 0, all)},
      {"own position", 1, 64, 64, 1, 1, 32, 32, window(64, 64, 0, 0)},
      {"sinks", 1, 500, 500, 2, 1, 32, 32, sinks(500, 500, 4, 60)},
      {"sinks near", 1, 200, 260, 2, 1, 32, 32, sinks(200, 260, 40, 10)},
      {"per head", 2, 150, 150, 4, 2, 32, 32, each},
      {"split", 1, 20, 4000, 2, 1, 32, 32, causal(20, 4000)},
      {"split sinks", 1, 20, 4000, 2, 1, 32, 32, sinks(20, 4000, 7, 1000), 0, 0, false, true},
      {"softcap", 1, 100, 150, 2, 1, 64, 64, causal(100, 150), 0, 2.5f, false, false, true, "", "bshd", 4},
      {"softcap high", 1, 100, 150, 2, 1, 64, 64, causal(100, 150), 0, 50},
      {"alibi", 1, 130, 190, 4, 2, 64, 64, causal(130, 190), 0, 0, true},
      {"alibi few", 1, 3, 190, 4, 4, 32, 32, full(3, 190), 0, 0, true},
      {"alibi full", 1, 100, 190, 4, 4, 32, 32, full(100, 190), 0, 0, true},
      {"bias", 2, 100, 150, 4, 2, 32, 32, full(100, 150), 0, 0, false, false, true, "bhqk"},
      {"bias of keys", 2, 100, 150, 4, 2, 32, 32, causal(100, 150), 0, 0, false, false, true, "bk"},
      {"bias of queries", 1, 100, 200, 4, 2, 32, 32, causal(100, 200), 0, 0, false, false, true, "hq"},
      {"everything", 2, 75, 205, 6, 2, 48, 40, window(75, 205, 60, 10), 0.3f, 5, true, true, true, "hqk"},
      {"sink logits", 1, 90, 37, 4, 2, 32, 32, causal(90, 37), 0, 0, false, true},
      {"scale 0", 1, 30, 40, 1, 1, 16, 16, causal(30, 40), -1e-30f},
      {"scale below 0", 1, 30, 40, 1, 1, 16, 16, causal(30, 40), -0.4f},
      {"large scores", 2, 64, 64, 4, 4, 64, 64, causal(64, 64), 0, 0, false, false, true, "", "bshd", 30},
      {"heads first", 2, 70, 100, 4, 2, 64, 64, causal(70, 100), 0, 0, false, false, true, "", "bhsd"},
      {"padded rows", 2, 70, 100, 4, 2, 33, 65, causal(70, 100), 0, 0, false, false, true, "", "padded"},
      {"every second", 1, 70, 100, 4, 2, 33, 64, causal(70, 100), 0, 0, false, false, true, "", "every second"},
      {"dims outermost", 1, 70, 100, 4, 2, 30, 20, causal(70, 100), 0, 0, false, false, false, "", "bshd last first"},
      {"split of many rows", 1, 30, 4000, 2, 1, 32, 32, causal(30, 4000)},
      {"split sinks of many rows", 1, 30, 4000, 2, 1, 32, 32, sinks(30, 4000, 7, 1000), 0, 0, false, true},
      {"scale 0 of many rows", 1, 60, 40, 1, 1, 16, 16, causal(60, 40), -1e-30f},
      {"scale below 0 of many rows", 1, 60, 40, 1, 1, 16, 16, causal(60, 40), -0.4f},
      {"odd dims of many rows", 1, 63, 61, 2, 2, 17, 255, causal(63, 61)},
  };
  for (const Case& c : cases) {
    if (argc > 1 && !std::strstr(c.name, argv[1])) continue;
    for (DType dtype : {DType::Float32, DType::Float16, DType::BFloat16}) run(c, dtype, dtype);
    run(c, DType::Float32, DType::BFloat16);
  }
  return finish("attention");
}
