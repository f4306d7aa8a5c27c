// attention(), mergeAttention() and cacheAppend() of the CUDA plugin, which the emulator runs (test/emulator), against
// a dense float64 reference made of `allows` alone: every kind of pattern, dtypes, widths, groups of heads, terms of
// the scores, sequences, pages and caches, drawn at random. The bound is twice the largest error of the naive
// computation in the same dtype, plus half an ulp. Each case runs with two orders of the threads and must give the same
// bits.
#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "cache_coding.h"
#include "check.h"
#include "core/plugin.h"
#include "cuda_attention_patterns.h"
#include "plain_parallel.h"

using namespace longspan;
using test::Lists;

namespace {

const Backend* backend;
const DeviceCalls* calls;
std::mt19937 engine(11);
int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine); }
bool chance(double p) { return std::uniform_real_distribution<double>(0, 1)(engine) < p; }
template <class T>
T oneOf(std::initializer_list<T> list) {
  return list.begin()[pick(0, int(list.size()) - 1)];
}
float normal() { return std::normal_distribution<float>(0, 1)(engine); }

// --- numbers
float roundTo(float x, DType dtype) {  // the nearest value of the dtype
  if (dtype == DType::BFloat16) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    return __builtin_bit_cast(float, (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
  }
  if (dtype == DType::Float16 && x != 0 && std::isfinite(x)) {
    const int exponent = std::max(std::ilogb(x), -14);
    return std::ldexp(std::nearbyint(std::ldexp(x, 10 - exponent)), exponent - 10);
  }
  return x;
}
uint16_t bitsOf(float x, DType dtype) {
  if (dtype == DType::BFloat16) return __builtin_bit_cast(uint32_t, x) >> 16;
  if (x == 0) return 0;
  const int exponent = std::ilogb(x), sign = x < 0 ? 0x8000 : 0;
  const float size = std::fabs(x);
  if (exponent < -14) return uint16_t(sign | int(std::ldexp(size, 24)));
  return uint16_t(sign | ((exponent + 15) << 10) | (int(std::ldexp(size, 10 - exponent)) & 0x3ff));
}
float floatOf(uint16_t bits, DType dtype) {
  if (dtype == DType::BFloat16) return __builtin_bit_cast(float, uint32_t(bits) << 16);
  const int exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  const float x = exponent == 31 ? NAN
                  : exponent     ? std::ldexp(float(mantissa | 0x400), exponent - 25)
                                 : std::ldexp(float(mantissa), -24);
  return bits & 0x8000 ? -x : x;
}

int bitsOfDType(DType dtype) { return dtype == DType::Float32 ? 24 : dtype == DType::Float16 ? 11 : 8; }

// --- memory of the device, exactly as long as it must be
struct Memory {
  void* data = nullptr;
  size_t bytes = 0;
  explicit Memory(const void* from, size_t n) : data(calls->allocate(0, n)), bytes(n) {
    if (n) calls->upload(data, from, n);
  }
  ~Memory() { calls->release(0, data); }
  Memory(const Memory&) = delete;
};
std::deque<Memory> memories;  // of the case

// A tensor [a, b, c, d] whose gaps are NaN
struct Tensor {
  TensorView view;
  std::vector<unsigned char> bytes;
  Memory* memory = nullptr;

  Tensor(DType dtype, std::vector<int64_t> shape, int layout = 0) {
    std::vector<int> order;  // from the innermost
    for (int axis = int(shape.size()); axis-- > 0;) order.push_back(axis);
    if (layout == 1 && shape.size() == 4) std::swap(order[1], order[2]);
    int64_t step = layout == 2 ? 2 : 1;
    view.dtype = dtype, view.rank = int(shape.size());
    for (int axis : order) {
      view.shape[axis] = shape[size_t(axis)];
      view.strides[axis] = step;
      step *= shape[size_t(axis)] + (layout == 3 ? 3 : 0);
    }
    bytes.assign(size_t(step) * size_t(sizeOf(dtype)), 0xff);
  }
  template <class... Index>
  int64_t at(Index... index) const {
    int64_t place = 0, axis = 0;
    ((place += int64_t(index) * view.strides[axis++]), ...);
    return place;
  }
  float get(int64_t place) const {
    if (view.dtype == DType::Float32) return reinterpret_cast<const float*>(bytes.data())[place];
    return floatOf(reinterpret_cast<const uint16_t*>(bytes.data())[place], view.dtype);
  }
  void set(int64_t place, float x) {
    if (view.dtype == DType::Float32)
      reinterpret_cast<float*>(bytes.data())[place] = x;
    else
      reinterpret_cast<uint16_t*>(bytes.data())[place] = bitsOf(roundTo(x, view.dtype), view.dtype);
  }
  TensorView onDevice() {
    memory = &memories.emplace_back(bytes.data(), bytes.size());
    view.data = memory->data;
    return view;
  }
  void download() { calls->download(bytes.data(), memory->data, bytes.size()); }
};

// --- a case
struct Case {
  std::string name;
  DType dtype = DType::Float32, kvDType = DType::Float32, outDType = DType::Float32;
  int batch = 1, numHeads = 1, numKVHeads = 1, headDim = 64, valueDim = 64, layout = 0;
  std::vector<int> seqLenQ, seqLenKV;  // of each sequence
  std::vector<Pattern> patterns;       // [1], [batch] or [batch][numHeads]
  bool isPacked = false, isPaged = false, isCached = false, accumulates = false, returnsLse = true;
  int keySets = 1, keySet = 0, pageSize = 0;
  bool repeatsSlab = false;  // the cache is one slab again and again
  KVCoding coding = KVCoding::Plain;
  bool isRecorded = false;  // the keys before the call are counted on the device
  float scale = 0.125f, softcap = 0, selfScore = 0;
  bool alibi = false, sinks = false, queryScale = false, distanceBias = false, expires = false, normalises = false;
  std::string bias;  // which of b h q k it has
  DType biasDType = DType::Float32;
  float magnitude = 1;

  const Pattern& patternOf(int b, int h) const {
    if (patterns.size() == 1) return patterns[0];
    return patterns.size() == size_t(batch) ? patterns[size_t(b)] : patterns[size_t(b * numHeads + h)];
  }
};

struct Inputs {  // as the reference sees them, [batch][row][head][dim]
  std::vector<std::vector<float>> q, k, v;
  std::vector<float> slopes, logits, table, bias;
  std::vector<std::vector<float>> queryScale, spans;
  int firstDistance = -3;
  float ramp = 5;
};

std::vector<float> randomRows(int64_t count, DType dtype, float magnitude) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = roundTo(normal() * magnitude, dtype);
  return values;
}

