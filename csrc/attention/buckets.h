// Queries and keys sorted into groups, by content: chunks of tokens sorted by their hash (Kitaev et al. 2020,
// Reformer), equal hashes (Pagliardini et al. 2023, SCFA), clusters (Roy et al. 2021, Routing Transformer), tokens that
// are kept. Rows are places in a sorted list; a query sees the keys of one span of rows, up to a position.
#pragma once
#include "rows.h"

namespace longspan {

// Which groups of keys a group of queries sees: query + shift − key, around the ring, is in [0, span].
struct GroupRelation {
  static constexpr int noRing = 1 << 30;
  const int *query, *key;  // group of each query token and of each key token
  const int* bucket;       // where given, a query also sees its own bucket alone
  int shift, span, ring;
  LONGSPAN_HD bool sees(int q, int kv) const {
    unsigned distance = unsigned(query[q]) + unsigned(shift) - unsigned(key[kv]), last = unsigned(span);
    bool near = distance <= last || distance + unsigned(ring) <= last || distance - unsigned(ring) <= last;
    return near && (!bucket || bucket[q] == bucket[kv]);
  }
};

struct KeySpan {
  int begin, end;  // rows of the keys' list
};

struct Buckets {
  static constexpr const char* name = "buckets";
  static constexpr bool hasRanges = false, everyQuery = false, contiguous = false;
  static constexpr int unbounded = 1 << 30;
  int seqLenQ, seqLenKV;
  const int *queryOrder, *keyOrder;  // tokens; queries ascend by group
  int numQueryRows, numKeyRows;
  const KeySpan* spans;  // of a query's group; both ends ascend. The rows that `relation` says, each once
  int numSpans;
  GroupRelation relation;
  const GroupRelation* earlier;  // what one of these shows is not shown again
  int numEarlier;
  int after;           // the last position a query sees is its own + after
  bool spansAscend;    // positions ascend within a span
  bool everyQueryRow;  // every query is in the list
  int rowsPerGroup;    // not 0: groups of so many rows, in the order of `spans`
  bool outputPerRow;   // out and lse have a place for each row of the list, not for each query

  LONGSPAN_HD int offset() const { return seqLenKV - seqLenQ; }
  LONGSPAN_HD void slice(int, int) {}  // made when the op runs, for all queries at once
  LONGSPAN_HD int64_t lastPosition(int q) const { return int64_t(q) + offset() + after; }
  LONGSPAN_HD bool allows(int q, int kv) const {
    if (kv > lastPosition(q) || !relation.sees(q, kv)) return false;
    for (int i = 0; i < numEarlier; ++i)
      if (earlier[i].sees(q, kv)) return false;
    return true;
  }
  LONGSPAN_HD int numQueryTiles(int tile) const { return ceilDiv(numQueryRows, tile); }
  LONGSPAN_HD Rows queryRows(int t, int tile) const {
    return {t * tile, minOf(tile, numQueryRows - t * tile), 1, queryOrder};
  }
  // Key tiles are numbered by their first row: those of a query tile begin at the first row that it sees.
  LONGSPAN_HD Rows keyRows(int t, int tile) const { return {t, minOf(tile, numKeyRows - t), 1, keyOrder}; }
  LONGSPAN_HD KeySpan spanOf(int row) const {
    return spans[rowsPerGroup ? row / rowsPerGroup : relation.query[queryOrder[row]]];
  }
  // The rows that some of the queries see
  LONGSPAN_HD KeySpan spanOf(const Rows& q) const {
    KeySpan last = spanOf(q.start + q.count - 1), all = {spanOf(q.start).begin, last.end};
    if (!spansAscend) return all;
    for (int begin = last.begin; begin < all.end;) {
      int middle = begin + (all.end - begin) / 2;
      if (keyOrder[middle] <= lastPosition(q[q.count - 1])) {
        begin = middle + 1;
      } else {
        all.end = middle;
      }
    }
    return all;
  }
  LONGSPAN_HD int endKeyTile(const Rows& q, int) const { return spanOf(q).end; }
  LONGSPAN_HD int nextKeyTile(const Rows& q, int t, int tile) const {
    KeySpan span = spanOf(q);
    int next = t <= span.begin ? span.begin : span.begin + (t - span.begin + tile - 1) / tile * tile;
    return next < span.end ? next : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    KeySpan span = spanOf(q);
    return kv.start < span.end && kv.start + kv.count > span.begin ? Cover::Partial : Cover::None;
  }
};

}  // namespace longspan
