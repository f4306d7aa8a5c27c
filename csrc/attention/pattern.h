// A pattern says which keys a query may see. It is the only thing that differs between full, causal, window and
// sink attention: a kernel walks query tiles and key tiles, and masks only where a tile is Partial.
// A pattern is a small struct; `allows` is its specification, all the rest is speed. A new one is a struct here and a
// word in the one list. Host and device, pure. CPU kernels reach it through PatternWalk, so they are compiled once.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define LONGSPAN_HD __host__ __device__ __forceinline__
#else
#define LONGSPAN_HD [[gnu::always_inline]] inline
#endif

namespace longspan {

struct Rows {  // rows of a sequence: contiguous, strided, or gathered (LSH buckets)
  int start = 0, count = 0, stride = 1;
  const int* index = nullptr;
  LONGSPAN_HD int operator[](int i) const {
    int at = start + i * stride;
    return index ? index[at] : at;
  }
  LONGSPAN_HD Rows part(int first, int number) const { return {start + first * stride, number, stride, index}; }
};

enum class Cover { None, Partial, Full };

struct KeyRange {  // the keys one query sees: [begin, end) and [begin2, end2), in this order, each may be empty
  int begin, end, begin2, end2;
};

LONGSPAN_HD constexpr int ceilDiv(int a, int b) { return (a + b - 1) / b; }
LONGSPAN_HD constexpr int minOf(int a, int b) { return a < b ? a : b; }
LONGSPAN_HD constexpr int maxOf(int a, int b) { return a > b ? a : b; }

// What every pattern over consecutive rows shares. `offset` aligns the last query with the last key, so that causal
// holds for a chunk after a cache as well.
struct Contiguous {
  int seqLenQ, seqLenKV;
  LONGSPAN_HD int offset() const { return seqLenKV - seqLenQ; }
  LONGSPAN_HD int numQueryTiles(int tile) const { return ceilDiv(seqLenQ, tile); }
  LONGSPAN_HD Rows queryRows(int t, int tile) const { return {t * tile, minOf(tile, seqLenQ - t * tile)}; }
  LONGSPAN_HD Rows keyRows(int t, int tile) const { return {t * tile, minOf(tile, seqLenKV - t * tile)}; }
  LONGSPAN_HD int endKeyTile(const Rows&, int tile) const { return ceilDiv(seqLenKV, tile); }
  static constexpr bool hasRanges = true;   // ranges() is exact: `allows` is two intervals a query
  static constexpr bool everyQuery = true;  // the query tiles hold every query
  // Is every / any key of [first, last] in the range?
  LONGSPAN_HD static bool holds(const KeyRange& r, int first, int last) {
    return (r.begin <= first && last < r.end) || (r.begin2 <= first && last < r.end2);
  }
  LONGSPAN_HD static bool meets(const KeyRange& r, int first, int last) {
    return (r.begin < r.end && first < r.end && last >= r.begin) ||
           (r.begin2 < r.end2 && first < r.end2 && last >= r.begin2);
  }
};

struct Full : Contiguous {
  static constexpr const char* name = "full";
  LONGSPAN_HD bool allows(int, int) const { return true; }
  LONGSPAN_HD KeyRange range(int) const { return {0, seqLenKV, 0, 0}; }
  LONGSPAN_HD int nextKeyTile(const Rows&, int t, int tile) const { return t * int64_t(tile) < seqLenKV ? t : -1; }
  LONGSPAN_HD Cover cover(const Rows&, const Rows&) const { return Cover::Full; }
};

// How many keys before and after its own position a query sees, besides its own. Causal is {unbounded, 0}.
struct Window : Contiguous {
  static constexpr const char* name = "window";
  static constexpr int unbounded = 1 << 30;
  int before, after;
  LONGSPAN_HD bool allows(int q, int kv) const {
    int p = q + offset();
    return kv >= p - before && kv <= p + after;
  }
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + offset();
    return {maxOf(p - before, 0), minOf(p + after, seqLenKV - 1) + 1, 0, 0};
  }
  LONGSPAN_HD int nextKeyTile(const Rows& q, int t, int tile) const {
    int first = range(q[0]).begin, end = range(q[q.count - 1]).end;
    t = maxOf(t, first / tile);
    return first < end && t * int64_t(tile) < end ? t : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    KeyRange a = range(q[0]), b = range(q[q.count - 1]);
    int first = kv[0], last = kv[kv.count - 1];
    if (holds(a, first, last) && holds(b, first, last)) return Cover::Full;
    return meets({a.begin, b.end, 0, 0}, first, last) ? Cover::Partial : Cover::None;
  }
};

