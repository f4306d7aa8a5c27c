// Patterns whose queries see one run of keys, or two: full, causal, window, sinks, prefix, chunks, documents.
#pragma once
#include "rows.h"

namespace longspan {

struct Full : Interval<Full> {
  static constexpr const char* name = "full";
  LONGSPAN_HD KeyRange range(int) const { return {0, seqLenKV, 0, 0}; }
};

// How many keys before and after its own position a query sees, besides its own. Causal is {unbounded, 0}; a negative
// `after` leaves the nearest keys out.
struct Window : Interval<Window> {
  static constexpr const char* name = "window";
  static constexpr int unbounded = 1 << 30;
  int before, after;
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + start;
    return {maxOf(p - before, 0), maxOf(minOf(p + after, seqLenKV - 1) + 1, 0), 0, 0};
  }
};

// The first `tokens` keys are seen by all, and the past (prefix language models: Raffel et al. 2020, T5).
struct Prefix : Interval<Prefix> {
  static constexpr const char* name = "prefix";
  int tokens;
  LONGSPAN_HD KeyRange range(int q) const { return {0, minOf(maxOf(tokens, q + start + 1), seqLenKV), 0, 0}; }
};

// Positions are cut in chunks of `size`, the first of which is `shift` shorter; a query sees its own chunk, and
// `before` and `after` whole chunks beside it (Llama 4's attention chunks, LongLoRA's groups, Longformer's chunks).
// Causal: no later key. A negative `after` leaves the nearest chunks out.
struct Chunks : Interval<Chunks> {
  static constexpr const char* name = "chunks";
  int size, shift, before, after;
  bool causal;
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + start;
    int64_t chunk = floorDiv(p + shift, size);
    int64_t begin = (chunk - before) * size - shift, end = (chunk + after + 1) * size - shift;
    if (causal && end > p + 1) end = p + 1;
    return {clampOf(begin, 0, seqLenKV), clampOf(end, 0, seqLenKV), 0, 0};
  }
};

// Documents behind each other: a query sees its own. Document d holds the positions [begins[d], begins[d + 1]).
struct Documents : Interval<Documents> {
  static constexpr const char* name = "documents";
  const int* begins;  // [count], ascending from 0
  int count;
  bool causal;
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + start;
    if (p < 0) return {0, 0, 0, 0};
    int low = 0, high = count;  // the last document that begins at p or before
    while (high - low > 1) {
      int middle = (low + high) / 2;
      (begins[middle] <= p ? low : high) = middle;
    }
    int end = low + 1 < count ? minOf(begins[low + 1], seqLenKV) : seqLenKV;
    return {minOf(begins[low], seqLenKV), causal ? minOf(end, p + 1) : end, 0, 0};
  }
};

// The first `tokens` keys are always kept beside a window (attention sinks: Xiao et al. 2023, StreamingLLM); nobody
// sees more than `after` keys beyond its position.
struct Sinks : Contiguous {
  static constexpr const char* name = "sinks";
  int tokens, before, after;
  LONGSPAN_HD bool allows(int q, int kv) const {
    int p = q + start;
    return kv <= p + after && (kv < tokens || kv >= p - before);
  }
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + start, end = minOf(p + after, seqLenKV - 1) + 1, begin = maxOf(p - before, 0);
    if (begin <= tokens) return {0, end, 0, 0};
    return {0, minOf(tokens, end), begin, end};
  }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    KeyRange a = range(q[0]), b = range(q[q.count - 1]);
    int end = maxOf(b.end, b.end2), begin = a.end2 ? a.begin2 : a.begin;  // of the windows together
    if (kv >= tokens) kv = maxOf(kv, begin);
    return kv < end ? kv : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    int first = kv[0], last = kv[kv.count - 1];
    bool full = true, any = false;
    for (int i = 0; i < q.count; ++i) {
      KeyRange r = range(q[i]);
      full = full && holds(r, first, last);
      any = any || meets(r, first, last);
    }
    return full ? Cover::Full : any ? Cover::Partial : Cover::None;
  }
};

}  // namespace longspan