struct Output {  // one row of attention, with what was there before
  int b, h, query, target;
  std::vector<int> keys;
  double zeroKeys = 0;
  std::vector<double> exact;
  std::vector<float> naive;
  double lse = -INFINITY, spread = 0;  // by the rounding of scores and probabilities
};

float biasAt(const Case& c, const Inputs& in, int b, int h, int i, int j) {
  const int64_t longestQ = c.seqLenQ[0], longestKV = c.seqLenKV[0];
  auto has = [&](char x) { return c.bias.find(x) != std::string::npos; };
  int64_t at = has('b') ? b : 0;
  at = at * (has('h') ? c.numHeads : 1) + (has('h') ? h : 0);
  at = at * (has('q') ? longestQ : 1) + (has('q') ? i : 0);
  at = at * (has('k') ? longestKV : 1) + (has('k') ? j : 0);
  return in.bias[size_t(at)];
}

template <class F>
F scoreOf(const Case& c, const Inputs& in, const Output& o, int key) {
  const int kvHead = o.h / (c.numHeads / c.numKVHeads), position = o.query + c.seqLenKV[o.b] - c.seqLenQ[o.b];
  const float* q = &in.q[size_t(o.b)][size_t((int64_t(o.query) * c.numHeads + o.h) * c.headDim)];
  const float* k = &in.k[size_t(o.b)][size_t((int64_t(key) * c.numKVHeads + kvHead) * c.headDim)];
  F x = 0, squares = 0;
  for (int d = 0; d < c.headDim; ++d) x += F(q[d]) * F(k[d]), squares += F(k[d]) * F(k[d]);
  if (c.selfScore != 0 && key == o.query) return F(c.selfScore);
  if (c.normalises) x /= std::max(std::sqrt(squares), F(1e-12));
  x *= F(c.scale);
  if (c.queryScale) x *= F(in.queryScale[size_t(o.b)][size_t(o.h * c.seqLenQ[o.b] + o.query)]);
  if (c.softcap > 0) x = F(c.softcap) * std::tanh(x / F(c.softcap));
  if (c.alibi) x -= F(in.slopes[size_t(o.h)]) * F(std::abs(key - position));
  const int distances = int(in.table.size()) / c.numHeads;
  if (c.distanceBias)
    x += F(in.table[size_t(o.h * distances + std::clamp(position - key - in.firstDistance, 0, distances - 1))]);
  if (c.expires) {
    const F weight = (F(in.spans[size_t(o.b)][size_t(key)]) - F(position - key)) / F(in.ramp) + 1;
    x += weight >= 1 ? 0 : weight > 0 ? std::log(weight) : F(-INFINITY);
  }
  if (!c.bias.empty()) x += F(biasAt(c, in, o.b, o.h, o.query, key));
  return x;
}

template <class F, class Out>
double softmaxRow(const Case& c, const Inputs& in, Output& o, std::vector<Out>& out) {
  std::vector<F> s;
  F m = -INFINITY, l = 0;
  for (int key : o.keys) s.push_back(scoreOf<F>(c, in, o, key)), m = std::max(m, s.back());
  if (c.sinks) m = std::max(m, F(in.logits[size_t(o.h)]));
  if (o.zeroKeys > 0) m = std::max(m, F(0));
  out.assign(size_t(c.valueDim), 0);
  std::vector<double> squares(size_t(c.valueDim));
  if (m == F(-INFINITY)) return -INFINITY;
  for (F& x : s) l += x = std::exp(x - m);
  if (c.sinks) l += std::exp(F(in.logits[size_t(o.h)]) - m);
  if (o.zeroKeys > 0) l += F(o.zeroKeys) * std::exp(-m);
  const int kvHead = o.h / (c.numHeads / c.numKVHeads);
  for (size_t n = 0; n < s.size(); ++n) {
    const float* v = &in.v[size_t(o.b)][size_t((int64_t(o.keys[n]) * c.numKVHeads + kvHead) * c.valueDim)];
    F p = s[n] / l;
    if constexpr (sizeof(F) == 4) p = roundTo(p, c.dtype);
    for (int d = 0; d < c.valueDim; ++d) {
      out[size_t(d)] += Out(p * F(v[d]));
      squares[size_t(d)] += double(p) * double(p) * double(v[d]) * double(v[d]);
    }
  }
  F highest = 0;
  for (int key : o.keys)
    if (c.selfScore == 0 || key != o.query) highest = std::max(highest, std::fabs(scoreOf<F>(c, in, o, key)));
  const double ofScores = std::isfinite(highest) ? std::ldexp(4 * (1 + double(highest)), -24) : 0;
  o.spread = std::sqrt(*std::max_element(squares.begin(), squares.end())) *
             (std::ldexp(1.0, -bitsOfDType(c.dtype)) + ofScores);
  return double(m) + std::log(double(l));
}

