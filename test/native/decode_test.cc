// Decode attention, the KV cache and mergeAttention against float64, on every ISA this machine has. The error rule is
// the API's: at most twice the error of the naive computation in the same dtype, plus half an ulp of the output.
#include "core/backend.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace longspan;

namespace longspan {
extern const Backend baselineBackend, avx2Backend, avx512Backend, avx512bf16Backend, neonBackend;
}

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Items one after the other, handed to three "threads" in turn.
struct Serial : Parallel {
  std::vector<unsigned char> bytes;
  size_t perThread = 0;
  Serial() {
    numThreads = 3;
    runItems = [](Parallel&, int64_t count, void (*body)(void*, int64_t, int), void* context) {
      for (int64_t i = 0; i < count; ++i) body(context, i, int(i % 3));
    };
    reserveScratch = [](Parallel& self, size_t perThread, size_t shared) {
      auto& serial = static_cast<Serial&>(self);
      serial.perThread = (perThread + 63) / 64 * 64;
      serial.bytes.assign(serial.perThread * 3 + shared + 64, 0xff);
    };
    threadScratch = [](Parallel& self, int thread) { return static_cast<Serial&>(self).at(thread); };
    sharedScratch = [](Parallel& self) { return static_cast<Serial&>(self).at(3); };
  }
  unsigned char* at(int thread) {
    auto base = (reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64;
    return reinterpret_cast<unsigned char*>(base) + perThread * thread;
  }
};

uint16_t bfloat16Of(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x != x) return 0x7fc0;
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float fromBFloat16(uint16_t x) { return std::bit_cast<float>(uint32_t(x) << 16); }
uint16_t float16Of(float x) {  // normal range only
  if (x == 0 || x != x) return x == 0 ? 0 : 0x7e00;
  int exponent = 0;
  float mantissa = std::frexp(std::fabs(x), &exponent);
  int bits = exponent < -13 ? int(std::lrint(std::ldexp(std::fabs(x), 24)))
                            : int(std::lrint(mantissa * 2048)) - 1024 + ((exponent + 14) << 10);
  return uint16_t(bits | (x < 0 ? 0x8000 : 0));
}
float fromFloat16(uint16_t x) {
  int exponent = x >> 10 & 31, mantissa = x & 1023;
  float value = exponent ? std::ldexp(float(mantissa + 1024), exponent - 25) : std::ldexp(float(mantissa), -24);
  if (exponent == 31) value = nan;
  return x & 0x8000 ? -value : value;
}
float rounded(float x, DType dtype) {
  if (dtype == DType::BFloat16) return fromBFloat16(bfloat16Of(x));
  if (dtype == DType::Float16) return fromFloat16(float16Of(x));
  return x;
}

// A tensor on the heap, `gap` elements apart in the last axis, values as float32 beside it.
struct TestTensor {
  std::vector<unsigned char> bytes;
  TensorView view;
  TestTensor() = default;
  TestTensor(DType dtype, std::vector<int64_t> shape, int64_t gap = 1) {
    view.dtype = dtype;
    view.rank = int(shape.size());
    int64_t stride = gap;
    for (int i = view.rank - 1; i >= 0; --i) {
      view.shape[i] = shape[i];
      view.strides[i] = stride;
      stride *= shape[i];
    }
    bytes.assign((stride + 1) * sizeOf(dtype), 0);
    view.data = bytes.data();
  }
  float get(int64_t a, int64_t b, int64_t c, int64_t d) const {
    int64_t i = at(a, b, c, d);
    if (view.dtype == DType::Float32) return view.as<float>()[i];
    uint16_t bits = view.as<uint16_t>()[i];
    return view.dtype == DType::BFloat16 ? fromBFloat16(bits) : fromFloat16(bits);
  }
  void set(int64_t a, int64_t b, int64_t c, int64_t d, float x) {
    int64_t i = at(a, b, c, d);
    if (view.dtype == DType::Float32)
      view.as<float>()[i] = x;
    else
      view.as<uint16_t>()[i] = view.dtype == DType::BFloat16 ? bfloat16Of(x) : float16Of(x);
  }
  int64_t at(int64_t a, int64_t b, int64_t c, int64_t d) const {
    return a * view.strides[0] + b * view.strides[1] + c * view.strides[2] + d * view.strides[3];
  }
  void fill(std::mt19937& random, float size = 1) {
    std::normal_distribution<float> normal(0, size);
    for (int64_t a = 0; a < view.shape[0]; ++a)
      for (int64_t b = 0; b < view.shape[1]; ++b)
        for (int64_t c = 0; c < view.shape[2]; ++c)
          for (int64_t d = 0; d < view.shape[3]; ++d) set(a, b, c, d, normal(random));
  }
};

struct Case {
  DType dtype = DType::Float32, cacheDType = DType::Float32;
  bool cache = false, headsFirst = false, softcap = false, alibi = false, bias = false, sinkLogits = false;
  int batch = 1, seqLenQ = 1, numKVHeads = 2, group = 4, headDim = 64, valueDim = 64, gap = 1;
  int64_t seqLenKV = 100;
  enum { full, causal, window, sinks } pattern = full;
};

std::string describe(const Case& c) {
  char text[300];
  snprintf(text, sizeof text,
           "%s%s batch %d, %d queries, %lld keys, %d heads × %d, dims %d %d, pattern %d, gap %d%s%s%s%s%s",
           nameOf(c.dtype), c.cache ? c.cacheDType == DType::Float32 ? " float32 cache" : " bfloat16 cache" : "",
           c.batch, c.seqLenQ, static_cast<long long>(c.seqLenKV), c.numKVHeads, c.group, c.headDim, c.valueDim,
           int(c.pattern), c.gap, c.headsFirst ? " heads first" : "", c.softcap ? " softcap" : "",
           c.alibi ? " alibi" : "", c.bias ? " bias" : "", c.sinkLogits ? " sinkLogits" : "");
  return text;
}

Pattern patternOf(const Case& c) {
  int n = int(c.seqLenKV);
  if (c.pattern == Case::causal) return Window{{c.seqLenQ, n}, Window::unbounded, 0};
  if (c.pattern == Case::window) return Window{{c.seqLenQ, n}, 40, 0};
  if (c.pattern == Case::sinks) return Sinks{{c.seqLenQ, n}, 3, 50, 0};
  return Full{{c.seqLenQ, n}};
}

struct Slabs {
  std::vector<void*> slabs;
  KVCacheView view;
  explicit Slabs(const Case& c, int64_t keys) {
    view.dtype = c.cacheDType;
    view.numKVHeads = c.numKVHeads, view.headDim = c.headDim, view.valueDim = c.valueDim;
    view.length = c.seqLenKV;
    view.keySets = 1 + c.seqLenKV % 2;  // odd lengths: beside another set, before or after the one that is read
    view.keySet = view.keySets == 2 ? int(c.seqLenKV / 2 % 2) : 0;
    for (int64_t i = 0; i < view.numSlabs(keys); ++i) {
      slabs.push_back(std::aligned_alloc(64, view.slabBytes()));
      std::memset(slabs.back(), 0, view.slabBytes());
    }
    view.slabs = slabs.data();
  }
  ~Slabs() {
    for (void* slab : slabs) std::free(slab);
  }
};

TensorView rowsFrom(TensorView view, int64_t first, int64_t count) {
  view.data = view.as<unsigned char>() + first * view.strides[1] * sizeOf(view.dtype);
  view.shape[1] = count;
  return view;
}

// What goes into both sets of keys: the given ones where they are read, NaN elsewhere
CacheAppendArgs appended(const KVCacheView& view, int64_t position, const TensorView& k, const TensorView& v,
                         const TensorView& bad) {
  return view.keySet == 1 ? CacheAppendArgs{view, position, bad, v, k} : CacheAppendArgs{view, position, k, v, bad};
}

// In three pieces, after a token of NaN at the end and another past it (left over from a longer past).
void append(const Backend& backend, Slabs& slabs, const Case& c, const TestTensor& k, const TestTensor& v,
            Parallel& parallel) {
  TestTensor badKey(c.dtype, {1, 1, c.numKVHeads, c.headDim}), badValue(c.dtype, {1, 1, c.numKVHeads, c.valueDim});
  for (int h = 0; h < c.numKVHeads; ++h) {
    for (int d = 0; d < c.headDim; ++d) badKey.set(0, 0, h, d, nan);
    for (int d = 0; d < c.valueDim; ++d) badValue.set(0, 0, h, d, nan);
  }
  TestTensor bad(c.dtype, {1, c.seqLenKV, c.numKVHeads, c.headDim});
  for (int64_t i = 0; i < c.seqLenKV; ++i)
    for (int h = 0; h < c.numKVHeads; ++h)
      for (int d = 0; d < c.headDim; ++d) bad.set(0, i, h, d, nan);
  for (int64_t position : {c.seqLenKV - 1, c.seqLenKV, c.seqLenKV + 1})
    backend.cacheAppend({slabs.view, position, badKey.view, badValue.view, badKey.view}, parallel);
  int64_t cuts[] = {0, c.seqLenKV / 3, c.seqLenKV - c.seqLenKV / 5, c.seqLenKV};
  for (int i : {1, 0, 2})
    backend.cacheAppend(
        appended(slabs.view, cuts[i], rowsFrom(k.view, cuts[i], cuts[i + 1] - cuts[i]),
                 rowsFrom(v.view, cuts[i], cuts[i + 1] - cuts[i]), rowsFrom(bad.view, cuts[i], cuts[i + 1] - cuts[i])),
        parallel);
}

struct Errors {
  double kernel = 0, naive = 0, highest = 0, lse = 0;
};

// What every ISA is held against, computed once
struct Reference {
  std::vector<std::vector<double>> rows;
  std::vector<double> lses;
  double naiveError = 0, highest = 0;
};

struct Problem {
  Case c;
  TestTensor q, k, v, bias, slopes, sinkLogits;
  std::vector<float> heldKeys,
      heldValues;  // [batch, numKVHeads, seqLenKV, dim]: what is left of k and v before the call
  explicit Problem(const Case& c) : c(c) {
    std::mt19937 random(7);
    int heads = c.numKVHeads * c.group;
    q = TestTensor(c.dtype, {c.batch, c.seqLenQ, heads, c.headDim}, c.gap);
    auto keys = [&](int dim) {
      if (!c.headsFirst) return TestTensor(c.dtype, {c.batch, c.seqLenKV, c.numKVHeads, dim}, c.gap);
      TestTensor t(c.dtype, {c.batch, c.numKVHeads, c.seqLenKV, dim}, c.gap);
      std::swap(t.view.shape[1], t.view.shape[2]);
      std::swap(t.view.strides[1], t.view.strides[2]);
      return t;
    };
    k = keys(c.headDim);
    v = keys(c.valueDim);
    bias = TestTensor(DType::Float32, {1, heads, c.seqLenQ, c.seqLenKV});
    slopes = TestTensor(DType::Float32, {1, 1, 1, heads});
    sinkLogits = TestTensor(DType::Float32, {1, 1, 1, heads});
    for (TestTensor* t : {&q, &k, &v, &bias, &slopes, &sinkLogits}) t->fill(random);
    heldKeys = held(k, c.headDim);
    heldValues = held(v, c.valueDim);
  }

