// Patterns on the device: which tiles of keys a tile of queries sees, and which keys of a tile a query sees. The
// structs of csrc/attention do the work; here is what pattern.cc does for them on the host, made for warps: 32 tiles
// are judged at once, and a mask is made eight keys at a time.
#pragma once
#include <type_traits>

#include "../csrc/attention/pattern.h"

namespace longspan::cuda {

// Unions and intersections may hold others, so many deep: device code does not recurse.
inline constexpr int compositeDepth = 3;
constexpr uint32_t everyLane = 0xffffffff;

__device__ __forceinline__ int numKeysOf(const Pattern& pattern) {
  return visit(pattern, [](const auto& p) { return p.seqLenKV; });
}

// Each question below has an answer for patterns that are no composite, compiled once, and one for composites, compiled
// per level.

// --- the next key that some of the queries see, or −1
__device__ __noinline__ inline int nextKeyOfOne(const Pattern& pattern, const Rows& queries, int kv) {
  return visit(pattern, [&](const auto& p) -> int {
    using P = std::decay_t<decltype(p)>;
    if (kv >= p.seqLenKV) return -1;
    if constexpr (std::is_same_v<P, Composite> || std::is_same_v<P, Elements> || std::is_same_v<P, Buckets>)
      return kv;  // a mask is searched by all lanes, tile by tile
    else
      return p.nextKey(queries, kv);
  });
}
template <int Depth>
__device__ __noinline__ int nextKeyOf(const Pattern& pattern, const Rows& queries, int kv) {
  if (pattern.kind != Pattern::Kind::Composite) return nextKeyOfOne(pattern, queries, kv);
  const Composite& p = pattern.composite;
  int next = p.every ? kv : -1;
  if (kv >= p.seqLenKV) return -1;
  if constexpr (Depth > 0)
    for (int i = 0; i < p.count; ++i) {
      int own = nextKeyOf<Depth - 1>(p.of[i], queries, p.every ? next : kv);
      if (p.every && own < 0) return -1;
      if (p.every ? own > next : own >= 0 && (next < 0 || own < next)) {
        next = own;
        if (p.every) i = -1;  // the others from there on
      }
    }
  return next;
}

// --- how a tile is covered; Partial may be said of more than it is
__device__ __forceinline__ Cover coverOfLines(const Diagonals& p, const Rows& queries, const Rows& keys) {
  if (p.block >= 16) return p.cover(queries, keys);
  const int first = p.blockOf(queries[0]), last = p.blockOf(queries[queries.count - 1]) + p.block - 1;
  const int firstKey = keys[0] / p.block * p.block, lastKey = keys[keys.count - 1] / p.block * p.block + p.block - 1;
  const int i = lowerBound(p.offsets, 0, p.count, first - lastKey);
  return i < p.count && p.offsets[i] <= last - firstKey ? Cover::Partial : Cover::None;
}
// A look at the corners of a window and its sinks, where the struct looks at every query
__device__ __forceinline__ Cover coverOfSinks(const Sinks& p, const Rows& queries, const Rows& keys) {
  const int first = keys[0], last = keys[keys.count - 1];
  const int from = queries[0] + p.start, to = queries[queries.count - 1] + p.start;
  if (first > to + p.after) return Cover::None;
  if (first >= p.tokens && last < from - p.before) return Cover::None;
  const bool before = last <= from + p.after, after = last < p.tokens || first >= to - p.before;
  return before && after ? Cover::Full : Cover::Partial;
}
__device__ __noinline__ inline Cover coverOfOne(const Pattern& pattern, const Rows& queries, const Rows& keys) {
  return visit(pattern, [&](const auto& p) -> Cover {
    using P = std::decay_t<decltype(p)>;
    if constexpr (std::is_same_v<P, Composite> || std::is_same_v<P, Elements>)
      return Cover::Partial;
    else if constexpr (std::is_same_v<P, Diagonals>)
      return coverOfLines(p, queries, keys);
    else if constexpr (std::is_same_v<P, Sinks>)
      return coverOfSinks(p, queries, keys);
    else
      return p.cover(queries, keys);
  });
}
template <int Depth>
__device__ __noinline__ Cover coverOf(const Pattern& pattern, const Rows& queries, const Rows& keys) {
  if (pattern.kind != Pattern::Kind::Composite) return coverOfOne(pattern, queries, keys);
  const Composite& p = pattern.composite;
  bool none = !p.every, full = p.every;
  if constexpr (Depth > 0)
    for (int i = 0; i < p.count; ++i) {
      const int known = numKeysOf(p.of[i]);
      Cover own = Cover::None;
      if (keys[0] < known) own = coverOf<Depth - 1>(p.of[i], queries, keys);
      if (own != Cover::None && keys[keys.count - 1] >= known) own = Cover::Partial;
      if (own == (p.every ? Cover::None : Cover::Full)) return own;
      none = none && own == Cover::None;
      full = full && own == Cover::Full;
    }
  return full ? Cover::Full : none ? Cover::None : Cover::Partial;
}

// --- which of up to eight keys a query sees: a bit each
__device__ __forceinline__ uint32_t bitsFromRun(int64_t begin, int64_t end, int count) {
  begin = begin > 0 ? begin : 0, end = end < count ? end : count;
  return begin < end ? (1u << end) - (1u << begin) : 0;
}
__device__ __forceinline__ uint32_t eightOfBlocks(const Blocks& p, int query, const Rows& keys) {
  const int first = keys.start / p.blockKV, last = (keys.start + keys.count - 1) / p.blockKV;
  const Blocks::List list = p.listOf(p.rowOf(query));
  uint32_t bits = 0;
  for (int n = lowerBound(list.at, 0, list.count, first); n < list.count && list.at[n] <= last; ++n) {
    const int64_t begin = int64_t(list.at[n]) * p.blockKV - keys.start;
    bits |= bitsFromRun(begin, begin + p.blockKV, keys.count);
  }
  return bits;
}
__device__ __noinline__ inline uint32_t eightOfOne(const Pattern& pattern, int query, const Rows& keys) {
  return visit(pattern, [&](const auto& p) -> uint32_t {
    using P = std::decay_t<decltype(p)>;
    if constexpr (std::is_same_v<P, Composite> || std::is_same_v<P, Buckets>) {
      return 0;  // of Buckets by row of their list: eightOfRow()
    } else {
      if constexpr (P::hasRanges) {
        if (keys.contiguous()) {
          const KeyRange r = p.range(query);
          return bitsFromRun(int64_t(r.begin) - keys.start, int64_t(r.end) - keys.start, keys.count) |
                 bitsFromRun(int64_t(r.begin2) - keys.start, int64_t(r.end2) - keys.start, keys.count);
        }
      }
      if constexpr (std::is_same_v<P, Blocks>)
        if (keys.contiguous()) return eightOfBlocks(p, query, keys);
      uint32_t bits = 0;
      for (int j = 0; j < keys.count; ++j) bits |= uint32_t(p.allows(query, keys[j])) << j;
      return bits;
    }
  });
}
template <int Depth>
__device__ __noinline__ uint32_t eightOf(const Pattern& pattern, int query, const Rows& keys) {
  if (pattern.kind != Pattern::Kind::Composite) return eightOfOne(pattern, query, keys);
  const Composite& p = pattern.composite;
  uint32_t bits = p.every ? 0xff : 0;
  if constexpr (Depth > 0)
    for (int i = 0; i < p.count; ++i) {
      int known = 0;  // keys ascend
      while (known < keys.count && keys[known] < numKeysOf(p.of[i])) ++known;
      const uint32_t own = known ? eightOf<Depth - 1>(p.of[i], query, keys.part(0, known)) : 0;
      bits = p.every ? bits & own : bits | own;
    }
  return bits & ((1u << keys.count) - 1);
}
// The same for a row of the list of queries; keys are rows of theirs, and a token may be there twice
__device__ __forceinline__ uint32_t eightOfRow(const Buckets& p, int row, const Rows& keys) {
  const int query = p.queryOrder[row];
  const KeySpan span = p.spanOf(row);
  const int64_t last = p.lastPosition(query);
  uint32_t bits = 0;
  for (int j = 0; j < keys.count; ++j) {
    const int key = keys[j];
    bool sees = keys.start + j >= span.begin && keys.start + j < span.end && key <= last;
    if (sees && p.relation.bucket) sees = p.relation.bucket[query] == p.relation.bucket[key];
    for (int i = 0; sees && i < p.numEarlier; ++i) sees = !p.earlier[i].sees(query, key);
    bits |= uint32_t(sees) << j;
  }
  return bits;
}

// --- the tiles of keys of a tile of queries, 32 of them looked at together: every lane of a warp has the same
struct KeyTiles {
  int base = 0, step = 1, end = 0;  // numbers of the 32
  uint32_t visited = 0, full = 0;   // those that are left, and those that need no mask
  Rows first;                       // of tile `base`: the others follow at equal steps
  int endRow = 0;                   // behind the last key of the sequence, segment or list