// Every row that is written, and what it sees
std::vector<Output> outputsOf(const Case& c) {
  std::vector<Output> all;
  for (int b = 0; b < c.batch; ++b)
    for (int h = 0; h < c.numHeads; ++h) {
      const Pattern& pattern = c.patternOf(b, h);
      if (pattern.kind == Pattern::Kind::Buckets) {
        test::forEachBucketRow(pattern.buckets, [&](int query, int target, const std::vector<int>& keys) {
          all.push_back({b, h, query, target, keys});
        });
        continue;
      }
      for (int i = 0; i < c.seqLenQ[size_t(b)]; ++i) {
        Output o = {b, h, i, i, {}};
        for (int j = 0; j < c.seqLenKV[size_t(b)]; ++j)
          if (walkOf(pattern).allows(pattern, i, j)) o.keys.push_back(j);
        if (pattern.kind == Pattern::Kind::Dilated && !o.keys.empty()) o.zeroKeys = pattern.dilated.zeroKeys(i);
        all.push_back(std::move(o));
      }
    }
  return all;
}

// --- the call
struct Run {
  const Case& c;
  const Inputs& in;
  AttentionArgs args{};
  std::vector<SequenceView> sequences;
  std::deque<std::vector<int>> pages;
  std::vector<void*> slabs;
  Pattern pattern;
  int64_t longestQ = 0, longestKV = 0, outRows = 0;