  template <class Float>
  Float score(int i, int head, int64_t j, Float dot) const {
    Float s = dot * Float(1 / std::sqrt(double(c.headDim)));
    if (c.softcap) s = 2 * std::tanh(s / 2);
    if (c.alibi) s -= Float(slopes.get(0, 0, 0, head)) * Float(std::abs(j - i - (c.seqLenKV - c.seqLenQ)));
    if (c.bias) s += Float(bias.get(0, head, i, j));
    return s;
  }

  std::vector<float> held(const TestTensor& t, int dim) const {
    std::vector<float> out;
    for (int b = 0; b < c.batch; ++b)
      for (int h = 0; h < c.numKVHeads; ++h)
        for (int64_t j = 0; j < c.seqLenKV; ++j)
          for (int d = 0; d < dim; ++d) out.push_back(rounded(t.get(b, j, h, d), c.cache ? c.cacheDType : c.dtype));
    return out;
  }
  std::vector<float> queryOf(int b, int i, int head) const {
    std::vector<float> out;
    for (int d = 0; d < c.headDim; ++d) out.push_back(q.get(b, i, head, d));
    return out;
  }
  const float* keyOf(int b, int head, int64_t j) const { return &heldKeys[rowOf(b, head, j) * c.headDim]; }
  const float* valueOf(int b, int head, int64_t j) const { return &heldValues[rowOf(b, head, j) * c.valueDim]; }
  int64_t rowOf(int b, int head, int64_t j) const {
    return (int64_t(b) * c.numKVHeads + head / c.group) * c.seqLenKV + j;
  }

