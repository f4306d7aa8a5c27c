// Words that patterns and kernels share: rows of a sequence, how a tile of keys is covered, ranges of keys. Host and
// device, pure.
#pragma once
#include <cstdint>

#include "../core/host_device.h"

namespace longspan {

struct Rows {  // rows of a sequence: contiguous, strided, or gathered (LSH buckets)
  int start = 0, count = 0, stride = 1;
  const int* index = nullptr;
  LONGSPAN_HD int operator[](int i) const {
    int at = start + i * stride;
    return index ? index[at] : at;
  }
  LONGSPAN_HD Rows part(int first, int number) const { return {start + first * stride, number, stride, index}; }
  LONGSPAN_HD bool contiguous() const { return !index && stride == 1; }
};

enum class Cover { None, Partial, Full };

struct KeyRange {  // the keys one query sees: [begin, end) and [begin2, end2), in this order, each may be empty
  int begin, end, begin2, end2;
};

LONGSPAN_HD constexpr int ceilDiv(int a, int b) { return (a + b - 1) / b; }
LONGSPAN_HD constexpr int floorDiv(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
LONGSPAN_HD constexpr int minOf(int a, int b) { return a < b ? a : b; }
LONGSPAN_HD constexpr int maxOf(int a, int b) { return a > b ? a : b; }
LONGSPAN_HD constexpr int clampOf(int64_t x, int low, int high) { return int(x < low ? low : x > high ? high : x); }

// What every pattern over consecutive rows shares. Query q stands at position q + start among the keys: by default the
// last query at the last key, so that causal holds for a chunk after a cache as well.
struct Contiguous {
  int seqLenQ, seqLenKV, start;
  Contiguous() = default;
  LONGSPAN_HD constexpr Contiguous(int q, int kv) : seqLenQ(q), seqLenKV(kv), start(kv - q) {}
  LONGSPAN_HD constexpr Contiguous(int q, int kv, int first) : seqLenQ(q), seqLenKV(kv), start(first) {}
  LONGSPAN_HD int offset() const { return start; }
  LONGSPAN_HD int numQueryTiles(int tile) const { return ceilDiv(seqLenQ, tile); }
  LONGSPAN_HD Rows queryRows(int t, int tile) const { return {t * tile, minOf(tile, seqLenQ - t * tile)}; }
  LONGSPAN_HD Rows keyRows(int t, int tile) const { return {t * tile, minOf(tile, seqLenKV - t * tile)}; }
  LONGSPAN_HD int endKeyTile(const Rows&, int tile) const { return ceilDiv(seqLenKV, tile); }
  // The queries [first, first + number) alone.
  LONGSPAN_HD void slice(int first, int number) {
    seqLenQ = number;
    start += first;
  }
  static constexpr bool hasRanges = true;   // range() is exact: `allows` is two intervals a query
  static constexpr bool everyQuery = true;  // the query tiles hold every query
  static constexpr bool contiguous = true;  // tiles of keys are runs of keys: nextKey() says where they begin
  // Is every / any key of [first, last] in the range?
  LONGSPAN_HD static bool holds(const KeyRange& r, int first, int last) {
    return (r.begin <= first && last < r.end) || (r.begin2 <= first && last < r.end2);
  }
  LONGSPAN_HD static bool meets(const KeyRange& r, int first, int last) {
    return (r.begin < r.end && first < r.end && last >= r.begin) ||
           (r.begin2 < r.end2 && first < r.end2 && last >= r.begin2);
  }
};

// Patterns whose queries see one interval each, both ends of which never fall from a query to the next. P has
// range(q), of which begin and end count.
template <class P>
struct Interval : Contiguous {
  using Contiguous::Contiguous;
  Interval() = default;
  LONGSPAN_HD Interval(const Contiguous& lengths) : Contiguous(lengths) {}
  LONGSPAN_HD const P& self() const { return static_cast<const P&>(*this); }
  LONGSPAN_HD bool allows(int q, int kv) const {
    KeyRange r = self().range(q);
    return kv >= r.begin && kv < r.end;
  }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    int first = maxOf(kv, self().range(q[0]).begin);
    return first < self().range(q[q.count - 1]).end ? first : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    KeyRange a = self().range(q[0]), b = self().range(q[q.count - 1]);
    int first = kv[0], last = kv[kv.count - 1];
    if (holds(a, first, last) && holds(b, first, last)) return Cover::Full;
    return meets({a.begin, b.end, 0, 0}, first, last) ? Cover::Partial : Cover::None;
  }
};

}  // namespace longspan
