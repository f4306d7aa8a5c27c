// One PatternWalk for each pattern of the list, and the union and intersection of patterns.
#include "pattern.h"

#include <type_traits>

#include "masks.h"

namespace longspan {
namespace {

template <class P>
const P& as(const Pattern& pattern) {
  return *visit(pattern, [](const auto& p) { return static_cast<const P*>(static_cast<const void*>(&p)); });
}

template <class P>
struct WalkOf {
  static int numQueryTiles(const Pattern& p, int tile) { return as<P>(p).numQueryTiles(tile); }
  static Rows queryRows(const Pattern& p, int t, int tile) { return as<P>(p).queryRows(t, tile); }
  static int nextKeyTile(const Pattern& p, const Rows& queries, int t, int tile) {
    if (queries.count == 0) return -1;
    if constexpr (P::contiguous) {
      int64_t key = int64_t(t) * tile;
      int next = key < as<P>(p).seqLenKV ? as<P>(p).nextKey(queries, int(key)) : -1;
      return next < 0 ? -1 : next / tile;
    } else {
      return as<P>(p).nextKeyTile(queries, t, tile);
    }
  }
  static int endKeyTile(const Pattern& p, const Rows& queries, int tile) { return as<P>(p).endKeyTile(queries, tile); }
  static Rows keyRows(const Pattern& p, int t, int tile) { return as<P>(p).keyRows(t, tile); }
  static int nextKey(const Pattern& p, const Rows& queries, int kv) {
    if (queries.count == 0 || kv >= as<P>(p).seqLenKV) return -1;
    if constexpr (requires { as<P>(p).nextKey(queries, kv); })
      return as<P>(p).nextKey(queries, kv);
    else
      return kv;
  }
  static Cover cover(const Pattern& p, const Rows& queries, const Rows& keys) { return as<P>(p).cover(queries, keys); }
  static bool allows(const Pattern& p, int query, int key) { return as<P>(p).allows(query, key); }
  static void ranges(const Pattern& p, const Rows& queries, KeyRange* out) {
    if constexpr (P::hasRanges)
      for (int i = 0; i < queries.count; ++i) out[i] = as<P>(p).range(queries[i]);
  }
  static void mask(const Pattern& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
    maskOf(as<P>(p), queries, count, keys, words);
  }
  static constexpr PatternWalk walk = {P::name,   P::everyQuery, P::contiguous, numQueryTiles,
                                       queryRows, nextKeyTile,   endKeyTile,    keyRows,
                                       nextKey,   cover,         allows,        P::hasRanges ? &ranges : nullptr,
                                       mask};
};

}  // namespace

const PatternWalk& walkOf(const Pattern& pattern) {
  return *visit(pattern, [](const auto& p) { return &WalkOf<std::decay_t<decltype(p)>>::walk; });
}

namespace {

int numKeysOf(const Pattern& pattern) {
  return visit(pattern, [](const auto& p) { return p.seqLenKV; });
}

}  // namespace

bool Composite::allows(int q, int kv) const {
  for (int i = 0; i < count; ++i) {
    bool sees = kv < numKeysOf(of[i]) && walkOf(of[i]).allows(of[i], q, kv);
    if (sees != every) return sees;
  }
  return every;
}

int Composite::nextKey(const Rows& q, int kv) const {
  int next = every ? kv : -1;
  for (int i = 0; i < count; ++i) {
    int own = walkOf(of[i]).nextKey(of[i], q, every ? next : kv);
    if (every && own < 0) return -1;
    if (every ? own > next : own >= 0 && (next < 0 || own < next)) {
      next = own;
      if (every) i = -1;  // the others from there on
    }
  }
  return count ? next : every && kv < seqLenKV ? kv : -1;
}

Cover Composite::cover(const Rows& q, const Rows& kv) const {
  bool every = this->every, none = !every, full = every;
  for (int i = 0; i < count; ++i) {
    Cover own = Cover::None;
    int known = numKeysOf(of[i]);
    if (kv[0] < known) own = walkOf(of[i]).cover(of[i], q, kv);
    if (own != Cover::None && kv[kv.count - 1] >= known) own = Cover::Partial;
    if (own == (every ? Cover::None : Cover::Full)) return own;
    none = none && own == Cover::None;
    full = full && own == Cover::Full;
  }
  return full ? Cover::Full : none ? Cover::None : Cover::Partial;
}

void Composite::mask(const int* queries, int number, const Rows& keys, uint64_t* words) const {
  for (int j = 0; j < keys.count; ++j) words[j] = every ? ~uint64_t(0) : 0;
  uint64_t own[256];
  for (int i = 0; i < count; ++i) {
    int known = 0;  // keys ascend
    while (known < keys.count && keys[known] < numKeysOf(of[i])) ++known;
    walkOf(of[i]).mask(of[i], queries, number, keys.part(0, known), own);
    for (int j = 0; j < keys.count; ++j) {
      uint64_t word = j < known ? own[j] : 0;
      words[j] = every ? words[j] & word : words[j] | word;
    }
  }
}

}  // namespace longspan