  // one row in float64
  double exactRow(const Pattern& pattern, int b, int i, int head, std::vector<double>& out) const {
    std::vector<float> query = queryOf(b, i, head);
    std::vector<double> s(c.seqLenKV, -double(infinity));
    double highest = c.sinkLogits ? sinkLogits.get(0, 0, 0, head) : -double(infinity), total = 0;
    for (int64_t j = 0; j < c.seqLenKV; ++j) {
      if (!walkOf(pattern).allows(pattern, i, int(j))) continue;
      const float* key = keyOf(b, head, j);
      double dot = 0;
      for (int d = 0; d < c.headDim; ++d) dot += double(query[d]) * key[d];
      s[j] = score(i, head, j, dot);
      highest = std::max(highest, s[j]);
    }
    for (double& x : s) total += x = x == -infinity ? 0 : std::exp(x - highest);
    if (c.sinkLogits) total += std::exp(sinkLogits.get(0, 0, 0, head) - highest);
    out.assign(c.valueDim, 0);
    for (int64_t j = 0; j < c.seqLenKV; ++j) {
      const float* value = valueOf(b, head, j);
      for (int d = 0; d < c.valueDim && s[j] > 0; ++d) out[d] += s[j] / total * value[d];
    }
    return highest + std::log(total);
  }

