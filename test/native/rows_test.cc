// The claim of the pattern walk: strided rows (LongNet), gathered rows (LSH buckets) and block lists need no line of
// the kernel. Here the kernel of this file's own 4-lane build meets patterns that are not in the list.
#ifdef __x86_64__
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/backend.h"
#include "quant/quantised.h"
#include "plain_parallel.h"

namespace longspan {
namespace {

std::vector<std::vector<bool>> allowed;  // [query][key], the truth of each test

struct TestWalk {
  static inline int seqLen, segment, rate, chunk, block;
  static inline std::vector<int> order, rank, rowStart, columns;

  static Cover cover(const Pattern&, const Rows& q, const Rows& kv) {
    int n = 0;
    for (int i = 0; i < q.count; ++i)
      for (int j = 0; j < kv.count; ++j) n += allowed[q[i]][kv[j]];
    return n == 0 ? Cover::None : n == q.count * kv.count ? Cover::Full : Cover::Partial;
  }
  static bool allows(const Pattern&, int q, int kv) { return allowed[q][kv]; }
  static void mask(const Pattern&, const int* queries, int count, const Rows& keys, uint64_t* words) {
    for (int j = 0; j < keys.count; ++j) {
      words[j] = 0;
      for (int i = 0; i < count; ++i) words[j] |= uint64_t(allowed[queries[i]][keys[j]]) << i;
    }
  }

  // LongNet: every rate-th token of a segment, causal inside
  static int perSegment(int tile) { return ceilDiv(ceilDiv(segment, rate), tile); }
  static int dilatedTiles(const Pattern&, int tile) { return ceilDiv(seqLen, segment) * perSegment(tile); }
  static Rows dilatedRows(const Pattern&, int t, int tile) {
    int base = t / perSegment(tile) * segment, end = minOf(seqLen, base + segment), i = t % perSegment(tile) * tile;
    return {base + i * rate, maxOf(0, minOf(tile, ceilDiv(end - base, rate) - i)), rate};
  }
  static int dilatedNext(const Pattern&, const Rows& q, int t, int tile) {
    int first = q[0] / segment * perSegment(tile);
    t = maxOf(t, first);
    return t < first + perSegment(tile) ? t : -1;
  }
  static int dilatedEnd(const Pattern&, const Rows& q, int tile) { return (q[0] / segment + 1) * perSegment(tile); }

  // LSH: rows sorted by bucket, a chunk of queries sees the chunk before it and its own
  static int perChunk(int tile) { return ceilDiv(chunk, tile); }
  static int chunkTiles(const Pattern&, int tile) { return ceilDiv(seqLen, chunk) * perChunk(tile); }
  static Rows chunkRows(const Pattern&, int t, int tile) {
    int base = t / perChunk(tile) * chunk, i = t % perChunk(tile) * tile;
    return {base + i, maxOf(0, minOf(minOf(tile, chunk - i), seqLen - base - i)), 1, order.data()};
  }
  static int chunkNext(const Pattern&, const Rows& q, int t, int tile) {
    int own = q.start / chunk;
    t = maxOf(t, (own - 1) * perChunk(tile));
    return t < (own + 1) * perChunk(tile) ? t : -1;
  }
  static int chunkEnd(const Pattern&, const Rows& q, int tile) { return (q.start / chunk + 1) * perChunk(tile); }

