// One PatternWalk for each pattern of the list.
#include "pattern.h"

#include <type_traits>

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
    return queries.count > 0 ? as<P>(p).nextKeyTile(queries, t, tile) : -1;
  }
  static int endKeyTile(const Pattern& p, const Rows& queries, int tile) { return as<P>(p).endKeyTile(queries, tile); }
  static Rows keyRows(const Pattern& p, int t, int tile) { return as<P>(p).keyRows(t, tile); }
  static Cover cover(const Pattern& p, const Rows& queries, const Rows& keys) { return as<P>(p).cover(queries, keys); }
  static bool allows(const Pattern& p, int query, int key) { return as<P>(p).allows(query, key); }
  static void ranges(const Pattern& p, const Rows& queries, KeyRange* out) {
    if constexpr (P::hasRanges)
      for (int i = 0; i < queries.count; ++i) out[i] = as<P>(p).range(queries[i]);
  }
  static void mask(const Pattern& p, const int* queries, int count, const Rows& keys, uint64_t* words) {
    for (int j = 0; j < keys.count; ++j) {
      uint64_t word = 0;
      for (int i = 0; i < count; ++i) word |= uint64_t(as<P>(p).allows(queries[i], keys[j])) << i;
      words[j] = word;
    }
  }
  static constexpr PatternWalk walk = {
      P::name,    P::everyQuery, numQueryTiles, queryRows, nextKeyTile,
      endKeyTile, keyRows,       cover,         allows,    P::hasRanges ? &ranges : nullptr,
      mask};
};

}  // namespace

const PatternWalk& walkOf(const Pattern& pattern) {
  return *visit(pattern, [](const auto& p) { return &WalkOf<std::decay_t<decltype(p)>>::walk; });
}

}  // namespace longspan
