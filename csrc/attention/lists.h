// Patterns given by lists: sets of keys or queries, residues, blocks (CSR), single elements. The lists belong to the
// caller and outlive the pattern; they are ascending.
#pragma once
#include "rows.h"

namespace longspan {

// The first i in [low, high) with list[i] ≥ value, or high.
LONGSPAN_HD int lowerBound(const int* list, int low, int high, int value) {
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (list[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

struct Spans {  // [bounds[2 i], bounds[2 i + 1]), ascending and apart
  const int* bounds;
  int count;
  LONGSPAN_HD int find(int x) const {  // the first span that ends behind x
    int low = 0, high = count;
    while (low < high) {
      int middle = (low + high) / 2;
      (bounds[2 * middle + 1] > x ? high : low) = (bounds[2 * middle + 1] > x) ? middle : middle + 1;
    }
    return low;
  }
  LONGSPAN_HD bool has(int x) const {
    int i = find(x);
    return i < count && bounds[2 * i] <= x;
  }
  LONGSPAN_HD int next(int x) const {  // the smallest member ≥ x, or −1
    int i = find(x);
    return i < count ? maxOf(x, bounds[2 * i]) : -1;
  }
  LONGSPAN_HD Cover cover(int first, int last) const {
    int i = find(first);
    if (i == count || bounds[2 * i] > last) return Cover::None;
    return bounds[2 * i] <= first && last < bounds[2 * i + 1] ? Cover::Full : Cover::Partial;
  }
};

// Keys that every query sees: global tokens (Beltagy et al. 2020, Longformer), vertical lines (Jiang et al. 2024,
// MInference).
struct Keys : Contiguous {
  static constexpr const char* name = "keys";
  static constexpr bool hasRanges = false;
  Spans spans;
  LONGSPAN_HD bool allows(int, int kv) const { return spans.has(kv); }
  LONGSPAN_HD int nextKey(const Rows&, int kv) const {
    int next = spans.next(kv);
    return next < seqLenKV ? next : -1;
  }
  LONGSPAN_HD Cover cover(const Rows&, const Rows& kv) const { return spans.cover(kv[0], kv[kv.count - 1]); }
};

// Queries (by position) that see every key.
struct Queries : Contiguous {
  static constexpr const char* name = "queries";
  static constexpr bool hasRanges = false;
  Spans spans;
  LONGSPAN_HD bool allows(int q, int) const { return spans.has(q + start); }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    return kv < seqLenKV && spans.cover(q[0] + start, q[q.count - 1] + start) != Cover::None ? kv : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows&) const {
    Cover all = spans.cover(q[0] + start, q[q.count - 1] + start);
    return all == Cover::Full || q.count == 1 ? all : all == Cover::None ? all : Cover::Partial;
  }
};

// Keys whose position modulo `period` is in [first, end): the summaries of Sparse Transformer's fixed pattern.
struct Residues : Contiguous {
  static constexpr const char* name = "residues";
  static constexpr bool hasRanges = false;
  int period, first, end;
  LONGSPAN_HD bool allows(int, int kv) const {
    int r = kv % period;
    return r >= first && r < end;
  }
  LONGSPAN_HD int nextKey(const Rows&, int kv) const {
    int r = kv % period;
    int64_t next = r < first ? int64_t(kv) + first - r : r < end ? kv : int64_t(kv) + period - r + first;
    return next < seqLenKV ? int(next) : -1;
  }
  LONGSPAN_HD Cover cover(const Rows&, const Rows& kv) const {
    int from = kv[0], to = kv[kv.count - 1];
    int next = nextKey({}, from);
    if (next < 0 || next > to) return Cover::None;
    return next == from && to - from < end - from % period ? Cover::Full : Cover::Partial;
  }
};

// Blocks of queries see blocks of keys, listed for each row of blocks. Lists are CSR (rowStart), or `perRow` entries a
// row that end at a negative one.
struct Blocks : Contiguous {
  static constexpr const char* name = "blocks";
  static constexpr bool hasRanges = false;
  int blockQ, blockKV;
  int base;             // position of query 0, not negative: rows of blocks are counted from position 0
  int firstRow, rows;   // row of blocks that the lists begin with, and how many they have
  const int* rowStart;  // [rows + 1], or null
  const int* columns;
  int perRow;
  struct List {
    const int* at;
    int count;
  };
  LONGSPAN_HD void slice(int first, int number) {
    Contiguous::slice(first, number);
    base += first;
  }
  LONGSPAN_HD int rowOf(int q) const { return (q + base) / blockQ - firstRow; }
  LONGSPAN_HD List listOf(int row) const {
    if (row < 0 || row >= rows) return {columns, 0};
    if (rowStart) return {columns + rowStart[row], rowStart[row + 1] - rowStart[row]};
    const int* at = columns + int64_t(row) * perRow;
    int count = 0;  // entries before the first negative one
    for (int end = perRow; count < end;) {
      int middle = count + (end - count) / 2;
      if (at[middle] < 0)
        end = middle;
      else
        count = middle + 1;
    }
    return {at, count};
  }
  LONGSPAN_HD bool allows(int q, int kv) const {
    List list = listOf(rowOf(q));
    int i = lowerBound(list.at, 0, list.count, kv / blockKV);
    return i < list.count && list.at[i] == kv / blockKV;
  }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    int64_t next = seqLenKV;
    for (int row = rowOf(q[0]), end = rowOf(q[q.count - 1]); row <= end; ++row) {
      List list = listOf(row);
      int i = lowerBound(list.at, 0, list.count, kv / blockKV);
      if (i == list.count) continue;
      int64_t at = int64_t(list.at[i]) * blockKV;
      next = at < next ? at : next;
    }
    return next < seqLenKV ? maxOf(kv, int(next)) : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    int first = kv[0] / blockKV, last = kv[kv.count - 1] / blockKV;
    bool any = false, full = true;
    for (int row = rowOf(q[0]), end = rowOf(q[q.count - 1]); row <= end; ++row) {
      List list = listOf(row);
      int i = lowerBound(list.at, 0, list.count, first), seen = 0;
      for (; i < list.count && list.at[i] <= last; ++i) ++seen;
      any = any || seen > 0;
      full = full && seen == last - first + 1;
    }
    return full && any ? Cover::Full : any ? Cover::Partial : Cover::None;
  }
};

// Keys at listed distances before a query (slash lines: Jiang et al. 2024, MInference), exactly, or rounded out to
// blocks by position: the queries of a block see a block of keys where any of its pairs is at such a distance.
struct Diagonals : Contiguous {
  static constexpr const char* name = "diagonals";
  static constexpr bool hasRanges = false;
  int block;           // 1: exactly
  const int* offsets;  // [count], ascending from 0 on
  int count;
  LONGSPAN_HD int blockOf(int q) const { return floorDiv(q + start, block) * block; }  // its first position
  // The smallest key ≥ kv that the queries of the block at `first` see, or seqLenKV: on the longest line that still
  // reaches the keys from kv's block on
  LONGSPAN_HD int nextOf(int first, int kv) const {
    int end = minOf(first + block, seqLenKV), i = lowerBound(offsets, 0, count, end - kv / block * block);
    return i == 0 ? seqLenKV : maxOf(kv, floorDiv(first - offsets[i - 1], block) * block);
  }
  LONGSPAN_HD bool allows(int q, int kv) const { return nextOf(blockOf(q), kv) == kv; }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    int next = seqLenKV;
    for (int first = blockOf(q[0]), last = blockOf(q[q.count - 1]); first <= last; first += block)
      next = minOf(next, nextOf(first, kv));
    return next < seqLenKV ? next : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    bool any = false, full = true;
    for (int first = blockOf(q[0]), last = blockOf(q[q.count - 1]); first <= last; first += block)
      for (int key = kv[0], end = kv[kv.count - 1]; key <= end; key = (key / block + 1) * block) {
        bool sees = nextOf(first, key) == key;
        any = any || sees;
        full = full && sees;
        if (any && !full) return Cover::Partial;
      }
    return any ? Cover::Full : Cover::None;
  }
};

// Any mask, for queries and keys from an origin on, what lies outside is not seen; one byte for each block of
// blockQ × blockKV pairs, 1 × 1 for single pairs.
struct Elements : Contiguous {
  static constexpr const char* name = "elements";
  static constexpr bool hasRanges = false;
  int base;  // position of query 0, not negative
  int blockQ, blockKV;
  int firstQuery, rows;   // row of blocks that the mask begins with
  int firstKey, columns;  // and column
  const uint8_t* mask;    // [rows][columns], 0 or not
  LONGSPAN_HD void slice(int first, int number) {
    Contiguous::slice(first, number);
    base += first;
  }
  LONGSPAN_HD const uint8_t* rowOf(int q) const {
    int row = (q + base) / blockQ - firstQuery;
    return row >= 0 && row < rows ? mask + int64_t(row) * columns : nullptr;
  }
  LONGSPAN_HD bool allows(int q, int kv) const {
    const uint8_t* row = rowOf(q);
    int column = kv / blockKV - firstKey;
    return row && column >= 0 && column < columns && row[column];
  }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    int next = minOf(firstKey + columns, ceilDiv(seqLenKV, blockKV)), none = next;  // columns
    const uint8_t* last = nullptr;
    for (int i = 0; i < q.count; ++i) {  // along the rows, eight columns at once
      const uint8_t* row = rowOf(q[i]);
      if (row == last) continue;
      last = row;
      for (int at = maxOf(kv / blockKV, firstKey); row && at < next;) {
        uint64_t eight = 0;
        if (next - at >= 8) __builtin_memcpy(&eight, row + at - firstKey, 8);
        if (next - at >= 8 && !eight) {
          at += 8;
        } else if (row[at - firstKey]) {
          next = at;
        } else {
          ++at;
        }
      }
    }
    return next < none ? maxOf(kv, next * blockKV) : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    bool any = false, full = true;
    for (int i = 0; i < q.count; ++i)
      for (int j = 0; j < kv.count; ++j) {
        bool sees = allows(q[i], kv[j]);
        any = any || sees;
        full = full && sees;
        if (any && !full) return Cover::Partial;
      }
    return any ? Cover::Full : Cover::None;
  }
};

}  // namespace longspan