  Run(const Case& which, const Inputs& inputs) : c(which), in(inputs) {
    for (int n : c.seqLenQ) longestQ = std::max<int64_t>(longestQ, n);
    for (int n : c.seqLenKV) longestKV = std::max<int64_t>(longestKV, n);
    outRows = longestQ;
    const Pattern& first = c.patterns[0];
    if (first.kind == Pattern::Kind::Buckets && first.buckets.outputPerRow) outRows = first.buckets.numQueryRows;
    sequences.resize(size_t(c.batch));
    setPattern();
    setTensors();
    setTerms();
  }
  void setPattern() {
    if (c.patterns.size() == 1) {
      pattern = c.patterns[0];
    } else {
      pattern.each = c.patterns.data();
      pattern.eachBatch = c.batch;
      pattern.eachHead = int(c.patterns.size()) / c.batch;
    }
    args.pattern = &pattern;
  }
  // Rows of a batch behind each other or each at the begin of its own
  Tensor spread(const std::vector<std::vector<float>>& rows, DType dtype, int64_t longest, int heads, int dim,
                int64_t SequenceView::*begin) {
    const bool packed = c.isPacked;
    int64_t total = 0;
    for (const auto& own : rows) total += int64_t(own.size()) / (heads * dim);
    Tensor t(dtype, {packed ? 1 : c.batch, packed ? total : longest, heads, dim}, c.layout);
    int64_t first = 0;
    for (int b = 0; b < c.batch; ++b) {
      const int64_t count = int64_t(rows[size_t(b)].size()) / (heads * dim);
      for (int64_t i = 0; i < count; ++i)
        for (int h = 0; h < heads; ++h)
          for (int d = 0; d < dim; ++d)
            t.set(t.at(packed ? 0 : b, packed ? first + i : i, h, d),
                  rows[size_t(b)][size_t((i * heads + h) * dim + d)]);
      sequences[size_t(b)].*begin = packed ? first * t.view.strides[1] : b * t.view.strides[0];
      first += count;
    }
    return t;
  }
  Tensor page(const std::vector<std::vector<float>>& rows, int dim) {
    int numPages = 1;
    for (const auto& list : pages) numPages += int(list.size());
    Tensor t(c.kvDType, {numPages, c.pageSize, c.numKVHeads, dim}, c.layout);
    for (int b = 0; b < c.batch; ++b)
      for (int i = 0; i < c.seqLenKV[size_t(b)]; ++i)
        for (int h = 0; h < c.numKVHeads; ++h)
          for (int d = 0; d < dim; ++d)
            t.set(t.at(pages[size_t(b)][size_t(i / c.pageSize)], i % c.pageSize, h, d),
                  rows[size_t(b)][size_t((i * c.numKVHeads + h) * dim + d)]);
    return t;
  }
  void setTensors() {
    Tensor q = spread(in.q, c.dtype, longestQ, c.numHeads, c.headDim, &SequenceView::q);
    args.q = q.onDevice();
    if (c.isPaged) {
      int next = 1;
      for (int n : c.seqLenKV) {
        pages.emplace_back();
        for (int i = 0; i < ceilDiv(n, c.pageSize); ++i) pages.back().push_back(next++);
        std::shuffle(pages.back().begin(), pages.back().end(), engine);
      }
      Tensor k = page(in.k, c.headDim), v = page(in.v, c.valueDim);
      args.k = k.onDevice(), args.v = v.onDevice();
      for (int b = 0; b < c.batch; ++b) sequences[size_t(b)].pages = pages[size_t(b)].data();
    } else {
      Tensor k = spread(in.k, c.kvDType, longestKV, c.numKVHeads, c.headDim, &SequenceView::k);
      Tensor v = spread(in.v, c.kvDType, longestKV, c.numKVHeads, c.valueDim, &SequenceView::v);
      args.k = k.onDevice(), args.v = v.onDevice();
    }
    if (c.isCached) fillCache();
    if (c.isPacked || c.isPaged) {
      args.sequences = sequences.data();
      args.pageSize = c.pageSize;
      args.q.shape[0] = c.batch, args.q.shape[1] = longestQ;
      args.k.shape[1] = args.v.shape[1] = longestKV;
    }
    for (int b = 0; b < c.batch; ++b) sequences[size_t(b)].offset = c.seqLenKV[size_t(b)] - c.seqLenQ[size_t(b)];
    args.offset = c.seqLenKV[0] - c.seqLenQ[0];
  }
  void fillCache() {
    KVCacheView& cache = args.cache;
    cache.dtype = c.kvDType == DType::BFloat16 ? DType::BFloat16 : DType::Float32;
    cache.numKVHeads = c.numKVHeads, cache.headDim = c.headDim, cache.valueDim = c.valueDim;
    cache.keySets = c.keySets;
    cache.coding = c.coding;
    cache.length = c.seqLenKV[0];
    for (int64_t i = 0; i < cache.numSlabs(cache.length); ++i) {
      if (c.repeatsSlab && i > 0) {
        slabs.push_back(slabs[0]);
        continue;
      }
      const std::vector<unsigned char> zeros(size_t(cache.slabBytes()));
      slabs.push_back(memories.emplace_back(zeros.data(), zeros.size()).data);
    }
    cache.slabs = slabs.data();
    TensorView other = args.k;  // the set that is not read: values in place of keys
    PlainParallel parallel(1);
    const int64_t length = c.repeatsSlab ? KVCacheView::keysPerSlab : cache.length;
    for (int64_t at = 0, n; at < length; at += n) {
      n = std::min<int64_t>(pick(1, 1500), length - at);
      CacheAppendArgs append = {cache, at, args.k, args.v, {}};
      if (c.keySets == 2) append.k2 = args.k, (c.keySet ? append.k : append.k2) = other;
      for (TensorView* t : {&append.k, &append.v, &append.k2}) {
        if (!t->data) continue;
        t->data = static_cast<char*>(t->data) + at * t->strides[1] * sizeOf(t->dtype);
        t->shape[1] = n;
      }
      if (c.keySets == 2) (c.keySet ? append.k : append.k2).strides[1] = 0;  // one row again and again
      backend->cacheAppend(append, parallel);
    }
    cache.keySet = c.keySet;
    args.k = args.v = {};
    if (!c.isRecorded) return;
    const int before = c.seqLenKV[0] - c.seqLenQ[0];
    cache.lengthAt = static_cast<const int*>(memories.emplace_back(&before, sizeof before).data);
    cache.length = int64_t(slabs.size()) * KVCacheView::keysPerSlab;
  }
  void setTerms() {
    args.scale = c.scale, args.softcap = c.softcap, args.selfScore = c.selfScore;
    args.normaliseKeys = c.normalises;
    auto put = [&](const std::vector<float>& values, std::vector<int64_t> shape, DType dtype = DType::Float32) {
      Tensor t(dtype, std::move(shape));
      for (size_t i = 0; i < values.size(); ++i) t.set(int64_t(i), values[i]);
      return t.onDevice();
    };
    auto join = [](const std::vector<std::vector<float>>& rows) {
      std::vector<float> all;
      for (const auto& own : rows) all.insert(all.end(), own.begin(), own.end());
      return all;
    };
    if (c.alibi) args.alibiSlopes = put(in.slopes, {c.numHeads});
    if (c.sinks) args.sinkLogits = put(in.logits, {c.numHeads});
    if (c.queryScale) args.queryScale = put(join(in.queryScale), {c.batch, c.numHeads, longestQ});
    if (c.distanceBias) args.distanceBias = put(in.table, {c.numHeads, int64_t(in.table.size()) / c.numHeads});
    args.firstDistance = in.firstDistance;
    if (c.expires) args.expireSpans = put(join(in.spans), {c.batch, longestKV});
    args.expireRamp = in.ramp;
    if (c.bias.empty()) return;
    const int64_t full[4] = {c.batch, c.numHeads, longestQ, longestKV};
    std::vector<int64_t> shape;
    for (int i = 0; i < 4; ++i) shape.push_back(c.bias.find("bhqk"[i]) != std::string::npos ? full[i] : 1);
    args.bias = put(in.bias, shape, c.biasDType);
    for (int i = 0; i < 4; ++i) {
      if (shape[size_t(i)] == 1) args.bias.strides[i] = 0;
      args.bias.shape[i] = full[i];
    }
  }
  // Where rows of out and lse are: packed as q is
  int64_t row(const Output& o) const {
    if (!c.isPacked) return o.target;
    int64_t first = 0;
    for (int b = 0; b < o.b; ++b) first += c.seqLenQ[size_t(b)];
    return first + o.target;
  }
  std::pair<Tensor, Tensor> results() {
    int64_t total = 0;
    for (int n : c.seqLenQ) total += n;
    const int64_t rows = c.isPacked ? total : outRows, batch = c.isPacked ? 1 : c.batch;
    return {Tensor(c.outDType, {batch, rows, c.numHeads, c.valueDim}),
            Tensor(DType::Float32, {batch, c.numHeads, rows})};
  }
  void attend(Tensor& out, Tensor& lse, const char* order, const char* error = "") {
    args.out = out.onDevice(), args.lse = lse.onDevice();
    for (int b = 0, first = 0; b < c.batch; first += c.seqLenQ[size_t(b)], ++b) {
      sequences[size_t(b)].out = c.isPacked ? first * args.out.strides[1] : b * args.out.strides[0];
      sequences[size_t(b)].lse = c.isPacked ? first : b * args.lse.strides[0];
    }
    if (args.sequences) args.out.shape[0] = c.batch, args.out.shape[1] = longestQ;
    args.accumulate = c.accumulates;
    if (!c.returnsLse) args.lse = {};
    setenv("LONGSPAN_EMULATOR_ORDER", order, 1);
    PlainParallel parallel(1);
    calls->clearError();
    backend->attention(args, parallel);
    out.download(), lse.download();
    int lacked = 0;
    check(!std::strcmp(calls->error(&lacked), error), "%s: %s", c.name.c_str(), calls->error(&lacked));
  }
};

