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
    if (q.count == 0) continue;
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

// A slice of the queries sees what they see in the whole, and is walked as well.
static void checkSlice(const Pattern& pattern, int seqLenQ, int seqLenKV) {
  int first = seqLenQ / 3, count = seqLenQ / 2, wrong = 0;
  if (pattern.kind == Pattern::Kind::Composite) return;  // its parts are sliced by who keeps them
  Pattern sliced = visit(pattern, [&](auto p) {
    p.slice(first, count);
    return Pattern(p);
  });
  for (int q = 0; q < count; ++q)
    for (int kv = 0; kv < seqLenKV; ++kv)
      wrong += walkOf(pattern).allows(pattern, q + first, kv) != walkOf(sliced).allows(sliced, q, kv);
  check(wrong == 0, "%s %d x %d sliced: %d wrong pairs", walkOf(pattern).name, seqLenQ, seqLenKV, wrong);
  for (auto [tileQ, tileKV] : {std::pair{64, 192}, {7, 5}}) checkWalk(sliced, count, seqLenKV, tileQ, tileKV);
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
    for (int tokens : {0, 3, 70}) patterns.push_back(Prefix{c, tokens});
    for (auto [size, shift, before, after, causal] : {std::tuple{10, 0, 0, 0, true},
                                                      {16, 8, 0, 0, true},
                                                      {7, 3, 1, 1, false},
                                                      {200, 0, 0, 0, true},
                                                      {5, 0, 2, 0, false}})
      patterns.push_back(Chunks{c, size, shift, before, after, causal});
    static const int begins[] = {0, 20, 20, 33, 90};
    for (bool causal : {false, true}) patterns.push_back(Documents{c, begins, 5, causal});
    for (auto [segment, rate, phase, causal] : {std::tuple{16, 1, 0, true},
                                                {16, 2, 1, true},
                                                {32, 4, 3, false},
                                                {1000, 5, 2, true},
                                                {24, 5, 4, false},
                                                {9, 9, 8, true}})
      patterns.push_back(Dilated{c, segment, rate, phase, causal, false});
    for (auto [rate, before, after, skip] :
         {std::tuple{1, 5, 0, 0}, {3, 4, 4, 0}, {8, all, 0, 1}, {5, 2, 0, 0}, {40, 3, 1, 0}})
      patterns.push_back(Strided{c, rate, before, after, skip});
    static const int bounds[] = {2, 5, 60, 61, 80, 200};
    patterns.push_back(Keys{c, Spans{bounds, 3}});
    patterns.push_back(Queries{c, Spans{bounds, 3}});
    patterns.push_back(Residues{c, 8, 6, 8});
    patterns.push_back(Residues{c, 150, 3, 100});
    static const int rowStart[] = {0, 2, 2, 5, 6, 8, 9, 10, 12, 13, 14, 15},
                     columns[] = {0, 3, 0, 1, 2, 2, 0, 4, 1, 0, 1, 3, 0, 5, 2};
    int base = c.start > 0 ? c.start : 0;
    patterns.push_back(Blocks{c, 16, 24, base, 0, 11, rowStart, columns, 0});
    static const int table[] = {0, 1, -1, 2, -1, -1, 0, 2, 4, 1, 3, 5};
    patterns.push_back(Blocks{c, 40, 20, base, 0, 4, nullptr, table, 3});
    static const int offsets[] = {0, 1, 7, 30, 31, 32, 90};
    patterns.push_back(Diagonals{c, 1, offsets, 7});
    patterns.push_back(Diagonals{c, 16, offsets, 7});
    static std::vector<uint8_t> mask(60 * 50);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = (i * 2654435761u >> 8) % 5 == 0;
    patterns.push_back(Elements{c, base, 1, 1, 10, 60, 5, 50, mask.data()});
    patterns.push_back(Elements{c, base, 8, 6, 0, 60, 0, 50, mask.data()});
    static std::vector<Pattern> parts;
    parts = {Window{c, 9, 0},
             Keys{c, Spans{bounds, 3}},
             Residues{c, 8, 6, 8},
             Window{c, all, 0},
             Dilated{c, 32, 4, 3, true, false},
             Strided{c, 3, 4, 4, 0},
             Window{{seqLenQ, seqLenKV / 2}, 3, 3},
             Full{c}};
    auto composite = [&](bool every, int first, int count) { return Composite{c, every, parts.data() + first, count}; };
    for (auto [first, count] :
         {std::pair{0, 2}, {0, 3}, {1, 2}, {2, 2}, {3, 2}, {4, 2}, {5, 2}, {6, 2}, {1, 3}, {0, 7}})
      for (bool every : {false, true}) patterns.push_back(composite(every, first, count));
    for (const Pattern& p : patterns) checkSlice(p, seqLenQ, seqLenKV);
    for (const Pattern& p : patterns)
      for (auto [tileQ, tileKV] : tiles) checkWalk(p, seqLenQ, seqLenKV, tileQ, tileKV);
  }
  return finish("patterns");
}