  // the same in q's dtype with float32 sums: scores and P rounded
  void naiveRow(const Pattern& pattern, int b, int i, int head, std::vector<float>& out) const {
    DType dtype = c.dtype;
    std::vector<float> query = queryOf(b, i, head), s(c.seqLenKV, -infinity);
    float highest = c.sinkLogits ? sinkLogits.get(0, 0, 0, head) : -infinity, total = 0;
    for (int64_t j = 0; j < c.seqLenKV; ++j) {
      if (!walkOf(pattern).allows(pattern, i, int(j))) continue;
      const float* key = keyOf(b, head, j);
      float dot = 0;
      for (int d = 0; d < c.headDim; ++d) dot += query[d] * key[d];
      s[j] = rounded(score(i, head, j, rounded(dot, dtype)), dtype);
      highest = std::max(highest, s[j]);
    }
    for (float& x : s) total += x = x == -infinity ? 0 : std::exp(x - highest);
    if (c.sinkLogits) total += std::exp(sinkLogits.get(0, 0, 0, head) - highest);
    out.assign(c.valueDim, 0);
    for (int64_t j = 0; j < c.seqLenKV; ++j) {
      const float p = rounded(s[j] / total, dtype), *value = valueOf(b, head, j);
      for (int d = 0; d < c.valueDim && s[j] > 0; ++d) out[d] += p * value[d];
    }
    for (float& x : out) x = rounded(x, dtype);
  }

  template <class F>
  void forEachRow(const F& f) const {
    for (int b = 0; b < c.batch; ++b)
      for (int i = 0; i < c.seqLenQ; ++i)
        for (int head = 0; head < c.numKVHeads * c.group; ++head) f(b, i, head);
  }

  Reference reference() const {
    Reference reference;
    Pattern pattern = patternOf(c);
    forEachRow([&](int b, int i, int head) {
      std::vector<double> right;
      std::vector<float> naive;
      reference.lses.push_back(exactRow(pattern, b, i, head, right));
      naiveRow(pattern, b, i, head, naive);
      for (int d = 0; d < c.valueDim; ++d) {
        reference.naiveError = std::max(reference.naiveError, std::fabs(naive[d] - right[d]));
        reference.highest = std::max(reference.highest, std::fabs(right[d]));
      }
      reference.rows.push_back(right);
    });
    return reference;
  }