Inputs inputsOf(const Case& c) {
  Inputs in;
  const DType kv = c.kvDType;
  for (int b = 0; b < c.batch; ++b) {
    const int64_t n = c.seqLenQ[size_t(b)], m = c.seqLenKV[size_t(b)];
    in.q.push_back(randomRows(n * c.numHeads * c.headDim, c.dtype, c.magnitude));
    in.k.push_back(randomRows(m * c.numKVHeads * c.headDim, kv, 1));
    in.v.push_back(randomRows(m * c.numKVHeads * c.valueDim, kv, 1));
    if (c.repeatsSlab)
      for (auto [rows, width] : {std::pair{&in.k.back(), c.headDim}, {&in.v.back(), c.valueDim}})
        for (size_t i = size_t(KVCacheView::keysPerSlab * c.numKVHeads * width); i < rows->size(); ++i)
          (*rows)[i] = (*rows)[i - size_t(KVCacheView::keysPerSlab * c.numKVHeads * width)];
    in.queryScale.push_back(randomRows(n * c.numHeads, DType::Float32, 1));
    in.spans.emplace_back();
    for (int64_t i = 0; i < m; ++i) in.spans.back().push_back(float(pick(0, 40)));
  }
  for (int h = 0; h < c.numHeads; ++h) {
    in.slopes.push_back(std::exp2(-1.f - float(h)));
    in.logits.push_back(0.5f * float(h) - 1);
  }
  in.table = randomRows(int64_t(c.numHeads) * 20, DType::Float32, 1);
  int64_t size = 1;
  auto has = [&](char x) { return c.bias.find(x) != std::string::npos; };
  size *= has('b') ? c.batch : 1;
  size *= has('h') ? c.numHeads : 1;
  size *= has('q') ? c.seqLenQ[0] : 1;
  size *= has('k') ? c.seqLenKV[0] : 1;
  in.bias = randomRows(c.bias.empty() ? 0 : size, c.biasDType, 1);
  return in;
}

// From here on the reference sees what a coded cache holds, as the tiles do.
void code(const Case& c, Inputs& in) {
  if (c.coding == KVCoding::Plain) return;
  for (auto [rows, dim] : {std::pair{&in.k[0], c.headDim}, {&in.v[0], c.valueDim}})
    for (size_t row = 0; row < rows->size(); row += size_t(dim)) {
      const test::CodedRow coded = test::codedRow(&(*rows)[row], dim, c.coding);
      for (size_t d = 0; d < size_t(dim); ++d) (*rows)[row + d] = roundTo(coded.value(d, c.coding), c.dtype);
    }
}

