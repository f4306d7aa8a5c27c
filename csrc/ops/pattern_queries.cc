// Questions about a pattern, answered by the structs the kernels walk.
#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "attention_call.h"

namespace longspan {
namespace {

constexpr const char* op = "pattern";
constexpr int tile = 64;

PatternPointer patternAt(const PatternSpec& spec, const PatternPlace& place) {
  for (auto [length, name] : {std::pair{place.seqLenQ, "seqLenQ"}, {place.seqLenKV, "seqLenKV"}})
    if (length < 0 || length > (int64_t(1) << 30))
      badArgument(op, name, concat(name, " must be in [0, 2^30], got ", length));
  int64_t numHeads = place.numHeads.value_or(place.head + 1);
  int64_t batches = place.batches.value_or(place.batch + 1);
  if (place.batch < 0 || place.batch >= batches)
    badArgument(op, "batch",
                place.batch < 0 ? concat("batch must not be negative, got ", place.batch)
                                : concat("batch must be below ", batches, ", got ", place.batch));
  if (place.head < 0 || place.head >= numHeads)
    badArgument(op, "head", concat("head must be in [0, ", numHeads, "), got ", place.head));
  PatternPointer pattern = concretePattern(op, spec, {batches, numHeads, place.seqLenQ, place.seqLenKV});
  waitForLists(*pattern);
  return pattern;
}

// Allowed pairs of queries that share a tile
double pairsOfTile(const Pattern& pattern, const PatternWalk& walk, const Rows& queries) {
  double pairs = 0;
  if (walk.ranges) {
    KeyRange ranges[tile];
    walk.ranges(pattern, queries, ranges);
    for (int i = 0; i < queries.count; ++i)
      pairs += std::max(0, ranges[i].end - ranges[i].begin) + std::max(0, ranges[i].end2 - ranges[i].begin2);
    return pairs;
  }
  int numbers[tile];
  uint64_t words[tile];
  for (int i = 0; i < queries.count; ++i) numbers[i] = queries[i];
  for (int u = 0; (u = walk.nextKeyTile(pattern, queries, u, tile)) >= 0; ++u) {
    Rows keys = walk.keyRows(pattern, u, tile);
    if (keys.count == 0) continue;
    Cover cover = walk.cover(pattern, queries, keys);
    if (cover == Cover::Full) pairs += double(queries.count) * keys.count;
    if (cover != Cover::Partial) continue;
    walk.mask(pattern, numbers, queries.count, keys, words);
    for (int j = 0; j < keys.count; ++j) pairs += __builtin_popcountll(words[j]);
  }
  return pairs;
}

}  // namespace

double allowedPairs(const Pattern& pattern) {
  const PatternWalk& walk = walkOf(pattern);
  double pairs = 0;
  for (int t = 0; t < walk.numQueryTiles(pattern, tile); ++t) {
    Rows queries = walk.queryRows(pattern, t, tile);
    if (queries.count > 0) pairs += pairsOfTile(pattern, walk, queries);
  }
  return pairs;
}

void waitForLists(const ConcretePattern& pattern) {
  for (const Tensor& list : pattern.tensors) {
    while (list.storage->writer &&
           list.storage->writer->state.load(std::memory_order_acquire) == Completion::State::Pending)
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (!isReady(list)) throw Error(*list.storage->writer->error);
  }
  pattern.checkLists();
}

int64_t patternMultiplicity(const PatternSpec& spec, int64_t q, int64_t kv, const PatternPlace& place) {
  if (q < 0 || q >= place.seqLenQ) badArgument(op, "q", concat("q must be in [0, ", place.seqLenQ, "), got ", q));
  if (kv < 0 || kv >= place.seqLenKV)
    badArgument(op, "kv", concat("kv must be in [0, ", place.seqLenKV, "), got ", kv));
  PatternPointer pattern = patternAt(spec, place);
  int64_t times = 0;
  for (const Pattern& part : pattern->parts) {
    const Pattern& own = part.of(int(place.batch), int(place.head));
    times += walkOf(own).allows(own, int(q), int(kv));
  }
  return times;
}

std::vector<double> patternRuns(const PatternSpec& spec, int64_t firstQuery, int64_t count, const PatternPlace& place) {
  if (firstQuery < 0 || count < 0 || firstQuery + count > place.seqLenQ)
    badArgument(op, "firstQuery", concat("queries must be within [0, ", place.seqLenQ, ")"));
  PatternPointer pattern = patternAt(spec, place);
  std::vector<double> runs;
  for (int64_t q = firstQuery; q < firstQuery + count; ++q) {
    int before = 0;
    for (int64_t kv = 0; kv < place.seqLenKV; ++kv) {
      int times = 0;
      for (const Pattern& part : pattern->parts) {
        const Pattern& own = part.of(int(place.batch), int(place.head));
        times += walkOf(own).allows(own, int(q), int(kv));
      }
      if (times && times == before)
        runs[runs.size() - 2] = double(kv + 1);
      else if (times)
        for (double x : {double(q), double(kv), double(kv + 1), double(times)}) runs.push_back(x);
      before = times;
    }
  }
  return runs;
}

double patternAllowedPairs(const PatternSpec& spec, const PatternPlace& place) {
  PatternPointer pattern = patternAt(spec, place);
  double pairs = 0;
  for (const Pattern& part : pattern->parts) pairs += allowedPairs(part.of(int(place.batch), int(place.head)));
  return pairs;
}

}  // namespace longspan
