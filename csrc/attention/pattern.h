// A pattern says which keys a query may see. It is the only thing that differs between full, causal, window and
// sink attention: a kernel walks query tiles and key tiles, and masks only where a tile is Partial.
// A pattern is a small struct; `allows` is its specification, all the rest is speed. A new one is a struct in the
// header of its family and a word in the one list. Host and device, pure. CPU kernels reach it through PatternWalk, so
// they are compiled once.
#pragma once
#include "buckets.h"
#include "intervals.h"
#include "lists.h"
#include "strided.h"

namespace longspan {

struct Pattern;

// A union or an intersection of patterns of the same lengths, walked by runs of keys. A part may know fewer keys than
// the whole: it allows none of the others. Host only: a device takes it as a list of blocks (functions in pattern.cc).
struct Composite : Contiguous {
  static constexpr const char* name = "composite";
  static constexpr bool hasRanges = false;
  bool every;  // the parts must all agree; else one is enough
  const Pattern* of;
  int count;
  bool allows(int q, int kv) const;
  int nextKey(const Rows& q, int kv) const;
  Cover cover(const Rows& q, const Rows& kv) const;
  void mask(const int* queries, int number, const Rows& keys, uint64_t* words) const;
};

// The one list: type, member
#define LONGSPAN_PATTERNS(X) \
  X(Full, full)              \
  X(Window, window)          \
  X(Sinks, sinks)            \
  X(Prefix, prefix)          \
  X(Chunks, chunks)          \
  X(Documents, documents)    \
  X(Dilated, dilated)        \
  X(Strided, strided)        \
  X(Keys, keys)              \
  X(Queries, queries)        \
  X(Residues, residues)      \
  X(Blocks, blocks)          \
  X(Diagonals, diagonals)    \
  X(Elements, elements)      \
  X(Composite, composite)    \
  X(Buckets, buckets)

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
#ifdef __CUDACC__
#pragma nv_exec_check_disable  // f may be of the host or of the device alone
#endif
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
  bool contiguous;  // tiles of keys are runs of keys, of which nextKey tells the next one that is seen
  int (*numQueryTiles)(const Pattern&, int tile);
  Rows (*queryRows)(const Pattern&, int t, int tile);
  // The smallest visited key tile ≥ t, or −1. Tiles are numbered per query tile, below endKeyTile.
  int (*nextKeyTile)(const Pattern&, const Rows& queries, int t, int tile);
  int (*endKeyTile)(const Pattern&, const Rows& queries, int tile);
  Rows (*keyRows)(const Pattern&, int t, int tile);
  // A key ≥ kv before which none from kv on is seen by these consecutive queries, or −1.
  int (*nextKey)(const Pattern&, const Rows& queries, int kv);
  Cover (*cover)(const Pattern&, const Rows& queries, const Rows& keys);
  bool (*allows)(const Pattern&, int query, int key);
  // out[i]: what queries[i] sees. Null where the visible keys are not two intervals: then use `mask`.
  void (*ranges)(const Pattern&, const Rows& queries, KeyRange* out);
  // bit i of words[j]: may queries[i] see keys[j]? At most 64 queries, 256 keys.
  void (*mask)(const Pattern&, const int* queries, int count, const Rows& keys, uint64_t* words);
};
const PatternWalk& walkOf(const Pattern&);

}  // namespace longspan