void compare(const Case& c, const Run& run, const std::vector<Output>& outputs, const Tensor& out, const Tensor& lse) {
  double error = 0, lseError = 0, naive = 0, largest = 0, spread = 0;
  for (const Output& o : outputs) {
    const int64_t b = c.isPacked ? 0 : o.b, row = run.row(o);
    for (int d = 0; d < c.valueDim; ++d) {
      const double exact = o.exact[size_t(d)], e = std::fabs(out.get(out.at(b, row, o.h, d)) - exact);
      error = e <= error ? error : e;  // a NaN stays
      naive = std::max(naive, std::fabs(o.naive[size_t(d)] - exact));
      largest = std::max(largest, std::fabs(exact));
    }
    spread = std::max(spread, o.spread);
    if (!c.returnsLse) continue;
    const double got = lse.get(lse.at(b, o.h, row));
    const double e = got == o.lse ? 0 : std::fabs(got - o.lse) / std::max(1.0, std::fabs(o.lse));
    lseError = e <= lseError ? lseError : e;
  }
  double bound = 2 * std::max(naive, spread);
  if (largest > 0) bound += std::ldexp(1.0, std::ilogb(largest) - bitsOfDType(c.outDType));
  if (c.accumulates) bound += 4e-6 * largest;  // lse is a float32
  check(error <= bound, "%s: error %.3g > %.3g (naive %.3g)", c.name.c_str(), error, bound, naive);
  const double lseBound = c.dtype == DType::Float32 ? 6e-6 : 3e-5;
  check(lseError <= lseBound * c.magnitude, "%s: lse error %.3g", c.name.c_str(), lseError);
}

void runCase(const Case& c) {
  memories.clear();
  Inputs in = inputsOf(c);
  Run run(c, in);
  code(c, in);
  std::vector<Output> outputs = outputsOf(c);
  auto [out, lse] = run.results();
  if (c.accumulates)
    for (const Output& o : outputs) {
      const int64_t b = c.isPacked ? 0 : o.b, row = run.row(o);
      lse.set(lse.at(b, o.h, row), chance(0.2) ? -INFINITY : normal());
      for (int d = 0; d < c.valueDim; ++d)
        out.set(out.at(b, row, o.h, d), lse.get(lse.at(b, o.h, row)) == -INFINITY ? 0 : normal());
    }
  for (Output& o : outputs) {
    o.lse = softmaxRow<double>(c, in, o, o.exact);
    softmaxRow<float>(c, in, o, o.naive);
    for (float& x : o.naive) x = roundTo(x, c.outDType);
    if (!c.accumulates) continue;
    const int64_t b = c.isPacked ? 0 : o.b, row = run.row(o);
    const double old = lse.get(lse.at(b, o.h, row)), top = std::max(old, o.lse);
    if (top == -INFINITY) continue;
    const double kept = std::exp(old - top), added = std::exp(o.lse - top);
    for (int d = 0; d < c.valueDim; ++d) {
      const double before = out.get(out.at(b, row, o.h, d));
      o.exact[size_t(d)] = (before * kept + o.exact[size_t(d)] * added) / (kept + added);
      o.naive[size_t(d)] =
          float((float(before) * float(kept) + o.naive[size_t(d)] * float(added)) / float(kept + added));
    }
    o.lse = top + std::log(kept + added);
  }
  Tensor again = out, lseAgain = lse;
  run.attend(out, lse, "0");
  compare(c, run, outputs, out, lse);
  run.attend(again, lseAgain, oneOf({"1", "1", "1", "2", "77"}));
  check(again.bytes == out.bytes && lseAgain.bytes == lse.bytes, "%s: the order of threads changes the result",
        c.name.c_str());
}

// --- cases drawn at random
void setLengths(Case& c, Pattern::Kind kind, bool alone) {
  const int n = oneOf({0, 1, 1, 1, 2, 3, 5, 9, 16, 17, 33, 64, 65, 90, 130});
  int m = oneOf({1, 2, 7, 31, 32, 33, 64, 65, 100, 127, 200, 300});
  if (kind == Pattern::Kind::Buckets) m = std::max(m, 8);
  for (int b = 0; b < c.batch; ++b) {
    c.seqLenQ.push_back(kind == Pattern::Kind::Buckets ? m : alone || b == 0 ? n : pick(0, n));
    c.seqLenKV.push_back(alone || b == 0 ? m : pick(0, m));
  }
}

void drawTerms(Case& c) {
  if (chance(0.2)) c.softcap = 2.5f;
  c.alibi = chance(0.2), c.sinks = chance(0.25), c.distanceBias = chance(0.2);
  if (chance(0.1)) c.scale = -0.1f;
  if (c.isPacked) return;
  c.queryScale = chance(0.15), c.expires = chance(0.15);
  if (chance(0.25)) c.bias = oneOf({"bhqk", "hqk", "bk", "q", "hk"});
  c.biasDType = oneOf({DType::Float32, DType::Float16, DType::BFloat16});
  if (c.isPaged || c.patterns.size() > 1) {  // the reference knows one length of these
    c.bias.clear();
    c.queryScale = c.expires = false;
  }
}