// The first `tokens` keys are always kept beside a window (attention sinks: Xiao et al. 2023, StreamingLLM); nobody
// sees more than `after` keys beyond its position.
struct Sinks : Contiguous {
  static constexpr const char* name = "sinks";
  int tokens, before, after;
  LONGSPAN_HD bool allows(int q, int kv) const {
    int p = q + offset();
    return kv <= p + after && (kv < tokens || kv >= p - before);
  }
  LONGSPAN_HD KeyRange range(int q) const {
    int p = q + offset(), end = minOf(p + after, seqLenKV - 1) + 1, begin = maxOf(p - before, 0);
    if (begin <= tokens) return {0, end, 0, 0};
    return {0, minOf(tokens, end), begin, end};
  }
  LONGSPAN_HD int nextKeyTile(const Rows& q, int t, int tile) const {
    KeyRange a = range(q[0]), b = range(q[q.count - 1]);
    int end = maxOf(b.end, b.end2);
    int begin = a.end2 ? a.begin2 : a.begin;  // of the windows together
    if (end <= 0 || t * int64_t(tile) >= end) return -1;
    return t * int64_t(tile) < tokens ? t : maxOf(t, begin / tile);
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

// The one list: type, member
#define LONGSPAN_PATTERNS(X) \
  X(Full, full)              \
  X(Window, window)          \
  X(Sinks, sinks)

// A tagged value: plain data, so that it crosses into ISA files and to the device. With `each` set, every (batch, head)
// has its own pattern and the rest is unused.
struct Pattern {
#define LONGSPAN_KIND(Type, member) Type,
  enum class Kind : uint8_t { LONGSPAN_PATTERNS(LONGSPAN_KIND) };
#undef LONGSPAN_KIND
  Kind kind;
  union {
#define LONGSPAN_MEMBER(Type, member) longspan::Type member;
    LONGSPAN_PATTERNS(LONGSPAN_MEMBER)
#undef LONGSPAN_MEMBER
  };
  const Pattern* each = nullptr;  // [eachBatch][eachHead]
  int eachBatch = 1, eachHead = 1;

  Pattern() : kind(Kind::Full), full{} {}
#define LONGSPAN_FROM(Type, member) \
  LONGSPAN_HD Pattern(const longspan::Type& p) : kind(Kind::Type), member(p) {}
  LONGSPAN_PATTERNS(LONGSPAN_FROM)
#undef LONGSPAN_FROM

  LONGSPAN_HD const Pattern& of(int batch, int head) const {
    return each ? each[batch % eachBatch * eachHead + head % eachHead] : *this;
  }
};

// f(the struct inside)
template <class F>
LONGSPAN_HD decltype(auto) visit(const Pattern& pattern, const F& f) {
  switch (pattern.kind) {
#define LONGSPAN_CASE(Type, member) \
  case Pattern::Kind::Type:         \
    return f(pattern.member);
    LONGSPAN_PATTERNS(LONGSPAN_CASE)
#undef LONGSPAN_CASE
  }
  __builtin_unreachable();
}

// The walk of a CPU kernel: functions over the list, compiled once, outside the ISA files (pattern.cc).
struct PatternWalk {
  const char* name;
  bool everyQuery;
  int (*numQueryTiles)(const Pattern&, int tile);
  Rows (*queryRows)(const Pattern&, int t, int tile);
  // The smallest visited key tile ≥ t, or −1. Tiles are numbered per query tile, below endKeyTile.
  int (*nextKeyTile)(const Pattern&, const Rows& queries, int t, int tile);
  int (*endKeyTile)(const Pattern&, const Rows& queries, int tile);
  Rows (*keyRows)(const Pattern&, int t, int tile);
  Cover (*cover)(const Pattern&, const Rows& queries, const Rows& keys);
  bool (*allows)(const Pattern&, int query, int key);
  // out[i]: what queries[i] sees. Null where the visible keys are not two intervals: then use `mask`.
  void (*ranges)(const Pattern&, const Rows& queries, KeyRange* out);
  // bit i of words[j]: may queries[i] see keys[j]? At most 64 queries.
  void (*mask)(const Pattern&, const int* queries, int count, const Rows& keys, uint64_t* words);
};
const PatternWalk& walkOf(const Pattern&);

}  // namespace longspan
