// Attention in float64, and its arguments, for sanitize_attention.cc, sanitize_buckets.cc and sanitize_replay.cc.
#pragma once
#include <cmath>

#include "sanitize.h"

namespace longspan::sanitize {

struct Sizes {
  int seqLenQ, seqLenKV, numHeads, numKVHeads, headDim;
};

// out [query][head][dim]. score(query, key, head, q · k / √headDim); rowOf(key): where its row begins in k and v
template <class Allows, class Score, class Row>
std::vector<double> reference(const Sizes& s, const Values& q, const Values& k, const Values& v, const Allows& allows,
                              const Score& scoreOf, const Row& rowOf) {
  std::vector<double> out(size_t(s.seqLenQ) * s.numHeads * s.headDim), weights(s.seqLenKV);
  const size_t row = size_t(s.numKVHeads) * s.headDim;
  for (int query = 0; query < s.seqLenQ; ++query)
    for (int head = 0; head < s.numHeads; ++head) {
      const size_t at = (size_t(query) * s.numHeads + head) * s.headDim;
      const size_t own = size_t(head / (s.numHeads / s.numKVHeads)) * s.headDim;
      double total = 0;
      for (int key = 0; key < s.seqLenKV; ++key) {
        weights[key] = 0;
        if (!allows(query, key, head)) continue;
        double product = 0;
        for (int d = 0; d < s.headDim; ++d) product += q.values[at + d] * k.values[rowOf(key) * row + own + d];
        weights[key] = std::exp(scoreOf(query, key, head, product / std::sqrt(double(s.headDim))));
        total += weights[key];
      }
      for (int key = 0; key < s.seqLenKV && total > 0; ++key)
        for (int d = 0; weights[key] > 0 && d < s.headDim; ++d)
          out[at + d] += weights[key] / total * v.values[rowOf(key) * row + own + d];
    }
  return out;
}
template <class P>
std::vector<double> reference(const Sizes& s, const P& pattern, const Values& q, const Values& k, const Values& v) {
  return reference(
      s, q, k, v, [&](int query, int key, int) { return pattern.allows(query, key); },
      [](int, int, int, double score) { return score; }, [](int key) { return size_t(key); });
}

inline AttentionArgs argumentsOf(const Sizes& s, const Values& q, const Values& out, const Pattern& pattern) {
  AttentionArgs args{};
  args.q = q.view(), args.out = out.view();
  args.scale = float(1 / std::sqrt(double(s.headDim)));
  args.pattern = &pattern;
  args.offset = s.seqLenKV - s.seqLenQ;
  return args;
}

inline Window window(const Sizes& s, int before, int after = 0) {
  Window made{Contiguous(s.seqLenQ, s.seqLenKV)};
  made.before = before, made.after = after;
  return made;
}

// Slabs of zeros for so many keys, and the view of them
struct Slabs {
  Slabs(KVCacheView shape, int count) : view(shape) {
    for (int i = 0; i < count; ++i) addresses.push_back(calls->allocate(0, view.slabBytes()));
    for (void* slab : addresses) require(slab && calls->zero(slab, view.slabBytes()) == 0, "a slab");
    view.slabs = addresses.data();
  }
  ~Slabs() {
    for (void* slab : addresses) calls->release(0, slab);
  }
  Slabs(const Slabs&) = delete;
  Slabs& operator=(const Slabs&) = delete;

  KVCacheView view;
  std::vector<void*> addresses;
};

}  // namespace longspan::sanitize