  Errors compare(const Reference& reference, const TestTensor& out, const TestTensor& lse) const {
    Errors errors = {.naive = reference.naiveError, .highest = reference.highest};
    size_t row = 0;
    forEachRow([&](int b, int i, int head) {
      for (int d = 0; d < c.valueDim; ++d) {
        double error = std::fabs(out.get(b, i, head, d) - reference.rows[row][d]);
        errors.kernel = error <= errors.kernel ? errors.kernel : error;  // NaN stays
      }
      double got = lse.get(0, b, head, i), right = reference.lses[row++],
             error = got == right ? 0 : std::fabs(got - right);
      errors.lse = error <= errors.lse ? errors.lse : error;
    });
    return errors;
  }

  AttentionArgs args(const Pattern& pattern, TestTensor& out, TestTensor& lse) const {
    AttentionArgs args = {.q = q.view, .out = out.view, .scale = float(1 / std::sqrt(double(c.headDim)))};
    args.lse = lse.view;
    args.lse.rank = 3;
    for (int i = 0; i < 3; ++i) {
      args.lse.shape[i] = lse.view.shape[i + 1];
      args.lse.strides[i] = lse.view.strides[i + 1];
    }
    args.pattern = &pattern;
    args.offset = visit(pattern, [](const auto& p) { return p.offset(); });
    if (c.softcap) args.softcap = 2;
    if (c.bias) args.bias = bias.view;
    args.bias.strides[0] = 0;  // broadcast
    auto perHead = [](TensorView view) {
      view.rank = 1;
      view.shape[0] = view.shape[3];
      view.strides[0] = view.strides[3];
      return view;
    };
    if (c.alibi) args.alibiSlopes = perHead(slopes.view);
    if (c.sinkLogits) args.sinkLogits = perHead(sinkLogits.view);
    return args;
  }
};

int passed = 0, failed = 0;

void check(bool right, const Backend& backend, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) printf("FAILED %s: %s\n", backend.name, what.c_str());
}

void runCase(const Backend& backend, const Problem& problem, const Reference& reference) {
  const Case& c = problem.c;
  Serial parallel;
  int heads = c.numKVHeads * c.group;
  TestTensor out(c.dtype, {c.batch, c.seqLenQ, heads, c.valueDim}), lse(DType::Float32, {1, c.batch, heads, c.seqLenQ});
  Pattern pattern = patternOf(c);
  AttentionArgs args = problem.args(pattern, out, lse);
  Slabs slabs(c, c.cache ? c.seqLenKV + 2 : 0);
  if (c.cache) {
    append(backend, slabs, c, problem.k, problem.v, parallel);
    args.cache = slabs.view;
  } else {
    args.k = problem.k.view;
    args.v = problem.v.view;
  }
  backend.attention(args, parallel);
  Errors errors = problem.compare(reference, out, lse);
  double halfUlp = errors.highest * (c.dtype == DType::Float32   ? 0x1p-22
                                     : c.dtype == DType::Float16 ? 0x1p-11
                                                                 : 0x1p-8);
  char text[160];
  snprintf(text, sizeof text, ": error %.2g, naive %.2g, largest %.2g, lse %.2g", errors.kernel, errors.naive,
           errors.highest, errors.lse);
  check(errors.kernel <= 2 * errors.naive + halfUlp && errors.lse <= (c.dtype == DType::BFloat16 ? 2e-2 : 1e-5),
        backend, describe(c) + text);
}

void runCase(const std::vector<const Backend*>& backends, const Case& c) {
  Problem problem(c);
  Reference reference = problem.reference();
  for (const Backend* backend : backends) runCase(*backend, problem, reference);
}

