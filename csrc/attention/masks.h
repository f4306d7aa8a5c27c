// Which of up to 64 queries see which keys, as a word of bits a key: by toggling bits where a query's runs of keys
// begin and end where a pattern has runs, else pair by pair from `allows`.
#pragma once
#include "pattern.h"

namespace longspan {

// Toggles queries (bits) from place `begin` to before place `end` of the keys; finish() makes words of the toggles.
struct MaskRuns {
  int count;
  uint64_t* words;  // [count]
  MaskRuns(int n, uint64_t* w) : count(n), words(w) {
    for (int j = 0; j < count; ++j) words[j] = 0;
  }
  void add(uint64_t queries, int64_t begin, int64_t end) {
    begin = begin > 0 ? begin : 0, end = end < count ? end : count;
    if (begin >= end) return;
    words[begin] ^= queries;
    if (end < count) words[end] ^= queries;
  }
  void finish() {
    for (int j = 1; j < count; ++j) words[j] ^= words[j - 1];
  }
};
constexpr uint64_t bit(int i) { return uint64_t(1) << i; }

template <class P>
void maskByPairs(const P& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  for (int j = 0; j < keys.count; ++j) {
    uint64_t word = 0;
    for (int i = 0; i < count; ++i) word |= uint64_t(p.allows(queries[i], keys[j])) << i;
    words[j] = word;
  }
}

template <class P>
void maskOf(const P& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if constexpr (P::hasRanges) {
    if (keys.contiguous()) {
      MaskRuns runs(keys.count, words);
      for (int i = 0; i < count; ++i) {
        KeyRange r = p.range(queries[i]);
        runs.add(bit(i), r.begin - keys.start, r.end - keys.start);
        runs.add(bit(i), r.begin2 - keys.start, r.end2 - keys.start);
      }
      return runs.finish();
    }
  }
  maskByPairs(p, queries, count, keys, words);
}

inline void maskOf(const Blocks& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  MaskRuns runs(keys.count, words);
  int first = keys.start / p.blockKV, last = (keys.start + keys.count - 1) / p.blockKV;
  for (int i = 0; i < count;) {  // queries of one row of blocks together
    int row = p.rowOf(queries[i]);
    uint64_t together = 0;
    for (; i < count && p.rowOf(queries[i]) == row; ++i) together |= bit(i);
    Blocks::List list = p.listOf(row);
    for (int n = lowerBound(list.at, 0, list.count, first); n < list.count && list.at[n] <= last; ++n) {
      int64_t begin = int64_t(list.at[n]) * p.blockKV - keys.start;
      runs.add(together, begin, begin + p.blockKV);
    }
  }
  runs.finish();
}

inline int64_t floorOf(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

inline void maskOf(const Dilated& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  int first = keys[0], own = first / p.segment;
  bool tiled = !keys.index && keys.stride == p.rate && p.holdsRow(first, own) && p.holdsRow(keys[keys.count - 1], own);
  if (!tiled) return maskByPairs(p, queries, count, keys, words);
  MaskRuns runs(keys.count, words);
  for (int i = 0; i < count; ++i) {
    int at = queries[i] + p.start;
    if (p.holdsRow(at, own)) runs.add(bit(i), 0, p.causal ? floorOf(int64_t(at) - first, p.rate) + 1 : keys.count);
  }
  runs.finish();
}

inline void maskOf(const Diagonals& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  MaskRuns runs(keys.count, words);
  for (int i = 0; i < count; ++i)
    for (int kv = keys.start, end = keys.start + keys.count; kv < end;) {
      int key = p.nextOf(p.blockOf(queries[i]), kv);
      if (key >= end) break;
      kv = (key / p.block + 1) * p.block;
      runs.add(bit(i), key - keys.start, kv - keys.start);
    }
  runs.finish();
}

inline void maskOf(const Strided& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.index && keys.stride == p.rate) {
    MaskRuns runs(keys.count, words);
    for (int i = 0; i < count; ++i) {
      int64_t distance = int64_t(queries[i]) + p.start - keys.start;
      if (distance % p.rate) continue;
      int64_t at = distance / p.rate;  // place of the own key
      runs.add(bit(i), at - p.before, at - p.skip + 1);
      runs.add(bit(i), at + 1, at + p.after + 1);
    }
    return runs.finish();
  }
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  for (int j = 0; j < keys.count; ++j) words[j] = 0;
  for (int i = 0; i < count; ++i) {
    int own = p.classOf(queries[i]), first = keys.start % p.rate;
    for (int j = (own - first + p.rate) % p.rate; j < keys.count; j += p.rate)
      if (p.allows(queries[i], keys.start + j)) words[j] |= bit(i);
  }
}

template <class P>
void maskByKey(const P& p, int count, const Rows& keys, uint64_t* words) {  // all queries see the same
  uint64_t all = count == 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1;
  for (int j = 0; j < keys.count; ++j) words[j] = p.allows(0, keys[j]) ? all : 0;
}
inline void maskOf(const Keys& p, const int*, int count, const Rows& keys, uint64_t* words) {
  maskByKey(p, count, keys, words);
}
inline void maskOf(const Residues& p, const int*, int count, const Rows& keys, uint64_t* words) {
  maskByKey(p, count, keys, words);
}

inline void maskOf(const Queries& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  uint64_t those = 0;
  for (int i = 0; i < count; ++i) those |= uint64_t(p.allows(queries[i], 0)) << i;
  for (int j = 0; j < keys.count; ++j) words[j] = those;
}

inline void maskOf(const Composite& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  p.mask(queries, count, keys, words);
}

}  // namespace longspan