Case drawCase(Pattern::Kind kind, int number, Lists& lists) {
  Case c;
  const bool buckets = kind == Pattern::Kind::Buckets;
  c.dtype = oneOf({DType::Float32, DType::Float16, DType::BFloat16, DType::BFloat16});
  c.kvDType = c.dtype == DType::Float32 && chance(0.4) ? oneOf({DType::BFloat16, DType::Float16}) : c.dtype;
  c.outDType = chance(0.15) ? DType::Float32 : c.dtype;
  c.headDim = oneOf({1, 20, 36, 64, 64, 80, 96, 128, 128, 160, 192, 256});
  c.valueDim = chance(0.7) ? c.headDim : oneOf({1, 24, 64, 100, 128, 192});
  const auto [heads, kvHeads] =
      oneOf<std::pair<int, int>>({{1, 1}, {2, 2}, {2, 1}, {4, 2}, {6, 2}, {5, 1}, {8, 1}, {8, 2}, {20, 1}});
  c.numHeads = heads, c.numKVHeads = kvHeads;
  c.batch = chance(0.3) ? 2 : 1;
  c.layout = chance(0.3) ? pick(1, 3) : 0;
  const bool sequences = !buckets && chance(0.25);
  if (sequences) c.batch = pick(1, 3), c.isPacked = chance(0.5), c.isPaged = !c.isPacked || chance(0.5);
  if (c.isPaged) c.pageSize = oneOf({1, 16, 40, 64});
  setLengths(c, kind, !sequences);
  if (!sequences && !buckets && c.batch == 1 && c.seqLenKV[0] > 0 && chance(0.4)) {
    c.isCached = true;
    c.coding = oneOf({KVCoding::Plain, KVCoding::Int8, KVCoding::Float8});
    if (c.kvDType == DType::Float16 && c.coding == KVCoding::Plain) c.kvDType = c.dtype = DType::Float32;
    c.keySets = chance(0.3) ? 2 : 1;
    c.keySet = c.keySets == 2 ? pick(0, 1) : 0;
  }
  const bool perHead = buckets || chance(0.15);
  const int count = perHead ? c.batch * c.numHeads : sequences ? c.batch : 1;
  test::PatternDraw draw(engine, lists);
  const uint32_t style = uint32_t(engine());
  for (int i = 0; i < count; ++i) {
    const int b = perHead ? i / c.numHeads : i;
    c.patterns.push_back(draw.pattern(kind, Contiguous(c.seqLenQ[size_t(b)], c.seqLenKV[size_t(b)]), style));
  }
  drawTerms(c);
  if (chance(0.2)) c.accumulates = true, c.outDType = DType::Float32, c.sinks = false;
  if (buckets) {
    c.normalises = chance(0.5);
    if (chance(0.5)) c.selfScore = -1e5f;
    if (c.patterns[0].buckets.outputPerRow) c.accumulates = false;
  }
  c.returnsLse = c.accumulates || chance(0.8);
  c.name = std::string(walkOf(c.patterns[0]).name) + " " + std::to_string(number) + " " + nameOf(c.dtype) + "/" +
           nameOf(c.kvDType) + " " + std::to_string(c.seqLenQ[0]) + " of " + std::to_string(c.seqLenKV[0]) + " heads " +
           std::to_string(c.numHeads) + "/" + std::to_string(c.numKVHeads) + " dims " + std::to_string(c.headDim) +
           "/" + std::to_string(c.valueDim) + (c.isCached ? " cached" : "") +
           (c.coding == KVCoding::Plain  ? ""
            : c.coding == KVCoding::Int8 ? " int8"
                                         : " float8") +
           (c.isPacked ? " packed" : "") + (c.isPaged ? " paged" : "") + (perHead ? " per head" : "") +
           (c.accumulates ? " accumulates" : "") + (c.layout ? " layout " + std::to_string(c.layout) : "");
  return c;
}

// --- chosen cases: long enough to be cut along the keys, several slabs, large scores
void runChosen() {
  constexpr int all = Window::unbounded;
  auto make = [](const char* name, DType dtype, int n, int m, int heads, int kvHeads, int dim, const Pattern& pattern) {
    Case c;
    c.name = name;
    c.dtype = c.kvDType = c.outDType = dtype;
    c.numHeads = heads, c.numKVHeads = kvHeads, c.headDim = c.valueDim = dim;
    c.seqLenQ = {n}, c.seqLenKV = {m};
    c.patterns = {pattern};
    return c;
  };
  for (DType dtype : {DType::BFloat16, DType::Float32}) {
    Case split = make("decode, split", dtype, 1, 2100, 4, 1, 64, Window{{1, 2100}, all, 0});
    runCase(split);
    split.name = "decode, split, cached", split.isCached = true, split.sinks = true;
    runCase(split);
    runCase(make("prefill, split", dtype, 40, 1300, 1, 1, 64, Window{{40, 1300}, all, 0}));
    Case large = make("large scores", dtype, 40, 60, 1, 1, 64, Window{{40, 60}, all, 0});
    large.magnitude = 30;
    runCase(large);
    runCase(make("window, split", dtype, 3, 3000, 2, 1, 32, Sinks{{3, 3000}, 4, 700, 0}));
  }
  for (KVCoding coding : {KVCoding::Int8, KVCoding::Float8})
    for (DType dtype : {DType::Float32, DType::Float16, DType::BFloat16})
      for (int dim : {1, 20, 36, 80, 128, 256})
        for (int rows : {1, 70}) {
          const int keys = rows == 1 ? 1100 : 150;
          Case c = make("coded cache", dtype, rows, keys, 4, 2, dim, Window{{rows, keys}, all, 0});
          c.coding = coding, c.isCached = true;
          c.keySets = dim % 20 ? 1 : 2, c.keySet = rows == 1 ? 1 : 0;
          if (c.keySets == 1) c.keySet = 0, c.isRecorded = true;
          c.name += std::string(coding == KVCoding::Int8 ? ", int8, " : ", float8, ") + nameOf(dtype) + ", rows " +
                    std::to_string(rows) + ", dim " + std::to_string(dim);
          runCase(c);
        }
  Case many = make("a cache of many slabs", DType::BFloat16, 2, 66000, 2, 1, 8, Sinks{{2, 66000}, 70, 1200, 0});
  many.isCached = many.repeatsSlab = true;
  runCase(many);

  // unions in unions, deeper than the device goes
  Case nested = make("nested", DType::Float32, 2, 9, 1, 1, 8, Full{{2, 9}});
  std::deque<Pattern> parts = {nested.patterns[0]};
  for (int depth = 0; depth < 4; ++depth) {
    Composite p{};
    static_cast<Contiguous&>(p) = Contiguous(2, 9);
    p.every = depth % 2, p.of = &parts.back(), p.count = 1;
    nested.patterns[0] = parts.emplace_back(p);
    if (depth < 3) {
      runCase(nested);
      continue;
    }
    memories.clear();
    const Inputs in = inputsOf(nested);
    Run run(nested, in);
    auto [out, lse] = run.results();
    run.attend(out, lse, "0", "attention: unions and intersections of patterns are nested more than 3 deep");
  }
}

