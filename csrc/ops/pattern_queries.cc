// Questions about a pattern, answered by the structs the kernels walk.
#include "attention_call.h"

namespace longspan {

bool patternVisible(const PatternSpec& spec, int64_t q, int64_t kv, int64_t seqLenQ, int64_t seqLenKV) {
  const char* op = "pattern";
  if (q < 0 || q >= seqLenQ) badArgument(op, "q", concat("q must be in [0, ", seqLenQ, "), got ", q));
  if (kv < 0 || kv >= seqLenKV) badArgument(op, "kv", concat("kv must be in [0, ", seqLenKV, "), got ", kv));
  Pattern pattern = concretePattern(op, spec, seqLenQ, seqLenKV);
  return walkOf(pattern).allows(pattern, int(q), int(kv));
}

double patternAllowedPairs(const PatternSpec& spec, int64_t seqLenQ, int64_t seqLenKV) {
  const char* op = "pattern";
  for (auto [length, name] : {std::pair{seqLenQ, "seqLenQ"}, {seqLenKV, "seqLenKV"}})
    if (length < 0 || length > (int64_t(1) << 30))
      badArgument(op, name, concat(name, " must be in [0, 2^30], got ", length));
  Pattern pattern = concretePattern(op, spec, seqLenQ, seqLenKV);
  const PatternWalk& walk = walkOf(pattern);
  double pairs = 0;
  constexpr int tile = 64;
  for (int t = 0; t < walk.numQueryTiles(pattern, tile); ++t) {
    Rows queries = walk.queryRows(pattern, t, tile);
    if (walk.ranges) {
      KeyRange ranges[tile];
      walk.ranges(pattern, queries, ranges);
      for (int i = 0; i < queries.count; ++i)
        pairs += std::max(0, ranges[i].end - ranges[i].begin) + std::max(0, ranges[i].end2 - ranges[i].begin2);
      continue;
    }
    for (int u = walk.nextKeyTile(pattern, queries, 0, tile); u >= 0;
         u = walk.nextKeyTile(pattern, queries, u + 1, tile)) {
      Rows keys = walk.keyRows(pattern, u, tile);
      if (walk.cover(pattern, queries, keys) == Cover::None) continue;
      for (int i = 0; i < queries.count; ++i)
        for (int j = 0; j < keys.count; ++j) pairs += walk.allows(pattern, queries[i], keys[j]);
    }
  }
  return pairs;
}

}  // namespace longspan