  // Block lists: key tile n of a row of blocks is its n-th column
  static int blockTiles(const Pattern&, int) { return ceilDiv(seqLen, block); }
  static Rows blockRows(const Pattern&, int t, int) { return {t * block, minOf(block, seqLen - t * block)}; }
  static int blockNext(const Pattern&, const Rows& q, int t, int) {
    t = maxOf(t, rowStart[q[0] / block]);
    return t < rowStart[q[0] / block + 1] ? t : -1;
  }
  static int blockEnd(const Pattern&, const Rows& q, int) { return rowStart[q[0] / block + 1]; }
  static Rows columnRows(const Pattern& p, int t, int tile) { return blockRows(p, columns[t], tile); }
};

// of a walk that is not in the list: no runs of keys, no nextKey
constexpr PatternWalk walkOver(const char* name, bool everyQuery, int (*tiles)(const Pattern&, int),
                               Rows (*queryRows)(const Pattern&, int, int),
                               int (*next)(const Pattern&, const Rows&, int, int),
                               int (*end)(const Pattern&, const Rows&, int),
                               Rows (*keyRows)(const Pattern&, int, int)) {
  return {name,          everyQuery, false,   tiles,           queryRows,        next,
          end,           keyRows,    nullptr, TestWalk::cover, TestWalk::allows, nullptr,
          TestWalk::mask};
}
constexpr PatternWalk dilated = walkOver("dilated", false, TestWalk::dilatedTiles, TestWalk::dilatedRows,
                                         TestWalk::dilatedNext, TestWalk::dilatedEnd, TestWalk::dilatedRows);
constexpr PatternWalk buckets = walkOver("buckets", true, TestWalk::chunkTiles, TestWalk::chunkRows,
                                         TestWalk::chunkNext, TestWalk::chunkEnd, TestWalk::chunkRows);
constexpr PatternWalk blockList = walkOver("block list", true, TestWalk::blockTiles, TestWalk::blockRows,
                                           TestWalk::blockNext, TestWalk::blockEnd, TestWalk::columnRows);
const PatternWalk* current;
const PatternWalk& walkOfTest(const Pattern&) { return *current; }

#define walkOf walkOfTest
#define LONGSPAN_LANES 4
#include "cpu/vec.h"
#ifdef __x86_64__
constexpr const char* isaName = "baseline";
#else
constexpr const char* isaName = "neon";
#endif
bool isSupported() { return true; }
#include "cpu/table.inl"
#undef walkOf

void run(const char* name, const PatternWalk& walk, int headDim) {
  int n = TestWalk::seqLen, heads = 4, kvHeads = 2;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  auto values = [&](int h) {
    std::vector<float> x(size_t(n) * h * headDim);
    for (float& v : x) v = normal(random);
    return x;
  };
  auto view = [&](std::vector<float>& x, int h) {
    return TensorView{x.data(), DType::Float32, 4, {1, n, h, headDim}, {0, int64_t(h) * headDim, headDim, 1}};
  };
  std::vector<float> q = values(heads), k = values(kvHeads), v = values(kvHeads), out = values(heads),
                     lse(size_t(n) * heads);
  Pattern pattern = Full{{n, n}};
  current = &walk;
  AttentionArgs args = {};
  args.q = view(q, heads), args.k = view(k, kvHeads), args.v = view(v, kvHeads), args.out = view(out, heads);
  args.lse = {lse.data(), DType::Float32, 3, {1, heads, n}, {0, n, 1}};
  args.scale = 1 / std::sqrt(float(headDim));
  args.pattern = &pattern;
  PlainParallel parallel(1);
  table.attention(args, parallel);
  double worst = 0;
  int empty = 0;
  for (int h = 0; h < heads; ++h)
    for (int i = 0; i < n; ++i) {
      std::vector<double> sum(headDim);
      double total = 0;
      for (int j = 0; j < n; ++j) {
        if (!allowed[i][j]) continue;
        double s = 0;
        for (int d = 0; d < headDim; ++d)
          s += double(q[(size_t(i) * heads + h) * headDim + d]) * k[(size_t(j) * kvHeads + h / 2) * headDim + d];
        s = std::exp(s * args.scale);
        total += s;
        for (int d = 0; d < headDim; ++d) sum[d] += s * v[(size_t(j) * kvHeads + h / 2) * headDim + d];
      }
      empty += total == 0;
      double e = total == 0 ? (lse[size_t(h) * n + i] == -INFINITY ? 0 : INFINITY)
                            : std::fabs(std::log(total) - lse[size_t(h) * n + i]);
      worst = e <= worst ? worst : e;
      for (int d = 0; d < headDim; ++d) {
        e = std::fabs((total == 0 ? 0 : sum[d] / total) - out[(size_t(i) * heads + h) * headDim + d]);
        worst = e <= worst ? worst : e;
      }
    }
  check(worst < 4e-6, "%s, length %d: error %.3g (%d rows see nothing)", name, n, worst, empty);
}

}  // namespace
}  // namespace longspan

int main() {
  using namespace longspan;
  std::mt19937 random(9);
  for (int n : {1, 50, 333, 900}) {
    TestWalk::seqLen = n;
    auto truth = [&](auto f) {
      allowed.assign(n, std::vector<bool>(n));
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) allowed[i][j] = f(i, j);
    };
    for (auto [segment, rate] : {std::pair{64, 2}, {300, 3}, {1024, 4}}) {
      TestWalk::segment = segment, TestWalk::rate = rate;
      truth([&, s = segment, r = rate](int i, int j) {
        return i / s == j / s && i % s % r == 0 && j % s % r == 0 && j <= i;
      });
      run("dilated", dilated, 40);
    }
    TestWalk::chunk = 64;
    std::vector<int> bucket(n);
    for (int& b : bucket) b = int(random() % (n / 50 + 1));
    TestWalk::order.resize(n), TestWalk::rank.resize(n);
    for (int i = 0; i < n; ++i) TestWalk::order[i] = i;
    std::stable_sort(TestWalk::order.begin(), TestWalk::order.end(),
                     [&](int a, int b) { return bucket[a] < bucket[b]; });
    for (int i = 0; i < n; ++i) TestWalk::rank[TestWalk::order[i]] = i;
    truth([&](int i, int j) {
      int a = TestWalk::rank[i] / 64, b = TestWalk::rank[j] / 64;
      return bucket[i] == bucket[j] && (a == b || a == b + 1) && j <= i;
    });
    run("buckets", buckets, 32);
    TestWalk::block = 32;
    int blocks = ceilDiv(n, 32);
    TestWalk::rowStart = {0}, TestWalk::columns.clear();
    std::vector<std::vector<bool>> has(blocks, std::vector<bool>(blocks));
    for (int r = 0; r < blocks; ++r) {
      for (int c = 0; c < blocks; ++c)
        if (random() % 3 == 0) has[r][c] = true, TestWalk::columns.push_back(c);
      TestWalk::rowStart.push_back(int(TestWalk::columns.size()));
    }
    truth([&](int i, int j) { return has[i / 32][j / 32]; });
    run("block list", blockList, 24);
  }
  return finish("rows");
}