void runCases(const std::vector<const Backend*>& backends) {
  for (DType dtype : {DType::Float32, DType::Float16, DType::BFloat16})
    for (int kind = 0; kind < 5; ++kind) {  // cache, tensors, tensors with heads first, strided; float32 on bfloat16
      if (kind == 4 && dtype != DType::Float32) continue;  // a cache as a model has it; float16 has no other
      bool wide = dtype == DType::Float32 && kind != 4;
      Case base = {.dtype = dtype, .cacheDType = wide ? DType::Float32 : DType::BFloat16};
      base.cache = kind % 4 == 0;
      base.headsFirst = kind == 2;
      base.gap = kind == 3 ? 2 : 1;
      for (int dim : {1, 20, 32, 40, 64, 80, 128, 192, 256})
        for (int64_t length : {1, 31, 33, 100}) {
          if (!base.cache && length < 32) continue;
          Case c = base;
          c.headDim = dim;
          c.valueDim = dim == 40 ? 48 : dim == 192 ? 128 : dim;
          c.seqLenKV = length;
          c.group = dim % 3 + 1;
          c.pattern = length > 60 ? Case::window : Case::full;
          runCase(backends, c);
        }
      for (int group : {1, 3, 4, 8}) {
        Case c = base;
        c.group = group;
        c.seqLenKV = 1000 + 37 * group;
        c.pattern = Case::causal;
        c.seqLenQ = group < 4 ? 3 : group == 8 ? 5 : 1;
        c.batch = c.cache ? 1 : 2;
        runCase(backends, c);
        c.pattern = Case::sinks;
        c.sinkLogits = true;
        runCase(backends, c);
        c.pattern = Case::window;
        c.alibi = c.bias = c.softcap = true;
        runCase(backends, c);
      }
      Case c = base;  // rows that see nothing; more queries than keys
      c.seqLenQ = 4;
      c.seqLenKV = 2;
      c.pattern = Case::causal;
      runCase(backends, c);
      c.seqLenQ = 1;
      c.seqLenKV = 70000;  // more slabs than chunks
      c.numKVHeads = c.group = 1;
      c.headDim = c.valueDim = 16;
      c.pattern = Case::full;
      runCase(backends, c);
    }
}

// Two halves of the keys, merged, equal the whole; a part with lse −inf does not count even if its out is NaN.
void runMerge(const Backend& backend, DType dtype) {
  Case c = {.dtype = dtype};
  c.headDim = c.valueDim = 40;
  c.seqLenKV = 90;
  Problem problem(c);
  Serial parallel;
  int heads = c.numKVHeads * c.group;
  TestTensor outs[4], lses[4];
  for (int i = 0; i < 4; ++i) {
    outs[i] = TestTensor(dtype, {1, 1, heads, 40}, i == 1 ? 2 : 1);
    lses[i] = TestTensor(DType::Float32, {1, 1, heads, 1});
  }
  TensorView outViews[3], lseViews[3];
  for (int i = 0; i < 3; ++i) {
    Pattern pattern = Full{{1, 45}};
    AttentionArgs args = problem.args(pattern, outs[i], lses[i]);
    outViews[i] = args.out;
    lseViews[i] = args.lse;
    args.k = rowsFrom(problem.k.view, 45 * i, 45);
    args.v = rowsFrom(problem.v.view, 45 * i, 45);
    if (i < 2) backend.attention(args, parallel);
  }
  for (int h = 0; h < heads; ++h) {
    lses[2].set(0, 0, h, 0, -infinity);
    for (int d = 0; d < 40; ++d) outs[2].set(0, 0, h, d, nan);
  }
  Pattern whole = Full{{1, 90}};
  AttentionArgs args = problem.args(whole, outs[3], lses[3]);
  backend.mergeAttention({3, outViews, lseViews, args.out, args.lse}, parallel);
  Errors errors = problem.compare(problem.reference(), outs[3], lses[3]);
  check(errors.kernel <= 2 * errors.naive + errors.highest * (dtype == DType::Float32 ? 0x1p-22 : 0x1p-7) &&
            errors.lse <= (dtype == DType::Float32 ? 1e-5 : 2e-2),
        backend, std::string("merge of ") + nameOf(dtype));
  backend.mergeAttention({1, &outViews[2], &lseViews[2], args.out, args.lse}, parallel);
  bool nothing = true;
  for (int h = 0; h < heads; ++h)
    nothing = nothing && lses[3].get(0, 0, h, 0) == -infinity && outs[3].get(0, 0, h, 7) == 0;
  check(nothing, backend, "merge of nothing");
}

}  // namespace

int main() {
  std::vector<const Backend*> backends;
#ifdef __x86_64__
  for (const Backend* backend : {&baselineBackend, &avx2Backend, &avx512Backend, &avx512bf16Backend})
    if (backend->isSupported()) backends.push_back(backend);
#else
  backends.push_back(&neonBackend);
#endif
  runCases(backends);
  for (const Backend* backend : backends)
    for (DType dtype : {DType::Float32, DType::Float16, DType::BFloat16}) runMerge(*backend, dtype);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
