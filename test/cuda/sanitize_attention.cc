// Attention: dtypes, widths, few and many queries, layouts, keys in parts, sums of calls.
#include "sanitize_attention.h"

#include "../native/cache_coding.h"

namespace longspan::sanitize {
namespace {

struct Inputs {
  Inputs(DType dtype, const Sizes& s, DType outDtype)
      : q(dtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 1),
        k(dtype, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 2),
        v(dtype, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 3),
        out(outDtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 0) {}
  Values q, k, v, out;
};

template <class P>
void dense(const char* name, DType dtype, const Sizes& s, const P& kind) {
  Inputs inputs(dtype, s, dtype);
  const Pattern pattern(kind);
  AttentionArgs args = argumentsOf(s, inputs.q, inputs.out, pattern);
  args.k = inputs.k.view(), args.v = inputs.v.view();
  run(name, [&](Parallel& parallel) { table->attention(args, parallel); });
  compare(name, inputs.out, reference(s, kind, inputs.q, inputs.k, inputs.v));
}

// Every term of a score that is a list or a number
void terms() {
  const char* name = "score terms, bf16, d64";
  const Sizes s = {37, 70, 2, 1, 64};
  Inputs inputs(DType::BFloat16, s, DType::BFloat16);
  Values slopes(DType::Float32, {2}, {0.5, 0.25}), sinks(DType::Float32, {2}, {1.5, -1}),
      bias(DType::Float32, {1, s.numHeads, s.seqLenQ, s.seqLenKV}, 4);
  const Window kind = window(s, Window::unbounded);
  const Pattern pattern(kind);
  AttentionArgs args = argumentsOf(s, inputs.q, inputs.out, pattern);
  args.k = inputs.k.view(), args.v = inputs.v.view();
  args.softcap = 2, args.alibiSlopes = slopes.view(), args.bias = bias.view(), args.sinkLogits = sinks.view();
  run(name, [&](Parallel& parallel) { table->attention(args, parallel); });
  const auto score = [&](int query, int key, int head, double x) {
    const double biased = bias.values[(size_t(head) * s.seqLenQ + query) * s.seqLenKV + key];
    return 2 * std::tanh(x / 2) - slopes.values[head] * std::abs(query + args.offset - key) + biased;
  };
  auto expected = reference(
      s, inputs.q, inputs.k, inputs.v, [&](int query, int key, int) { return kind.allows(query, key); }, score,
      [](int key) { return size_t(key); });
  // A sink takes its share of the sum
  for (int query = 0; query < s.seqLenQ; ++query)
    for (int head = 0; head < s.numHeads; ++head) {
      const size_t at = (size_t(query) * s.numHeads + head) * s.headDim;
      double total = 0;
      for (int key = 0; key < s.seqLenKV; ++key) {
        double product = 0;
        for (int d = 0; d < s.headDim; ++d)
          product += inputs.q.values[at + d] * inputs.k.values[size_t(key) * s.headDim + d];
        if (kind.allows(query, key)) total += std::exp(score(query, key, head, product / std::sqrt(double(s.headDim))));
      }
      const double share = total / (total + std::exp(sinks.values[head]));
      for (int d = 0; d < s.headDim; ++d) expected[at + d] *= share;
    }
  compare(name, inputs.out, expected);
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

void dilated() {  // queries of the other residues see nothing, and are cleared
  const Sizes s = {65, 65, 2, 2, 64};
  Dilated made{};
  made.seqLenQ = s.seqLenQ, made.seqLenKV = s.seqLenKV;
  made.segment = 40, made.rate = 4, made.phase = 1, made.causal = true;
  dense("dilated, f16, d64", DType::Float16, s, made);
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
  AttentionArgs args = argumentsOf(s, q, out, pattern);
  args.k = k.view(), args.v = v.view();
  args.k.shape[1] = args.v.shape[1] = s.seqLenKV;
  args.sequences = &sequence;
  args.pageSize = pageSize;
  run("pages", [&](Parallel& parallel) { table->attention(args, parallel); });
  const auto expected = reference(
      s, q, k, v, [&](int query, int key, int) { return kind.allows(query, key); },
      [](int, int, int, double score) { return score; },
      [](int key) { return size_t(order[key / pageSize]) * pageSize + key % pageSize; });
  compare("pages of 16, bf16, d128", out, expected);
}

// As a cache holds them, and its tiles
Values coded(const Values& rows, DType dtype, const Sizes& s, KVCoding coding) {
  std::vector<double> held = rows.values;
  for (size_t at = 0; coding != KVCoding::Plain && at < held.size(); at += size_t(s.headDim)) {
    const std::vector<float> row(held.begin() + int64_t(at), held.begin() + int64_t(at) + s.headDim);
    const test::CodedRow codes = test::codedRow(row.data(), s.headDim, coding);
    for (int d = 0; d < s.headDim; ++d) held[at + size_t(d)] = codes.value(size_t(d), coding);
  }
  return {dtype, {1, s.seqLenKV, s.numKVHeads, s.headDim}, held};
}

// Of two sets of keys the second is read
void cache(const char* name, DType dtype, DType cacheDType, const Sizes& s, int keySets,
           KVCoding coding = KVCoding::Plain) {
  Values q(dtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 1),
      k(DType::BFloat16, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 2),
      k2(DType::BFloat16, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 4),
      v(DType::BFloat16, {1, s.seqLenKV, s.numKVHeads, s.headDim}, 3),
      out(dtype, {1, s.seqLenQ, s.numHeads, s.headDim}, 0);
  KVCacheView shape;
  shape.dtype = cacheDType, shape.numKVHeads = s.numKVHeads, shape.headDim = shape.valueDim = s.headDim;
  shape.length = s.seqLenKV, shape.keySets = keySets, shape.coding = coding;
  Slabs slabs(shape, int(shape.numSlabs(s.seqLenKV)));
  const Window kind = window(s, Window::unbounded);
  const Pattern pattern(kind);
  AttentionArgs args = argumentsOf(s, q, out, pattern);
  args.cache = slabs.view;
  args.cache.keySet = keySets - 1;
  run(name, [&](Parallel& parallel) {
    table->cacheAppend({slabs.view, 0, k.view(), v.view(), k2.view()}, parallel);
    table->attention(args, parallel);
  });
  const Values keys = coded(keySets > 1 ? k2 : k, dtype, s, coding), values = coded(v, dtype, s, coding);
  compare(name, out, reference(s, kind, q, keys, values));
}

// Near and far keys apart: added to what is there, and merged
void sums() {
  const Sizes s = {33, 90, 2, 1, 64};
  const Window near = window(s, 20), far = window(s, Window::unbounded, -21);
  Inputs inputs(DType::BFloat16, s, DType::Float32);
  Values lse(DType::Float32, {1, s.numHeads, s.seqLenQ}, 0), farLse(DType::Float32, {1, s.numHeads, s.seqLenQ}, 0),
      farOut(DType::Float32, {1, s.seqLenQ, s.numHeads, s.headDim}, 0),
      merged(DType::BFloat16, {1, s.seqLenQ, s.numHeads, s.headDim}, 0);
  const auto attend = [&](const Window& kind, const Values& out, const Values& sum, bool accumulate) {
    const Pattern pattern(kind);
    AttentionArgs args = argumentsOf(s, inputs.q, out, pattern);
    args.k = inputs.k.view(), args.v = inputs.v.view(), args.lse = sum.view(), args.accumulate = accumulate;
    run("a sum", [&](Parallel& parallel) { table->attention(args, parallel); });
  };
  attend(near, inputs.out, lse, false);
  attend(far, farOut, farLse, false);
  const TensorView outs[] = {inputs.out.view(), farOut.view()}, lses[] = {lse.view(), farLse.view()};
  run("merged parts", [&](Parallel& parallel) { table->mergeAttention({2, outs, lses, merged.view(), {}}, parallel); });
  attend(far, inputs.out, lse, true);
  const auto expected = reference(s, window(s, Window::unbounded), inputs.q, inputs.k, inputs.v);
  compare("accumulated, bf16, d64", inputs.out, expected, 5e-3);
  compare("merged, bf16, d64", merged, expected);
}

void causal(const char* name, DType dtype, const Sizes& s) { dense(name, dtype, s, window(s, Window::unbounded)); }

}  // namespace

void attentionCases() {
  constexpr DType f32 = DType::Float32, f16 = DType::Float16, bf16 = DType::BFloat16;
  causal("causal, bf16, d128", bf16, {127, 129, 4, 2, 128});
  const Sizes local = {65, 130, 2, 2, 64};
  dense("window, f16, d64", f16, local, window(local, 40));
  causal("causal, bf16, d192", bf16, {70, 90, 2, 1, 192});
  causal("causal, bf16, d256", bf16, {40, 70, 2, 2, 256});
  causal("few queries, bf16, d256", bf16, {3, 150, 2, 1, 256});
  causal("rows that are no pieces, bf16, d36", bf16, {66, 66, 2, 2, 36});
  causal("causal, f32, d64", f32, {70, 80, 2, 1, 64});
  causal("causal, f32, d192", f32, {33, 40, 1, 1, 192});
  causal("few queries, f32, d128", f32, {5, 100, 2, 2, 128});
  causal("keys in parts, one query, bf16, d128", bf16, {1, 1100, 4, 2, 128});
  causal("keys in parts, 40 queries, f16, d64", f16, {40, 600, 1, 1, 64});
  causal("keys in parts, f32, d64", f32, {2, 300, 1, 1, 64});
  terms();
  blocks();
  dilated();
  pages();
  cache("cache, bf16, d128", bf16, bf16, {1, 205, 4, 2, 128}, 1);
  cache("cache of two sets of keys, bf16, d64", bf16, bf16, {2, 130, 2, 2, 64}, 2);
  cache("bf16 cache, f32 queries, d64", f32, bf16, {3, 100, 2, 1, 64}, 1);
  cache("f32 cache, bf16 queries, d64", bf16, f32, {3, 100, 2, 1, 64}, 1);
  cache("f32 cache of two slabs, f32, d96", f32, f32, {1, 1100, 1, 1, 96}, 1);
  cache("int8 cache, bf16, d128", bf16, bf16, {1, 205, 4, 2, 128}, 1, KVCoding::Int8);
  cache("float8 cache of two sets of keys, f16, d64", f16, bf16, {33, 70, 2, 2, 64}, 2, KVCoding::Float8);
  cache("float8 cache, f32 queries, d36", f32, bf16, {3, 100, 2, 1, 36}, 1, KVCoding::Float8);
  sums();
}

}  // namespace longspan::sanitize
