// Every pattern, every tile size: each allowed pair is visited exactly once, covers say the truth, and ranges and
// masks are `allows`.
#include "attention/pattern.h"

#include <tuple>
#include <utility>
#include <vector>

#include "check.h"

using namespace longspan;

static void checkWalk(const Pattern& pattern, int seqLenQ, int seqLenKV, int tileQ, int tileKV) {
  const PatternWalk& walk = walkOf(pattern);
  std::vector<int> visits(size_t(seqLenQ) * seqLenKV);
  std::vector<KeyRange> ranges(tileQ);
  std::vector<uint64_t> words(tileKV);
  int wrong = 0;
  for (int t = 0; t < walk.numQueryTiles(pattern, tileQ); ++t) {
    Rows q = walk.queryRows(pattern, t, tileQ);
    if (walk.ranges) {
      walk.ranges(pattern, q, ranges.data());
      for (int i = 0; i < q.count; ++i)
        for (int kv = 0; kv < seqLenKV; ++kv) {
          const KeyRange& r = ranges[i];
          wrong += walk.allows(pattern, q[i], kv) != ((kv >= r.begin && kv < r.end) || (kv >= r.begin2 && kv < r.end2));
        }
    }
    std::vector<int> queries(q.count);
    for (int i = 0; i < q.count; ++i) queries[i] = q[i];
    int end = walk.endKeyTile(pattern, q, tileKV), last = -1;
    for (int k = 0; (k = walk.nextKeyTile(pattern, q, k, tileKV)) >= 0; ++k) {
      wrong += k <= last || k >= end;
      last = k;
      Rows kv = walk.keyRows(pattern, k, tileKV);
      Cover cover = walk.cover(pattern, q, kv);
      walk.mask(pattern, queries.data(), q.count < 64 ? q.count : 64, kv, words.data());
      for (int i = 0; i < q.count; ++i)
        for (int j = 0; j < kv.count; ++j) {
          bool allowed = walk.allows(pattern, q[i], kv[j]);
          visits[size_t(q[i]) * seqLenKV + kv[j]] += allowed;
          wrong += allowed ? cover == Cover::None : cover == Cover::Full;
          if (i < 64) wrong += (words[j] >> i & 1) != allowed;
        }
    }
  }
  for (int q = 0; q < seqLenQ; ++q)
    for (int kv = 0; kv < seqLenKV; ++kv)
      wrong += visits[size_t(q) * seqLenKV + kv] != int(walk.allows(pattern, q, kv));
  check(wrong == 0, "%s %d x %d, tiles %d x %d: %d wrong pairs", walk.name, seqLenQ, seqLenKV, tileQ, tileKV, wrong);
}

int main() {
  constexpr int all = Window::unbounded;
  const int lengths[][2] = {{1, 1}, {1, 100}, {100, 100}, {64, 64}, {37, 90}, {90, 37}, {5, 0}, {130, 129}};
  const int tiles[][2] = {{1, 1}, {16, 16}, {64, 192}, {128, 24}, {7, 5}, {24, 192}, {512, 192}};
  for (auto [seqLenQ, seqLenKV] : lengths) {
    Contiguous c = {seqLenQ, seqLenKV};
    std::vector<Pattern> patterns = {Full{c}};
    for (auto [before, after] :
         {std::pair{all, 0}, {all, all}, {0, 0}, {7, 0}, {20, 3}, {0, 9}, {40, all}, {63, 0}, {all, 17}})
      patterns.push_back(Window{c, before, after});
    for (auto [tokens, before, after] :
         {std::tuple{4, 10, 0}, {0, 8, 0}, {1, 0, 0}, {30, 5, 2}, {4, all, 0}, {200, 3, 0}})
      patterns.push_back(Sinks{c, tokens, before, after});
    for (const Pattern& p : patterns)
      for (auto [tileQ, tileKV] : tiles) checkWalk(p, seqLenQ, seqLenKV, tileQ, tileKV);
  }
  return finish("patterns");
}
