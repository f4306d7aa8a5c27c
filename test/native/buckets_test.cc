// Buckets as lshAttention builds them, against their definition: each allowed pair is visited exactly once, whatever
// the tiles, at both ends of a round's list, and never again in a later round.
#include "attention/pattern.h"

#include <algorithm>
#include <random>
#include <vector>

#include "check.h"

using namespace longspan;

namespace {

struct Round {  // tokens sorted by bucket, with the rows before and after that make the list a ring
  std::vector<int> bucket, order, chunkOf;
  std::vector<KeySpan> spans;
  int before;
};

struct Shape {
  int n, chunk, back, ahead;
  int chunks() const { return ceilDiv(n, chunk); }
};

Round makeRound(const Shape& s, std::mt19937& random) {
  Round round;
  for (int i = 0; i < s.n; ++i) round.bucket.push_back(int(random() % (s.n / s.chunk + 1)));
  std::vector<int> sorted(s.n);
  for (int i = 0; i < s.n; ++i) sorted[i] = i;
  std::stable_sort(sorted.begin(), sorted.end(), [&](int a, int b) { return round.bucket[a] < round.bucket[b]; });
  round.chunkOf.resize(s.n);
  for (int row = 0; row < s.n; ++row) round.chunkOf[sorted[row]] = row / s.chunk;
  int last = s.n - (s.chunks() - 1) * s.chunk;
  round.before = s.back ? (s.back - 1) * s.chunk + last : 0;
  round.order.assign(sorted.end() - round.before, sorted.end());
  round.order.insert(round.order.end(), sorted.begin(), sorted.end());
  round.order.insert(round.order.end(), sorted.begin(), sorted.begin() + s.ahead * s.chunk);
  for (int c = 0; c < s.chunks(); ++c) {
    int first = c - s.back, end = c + 1 + s.ahead;
    int begin = first >= 0 ? first * s.chunk : -((-first - 1) * s.chunk + last);
    int stop = end <= s.chunks() ? std::min(end * s.chunk, s.n) : s.n + (end - s.chunks()) * s.chunk;
    round.spans.push_back({round.before + begin, round.before + stop});
  }
  return round;
}

GroupRelation relationOf(const Shape& s, const Round& round, bool ownBucket) {
  return {round.chunkOf.data(),
          round.chunkOf.data(),
          ownBucket ? round.bucket.data() : nullptr,
          s.ahead,
          s.back + s.ahead,
          s.chunks()};
}

Pattern patternOf(const Shape& s, const Round& round, bool causal, bool ownBucket) {
  Buckets p{};
  p.seqLenQ = p.seqLenKV = p.numQueryRows = s.n;
  p.queryOrder = round.order.data() + round.before;
  p.keyOrder = round.order.data();
  p.numKeyRows = int(round.order.size());
  p.spans = round.spans.data(), p.numSpans = int(round.spans.size());
  p.relation = relationOf(s, round, ownBucket);
  p.after = causal ? 0 : Buckets::unbounded;
  p.everyQueryRow = true;
  return p;
}

bool neighbours(const Shape& s, int query, int key) {
  for (int off = -s.back; off <= s.ahead; ++off)
    if ((query + off + s.chunks()) % s.chunks() == key) return true;
  return false;
}

int wrongVisits(const Pattern& pattern, int n, int tileQ, int tileKV, std::vector<int>& visits) {
  const PatternWalk& walk = walkOf(pattern);
  int wrong = 0;
  for (int t = 0; t < walk.numQueryTiles(pattern, tileQ); ++t) {
    Rows q = walk.queryRows(pattern, t, tileQ);
    int end = walk.endKeyTile(pattern, q, tileKV), last = -1;
    for (int k = 0; (k = walk.nextKeyTile(pattern, q, k, tileKV)) >= 0; ++k) {
      wrong += k <= last || k >= end;
      last = k;
      Rows kv = walk.keyRows(pattern, k, tileKV);
      bool none = walk.cover(pattern, q, kv) == Cover::None;
      for (int i = 0; i < q.count; ++i) {
        KeySpan span = pattern.buckets.spanOf(q.start + i);
        for (int j = 0; j < kv.count; ++j) {
          bool inSpan = kv.start + j >= span.begin && kv.start + j < span.end;
          bool allowed = inSpan && walk.allows(pattern, q[i], kv[j]);
          visits[size_t(q[i]) * n + kv[j]] += allowed;
          wrong += allowed && none;
        }
      }
    }
  }
  return wrong;
}

void checkShape(const Shape& s, bool causal, bool ownBucket, std::mt19937& random) {
  std::vector<Round> rounds = {makeRound(s, random), makeRound(s, random), makeRound(s, random)};
  std::vector<GroupRelation> relations;
  for (const Round& round : rounds) relations.push_back(relationOf(s, round, ownBucket));
  for (auto [tileQ, tileKV] : {std::pair{1, 1}, {16, 16}, {64, 192}, {7, 5}, {512, 24}}) {
    std::vector<int> visits(size_t(s.n) * s.n);
    int wrong = 0;
    for (size_t r = 0; r < rounds.size(); ++r) {
      Pattern pattern = patternOf(s, rounds[r], causal, ownBucket);
      pattern.buckets.earlier = relations.data();
      pattern.buckets.numEarlier = int(r);
      wrong += wrongVisits(pattern, s.n, tileQ, tileKV, visits);
    }
    for (int i = 0; i < s.n; ++i)
      for (int j = 0; j < s.n; ++j) {
        bool seen = false;
        for (const Round& r : rounds)
          seen = seen || (neighbours(s, r.chunkOf[i], r.chunkOf[j]) && (!causal || j <= i) &&
                          (!ownBucket || r.bucket[i] == r.bucket[j]));
        wrong += visits[size_t(i) * s.n + j] != int(seen);
      }
    check(wrong == 0, "%d tokens, chunks of %d, back %d, ahead %d, tiles %d x %d: %d wrong pairs", s.n, s.chunk, s.back,
          s.ahead, tileQ, tileKV, wrong);
  }
}

}  // namespace

int main() {
  std::mt19937 random(3);
  for (Shape s : {Shape{1, 1, 0, 0},
                  {10, 4, 1, 0},
                  {64, 16, 1, 0},
                  {70, 8, 1, 1},
                  {70, 8, 3, 2},
                  {33, 16, 0, 2},
                  {90, 30, 1, 1},
                  {50, 7, 7, 0},
                  {65, 64, 1, 0}})
    for (bool causal : {false, true})
      for (bool ownBucket : {false, true}) checkShape(s, causal, ownBucket, random);
  return finish("buckets");
}
