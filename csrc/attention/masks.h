// Which of up to 64 queries see which keys, as a word of bits a key: by toggling bits where a query's runs of keys
// begin and end where a pattern has runs, else pair by pair from `allows`.
#pragma once
#include "pattern.h"

namespace longspan {

// Toggles query i from key `begin` to before key `end`; finish() makes words of the toggles.
struct MaskRuns {
  const Rows& keys;  // consecutive
  uint64_t* words;   // [keys.count]
  MaskRuns(const Rows& k, uint64_t* w) : keys(k), words(w) {
    for (int j = 0; j < keys.count; ++j) words[j] = 0;
  }
  void add(int i, int begin, int end) {
    begin = maxOf(begin - keys.start, 0), end = minOf(end - keys.start, keys.count);
    if (begin >= end) return;
    words[begin] ^= uint64_t(1) << i;
    if (end < keys.count) words[end] ^= uint64_t(1) << i;
  }
  void finish() {
    for (int j = 1; j < keys.count; ++j) words[j] ^= words[j - 1];
  }
};

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
      MaskRuns runs(keys, words);
      for (int i = 0; i < count; ++i) {
        KeyRange r = p.range(queries[i]);
        runs.add(i, r.begin, r.end);
        runs.add(i, r.begin2, r.end2);
      }
      return runs.finish();
    }
  }
  maskByPairs(p, queries, count, keys, words);
}

inline void maskOf(const Blocks& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  MaskRuns runs(keys, words);
  int first = keys.start / p.blockKV, last = (keys.start + keys.count - 1) / p.blockKV;
  for (int i = 0; i < count; ++i) {
    Blocks::List list = p.listOf(p.rowOf(queries[i]));
    for (int n = lowerBound(list.at, 0, list.count, first); n < list.count && list.at[n] <= last; ++n)
      runs.add(i, list.at[n] * p.blockKV, (list.at[n] + 1) * p.blockKV);
  }
  runs.finish();
}

inline void maskOf(const Diagonals& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  MaskRuns runs(keys, words);
  for (int i = 0; i < count; ++i)
    for (int kv = keys.start, end = keys.start + keys.count; kv < end;) {
      int key = p.nextOf(p.blockOf(queries[i]), kv);
      if (key >= end) break;
      kv = (key / p.block + 1) * p.block;
      runs.add(i, key, kv);
    }
  runs.finish();
}

inline void maskOf(const Strided& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  if (!keys.contiguous()) return maskByPairs(p, queries, count, keys, words);
  for (int j = 0; j < keys.count; ++j) words[j] = 0;
  for (int i = 0; i < count; ++i) {
    int own = p.classOf(queries[i]), first = keys.start % p.rate;
    for (int j = (own - first + p.rate) % p.rate; j < keys.count; j += p.rate)
      words[j] |= uint64_t(p.allows(queries[i], keys.start + j)) << i;
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

inline void maskOf(const Composite& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
  p.mask(queries, count, keys, words);
}

}  // namespace longspan