// --- mergeAttention
void runMerge(int parts, DType dtype) {
  memories.clear();
  const int batch = 2, seqLen = 3, heads = 3, dim = 70;
  std::vector<Tensor> outs, lses;
  std::vector<TensorView> outViews, lseViews;
  for (int p = 0; p < parts; ++p) {
    outs.emplace_back(dtype, std::vector<int64_t>{batch, seqLen, heads, dim}, p % 4);
    lses.emplace_back(DType::Float32, std::vector<int64_t>{batch, heads, seqLen});
    for (int b = 0; b < batch; ++b)
      for (int i = 0; i < seqLen; ++i)
        for (int h = 0; h < heads; ++h) {
          const bool blind = chance(0.3) || (i == 1 && h == 1);
          lses.back().set(lses.back().at(b, h, i), blind ? -INFINITY : 3 * normal());
          for (int d = 0; d < dim; ++d) outs.back().set(outs.back().at(b, i, h, d), blind ? NAN : normal());
        }
    outViews.push_back(outs.back().onDevice()), lseViews.push_back(lses.back().onDevice());
  }
  Tensor out(dtype, {batch, seqLen, heads, dim}, 1), lse(DType::Float32, {batch, heads, seqLen});
  PlainParallel parallel(1);
  backend->mergeAttention({parts, outViews.data(), lseViews.data(), out.onDevice(), lse.onDevice()}, parallel);
  out.download(), lse.download();
  double error = 0;
  for (int b = 0; b < batch; ++b)
    for (int i = 0; i < seqLen; ++i)
      for (int h = 0; h < heads; ++h) {
        double total = 0;
        for (const Tensor& l : lses) total += std::exp(double(l.get(l.at(b, h, i))));
        const double got = lse.get(lse.at(b, h, i));
        error = std::max(error, got == std::log(total) ? 0 : std::fabs(got - std::log(total)));
        for (int d = 0; d < dim; ++d) {
          double x = 0;
          for (int p = 0; p < parts && total > 0; ++p) {
            const double weight = std::exp(double(lses[size_t(p)].get(lses[size_t(p)].at(b, h, i)))) / total;
            if (weight > 0) x += weight * outs[size_t(p)].get(outs[size_t(p)].at(b, i, h, d));
          }
          const double e = std::fabs(out.get(out.at(b, i, h, d)) - x);
          error = e <= error ? error : e;
        }
      }
  check(error < (dtype == DType::Float32 ? 4e-6 : 2e-2), "merge of %d parts, %s: error %.3g", parts, nameOf(dtype),
        error);
}

}  // namespace

// Arguments, all optional: cases of each kind, seed, part of a case's name
int main(int argc, char** argv) {
  void* plugin = dlopen(LONGSPAN_EMULATED_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (!check(plugin != nullptr, "%s", plugin ? "" : dlerror())) return finish("cuda attention");
  backend = reinterpret_cast<decltype(&longspanBackend)>(dlsym(plugin, "longspanBackend"))();
  calls = reinterpret_cast<decltype(&longspanDeviceCalls)>(dlsym(plugin, "longspanDeviceCalls"))();
  if (!check(calls->open(0) == 0, "no emulated device")) return finish("cuda attention");
  const int perKind = argc > 1 ? std::atoi(argv[1]) : 10;
  if (argc > 2) engine.seed(unsigned(std::atoi(argv[2])));
  const char* only = argc > 3 ? argv[3] : nullptr;
  if (!only) {
    runChosen();
    for (int parts : {1, 3, 40})
      for (DType dtype : {DType::Float32, DType::Float16, DType::BFloat16}) runMerge(parts, dtype);
  }
  for (int kind = 0; kind <= int(Pattern::Kind::Buckets); ++kind)
    for (int i = 0; i < perKind; ++i) {
      Lists lists;
      const Case c = drawCase(Pattern::Kind(kind), i, lists);
      if (only && !std::strstr(c.name.c_str(), only)) continue;
      if (argc > 3) std::printf("%s\n", c.name.c_str()), std::fflush(stdout);
      runCase(c);
    }
  memories.clear();
  return finish("cuda attention");
}