  __device__ __forceinline__ int next() const { return base + 32 * step; }
  // The rows of tile `base` + i · step
  __device__ __forceinline__ Rows rowsOf(int i, int tile) const {
    Rows rows = first;
    const int64_t start = first.start + int64_t(i) * tile * first.stride;
    const int left = start < endRow ? endRow - int(start) : 0;
    rows.start = int(start);
    rows.count = minOf(first.stride == 1 ? left : ceilDiv(left, first.stride), tile);
    return rows;
  }
};

template <class P>
__device__ __forceinline__ int nextTileOf(const P& p, const Pattern& pattern, const Rows& queries, int t, int tile) {
  if constexpr (P::contiguous) {
    const int64_t key = int64_t(t) * tile;
    const int next = key < p.seqLenKV ? nextKeyOf<compositeDepth>(pattern, queries, int(key)) : -1;
    return next < 0 ? -1 : next / tile;
  } else {
    return p.nextKeyTile(queries, t, tile);
  }
}
template <class P>
__device__ __forceinline__ int endRowOf(const P& p, int row) {  // of the rows that tiles from `row` on run through
  if constexpr (std::is_same_v<P, Buckets>) return p.numKeyRows;
  if constexpr (std::is_same_v<P, Dilated>) {
    const int64_t end = int64_t(row / p.segment + 1) * p.segment;
    return end < p.seqLenKV ? int(end) : p.seqLenKV;
  }
  return p.seqLenKV;
}

// The tiles that part `part` of `parts` begins with: nothing looked at yet
__device__ __noinline__ inline KeyTiles beginTiles(const Pattern& pattern, const Rows& queries, int tile, int part,
                                                   int parts) {
  return visit(pattern, [&](const auto& p) {
    using P = std::decay_t<decltype(p)>;
    KeyTiles tiles;
    const int first = nextTileOf(p, pattern, queries, 0, tile);
    if (first < 0) return tiles;
    int end = p.endKeyTile(queries, tile);
    if constexpr (P::hasRanges) {
      const KeyRange last = p.range(queries[queries.count - 1]);
      end = minOf(end, ceilDiv(maxOf(last.end, last.end2), tile));
    }
    const int64_t span = maxOf(end - first, 0);
    tiles.step = std::is_same_v<P, Buckets> ? tile : 1;
    tiles.base = int(first + span * part / parts) - 32 * tiles.step;
    tiles.end = int(first + span * (part + 1) / parts);
    return tiles;
  });
}
// The next tiles, some of which are visited; or none, and the end
__device__ __noinline__ inline KeyTiles moreTiles(const Pattern& pattern, const Rows& queries, int tile,
                                                  KeyTiles tiles) {
  return visit(pattern, [&](const auto& p) {
    using P = std::decay_t<decltype(p)>;
    tiles.visited = tiles.full = 0;
    while (!tiles.visited && tiles.next() < tiles.end) {
      const int first = nextTileOf(p, pattern, queries, tiles.next(), tile);
      tiles.base = first < 0 ? tiles.end : first;
      if (tiles.base >= tiles.end) break;
      tiles.first = p.keyRows(tiles.base, tile);
      tiles.endRow = endRowOf(p, tiles.first.start);
      const int lane = threadIdx.x % 32, own = tiles.base + lane * tiles.step;
      Cover cover = Cover::None;
      if (own < tiles.end) {
        const Rows keys = tiles.rowsOf(lane, tile);
        bool there = keys.count > 0;
        if constexpr (!P::contiguous) there = there && p.nextKeyTile(queries, own, tile) == own;
        if (there) cover = coverOf<compositeDepth>(pattern, queries, keys);
      }
      tiles.visited = __ballot_sync(everyLane, cover != Cover::None);
      tiles.full = __ballot_sync(everyLane, cover == Cover::Full);
    }
    return tiles;
  });
}
// The queries of tile t; none where there is no such tile
__device__ __noinline__ inline Rows queryRowsOf(const Pattern& pattern, int t, int tile) {
  return visit(pattern, [&](const auto& p) {
    Rows none;
    return t < p.numQueryTiles(tile) ? p.queryRows(t, tile) : none;
  });
}

}  // namespace longspan::cuda
