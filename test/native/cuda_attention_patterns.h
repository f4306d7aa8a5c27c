// Patterns of every kind drawn at random, for tests of kernels; their lists live as long as `Lists`.
#pragma once
#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "attention/pattern.h"

namespace longspan::test {

struct Lists {
  std::deque<std::vector<int>> numbers;
  std::deque<std::vector<uint8_t>> bytes;
  std::deque<std::vector<Pattern>> patterns;
  std::deque<std::vector<KeySpan>> spans;
  std::deque<std::vector<GroupRelation>> relations;
};

class PatternDraw {
 public:
  PatternDraw(std::mt19937& engine, Lists& lists) : engine_(engine), lists_(lists) {}

  // `style` is the same for patterns of one call: what they must have in common
  Pattern pattern(Pattern::Kind kind, int n, int m, uint32_t style, int depth = 0) {
    using Kind = Pattern::Kind;
    constexpr int all = Window::unbounded;
    const Contiguous lengths(n, m);
    switch (kind) {
      case Kind::Full:
        return Full{lengths};
      case Kind::Window:
        return window(lengths, pick(0, 2) ? pick(0, 80) : all, pick(0, 3) ? 0 : pick(-3, 40));
      case Kind::Sinks:
        return Sinks{lengths, pick(0, 40), pick(0, 60), pick(0, 2) ? 0 : pick(0, 9)};
      case Kind::Prefix:
        return prefix(lengths, pick(0, m));
      case Kind::Chunks:
        return chunks(lengths);
      case Kind::Documents:
        return documents(lengths);
      case Kind::Dilated:
        return dilated(lengths);
      case Kind::Strided:
        return strided(lengths);
      case Kind::Keys:
        return keys(lengths);
      case Kind::Queries:
        return queries(lengths);
      case Kind::Residues:
        return residues(lengths);
      case Kind::Blocks:
        return blocks(lengths);
      case Kind::Diagonals:
        return diagonals(lengths);
      case Kind::Elements:
        return elements(lengths);
      case Kind::Composite:
        return composite(lengths, style, depth);
      case Kind::Buckets:
        return style % 3 == 0 ? ringOfChunks(m) : style % 3 == 1 ? groups(n, m) : clusters(n, m, int(style / 3));
    }
    return Full{lengths};
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, std::max(low, high))(engine_); }
  std::vector<int>& newList() { return lists_.numbers.emplace_back(); }
  std::vector<int>& ascending(int count, int below) {  // distinct numbers
    std::vector<int>& list = newList();
    for (int i = 0; i < count && below > 0; ++i) list.push_back(pick(0, below - 1));
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    return list;
  }
  Spans spans(int below) {
    std::vector<int>& list = ascending(2 * pick(0, 4), below);
    if (list.size() % 2) list.pop_back();
    return {list.data(), int(list.size() / 2)};
  }

  static Pattern window(const Contiguous& lengths, int before, int after) {
    Window p{lengths};
    p.before = before, p.after = after;
    return p;
  }
  static Pattern prefix(const Contiguous& lengths, int tokens) {
    Prefix p{lengths};
    p.tokens = tokens;
    return p;
  }
  Pattern chunks(const Contiguous& lengths) {
    Chunks p{lengths};
    p.size = pick(1, 70), p.shift = pick(0, p.size - 1);
    p.before = pick(0, 2), p.after = pick(0, 1), p.causal = pick(0, 1);
    return p;
  }
  Pattern documents(const Contiguous& lengths) {
    Documents p{lengths};
    std::vector<int>& begins = ascending(pick(0, 4), lengths.seqLenKV);
    if (begins.empty() || begins[0] != 0) begins.insert(begins.begin(), 0);
    p.begins = begins.data(), p.count = int(begins.size()), p.causal = pick(0, 1);
    return p;
  }
  Pattern dilated(const Contiguous& lengths) {
    Dilated p{lengths};
    p.rate = pick(1, 5), p.segment = p.rate * pick(1, 40), p.phase = pick(0, p.rate - 1);
    p.causal = pick(0, 1), p.zeroPadding = pick(0, 1);
    return p;
  }
  Pattern strided(const Contiguous& lengths) {
    Strided p{lengths};
    p.rate = pick(1, 5), p.before = pick(0, 60), p.after = pick(0, 1) ? 0 : pick(0, 20);
    p.skip = pick(0, 2) ? 0 : pick(0, 3);
    return p;
  }
  Pattern keys(const Contiguous& lengths) {
    Keys p{lengths};
    p.spans = spans(lengths.seqLenKV);
    return p;
  }
  Pattern queries(const Contiguous& lengths) {
    Queries p{lengths};
    p.spans = spans(lengths.seqLenKV);
    return p;
  }
  Pattern residues(const Contiguous& lengths) {
    Residues p{lengths};
    p.period = pick(1, 90), p.first = pick(0, p.period - 1), p.end = pick(p.first + 1, p.period);
    return p;
  }
  Pattern blocks(const Contiguous& lengths) {
    Blocks p{lengths};
    p.blockQ = pick(1, 3) == 1 ? pick(1, 20) : 64, p.blockKV = pick(0, 1) ? 64 : pick(1, 50);
    p.base = std::max(lengths.start, 0);
    p.firstRow = p.base / p.blockQ;
    p.rows = lengths.seqLenQ ? (p.base + lengths.seqLenQ - 1) / p.blockQ - p.firstRow + 1 : 0;
    const int numColumns = ceilDiv(lengths.seqLenKV, p.blockKV);
    const bool sparse = pick(0, 1);
    p.perRow = numColumns;
    std::vector<int>&columns = newList(), &starts = newList();
    starts.push_back(0);
    for (int row = 0; row < p.rows; ++row) {
      std::vector<int>& own = ascending(pick(0, 2 * numColumns), numColumns);
      columns.insert(columns.end(), own.begin(), own.end());
      if (!sparse) columns.resize(size_t(row + 1) * size_t(numColumns), -1);
      starts.push_back(int(columns.size()));
    }
    p.columns = columns.data();
    p.rowStart = sparse ? starts.data() : nullptr;
    return p;
  }
  Pattern diagonals(const Contiguous& lengths) {
    Diagonals p{lengths};
    p.block = pick(0, 1) ? 1 : pick(0, 1) ? 64 : pick(2, 30);
    std::vector<int>& offsets = ascending(pick(0, 12), std::max(lengths.seqLenKV, 1));
    p.offsets = offsets.data(), p.count = int(offsets.size());
    return p;
  }
  Pattern elements(const Contiguous& lengths) {
    Elements p{lengths};
    p.blockQ = pick(1, 3), p.blockKV = pick(1, 3);
    p.base = std::max(lengths.start, 0);
    p.firstQuery = p.base / p.blockQ, p.firstKey = 0;
    p.rows = lengths.seqLenQ ? (p.base + lengths.seqLenQ - 1) / p.blockQ - p.firstQuery + 1 : 0;
    p.columns = ceilDiv(lengths.seqLenKV, p.blockKV);
    std::vector<uint8_t>& mask = lists_.bytes.emplace_back();
    const int density = pick(1, 9);
    for (int64_t i = 0; i < int64_t(p.rows) * p.columns; ++i) mask.push_back(pick(0, 9) < density);
    p.mask = mask.data();
    return p;
  }
  Pattern composite(const Contiguous& lengths, uint32_t style, int depth) {
    using Kind = Pattern::Kind;
    Composite p{};
    static_cast<Contiguous&>(p) = lengths;
    p.every = pick(0, 1), p.count = pick(depth ? 1 : 2, 3);
    std::vector<Pattern> parts;
    for (int i = 0; i < p.count; ++i) {
      Kind kind = Kind(pick(0, int(Kind::Composite)));
      if (kind == Kind::Composite && depth == 2) kind = Kind::Window;
      const int known = pick(0, 3) ? lengths.seqLenKV : pick(0, lengths.seqLenKV);
      Pattern part = pattern(kind, lengths.seqLenQ, known, style, depth + 1);
      visit(part, [&](auto& inner) {
        if constexpr (requires { inner.start; }) const_cast<int&>(inner.start) = lengths.start;
      });
      parts.push_back(part);
    }
    p.of = lists_.patterns.emplace_back(std::move(parts)).data();
    return p;
  }

  // Tokens sorted by a hash, in chunks that see the chunk before: Reformer's rounds, the second without the first
  Pattern ringOfChunks(int n) {
    const int chunk = pick(1, std::max(n / 2, 1)), chunks = ceilDiv(n, chunk), back = chunks > 1;
    GroupRelation relations[2];
    const int* orders[2];
    int before = 0;
    for (int round = 0; round < 2; ++round) {
      std::vector<int>&bucket = newList(), &order = newList(), &chunkOf = newList(), sorted(static_cast<size_t>(n));
      for (int i = 0; i < n; ++i) bucket.push_back(pick(0, n / chunk)), sorted[size_t(i)] = i;
      std::stable_sort(sorted.begin(), sorted.end(),
                       [&](int a, int b) { return bucket[size_t(a)] < bucket[size_t(b)]; });
      chunkOf.resize(size_t(n));
      for (int row = 0; row < n; ++row) chunkOf[size_t(sorted[size_t(row)])] = row / chunk;
      before = back ? n - (chunks - 1) * chunk : 0;
      order.assign(sorted.end() - before, sorted.end());
      order.insert(order.end(), sorted.begin(), sorted.end());
      orders[round] = order.data();
      const int* own = pick(0, 1) ? bucket.data() : nullptr;
      relations[round] = {chunkOf.data(), chunkOf.data(), own, 0, back, chunks};
    }
    std::vector<KeySpan>& spans = lists_.spans.emplace_back();
    for (int c = 0; c < chunks; ++c)
      spans.push_back({c ? before + (c - 1) * chunk : 0, before + std::min((c + 1) * chunk, n)});
    if (!back) spans[0] = {0, n};
    Buckets p{};
    p.seqLenQ = p.seqLenKV = p.numQueryRows = n;
    p.queryOrder = orders[1] + before, p.keyOrder = orders[1];
    p.numKeyRows = n + before;
    p.spans = spans.data(), p.numSpans = int(spans.size());
    p.rowsPerGroup = pick(0, 1) ? chunk : 0;
    p.relation = relations[1];
    p.earlier = lists_.relations.emplace_back(relations, relations + 1).data();
    p.numEarlier = pick(0, 1);
    p.after = pick(0, 1) ? 0 : Buckets::unbounded;
    p.everyQueryRow = true;
    return p;
  }
  // Queries and keys of one group see each other; some queries have none
  Pattern groups(int n, int m) {
    const int count = pick(1, 5);
    std::vector<int>&query = newList(), &key = newList(), &queryOrder = newList(), &keyOrder = newList();
    std::vector<KeySpan>& spans = lists_.spans.emplace_back();
    for (int i = 0; i < n; ++i) query.push_back(pick(-1, count - 1));
    for (int i = 0; i < m; ++i) key.push_back(pick(0, count - 1));
    for (int g = 0; g < count; ++g) {
      for (int i = 0; i < n; ++i)
        if (query[size_t(i)] == g) queryOrder.push_back(i);
      const int begin = int(keyOrder.size());
      for (int i = 0; i < m; ++i)
        if (key[size_t(i)] == g) keyOrder.push_back(i);
      spans.push_back({begin, int(keyOrder.size())});
    }
    Buckets p{};
    p.seqLenQ = n, p.seqLenKV = m;
    p.queryOrder = queryOrder.data(), p.keyOrder = keyOrder.data();
    p.numQueryRows = int(queryOrder.size()), p.numKeyRows = m;
    p.spans = spans.data(), p.numSpans = int(spans.size());
    p.relation = {query.data(), key.data(), nullptr, 0, 0, GroupRelation::noRing};
    p.after = pick(0, 1) ? 0 : Buckets::unbounded;
    p.spansAscend = true;
    p.everyQueryRow = p.numQueryRows == n;
    return p;
  }
  // Clusters of equal size, a token in several of them or none: an output for each row of the list
  Pattern clusters(int n, int m, int size) {
    const int count = 3, windowQ = 1 + size % n, windowKV = pick(1, m);
    std::vector<int>&queryOrder = newList(), &keyOrder = newList();
    std::vector<KeySpan>& spans = lists_.spans.emplace_back();
    auto drawn = [&](std::vector<int>& list, int number, int below) {
      std::vector<int> tokens(static_cast<size_t>(below));
      for (int i = 0; i < below; ++i) tokens[size_t(i)] = i;
      std::shuffle(tokens.begin(), tokens.end(), engine_);
      std::sort(tokens.begin(), tokens.begin() + number);
      list.insert(list.end(), tokens.begin(), tokens.begin() + number);
    };
    for (int c = 0; c < count; ++c) {
      drawn(queryOrder, windowQ, n), drawn(keyOrder, windowKV, m);
      spans.push_back({c * windowKV, (c + 1) * windowKV});
    }
    Buckets p{};
    p.seqLenQ = n, p.seqLenKV = m;
    p.queryOrder = queryOrder.data(), p.keyOrder = keyOrder.data();
    p.numQueryRows = count * windowQ, p.numKeyRows = count * windowKV;
    p.spans = spans.data(), p.numSpans = int(spans.size());
    p.after = pick(0, 1) ? 0 : Buckets::unbounded;
    p.spansAscend = p.everyQueryRow = p.outputPerRow = true;
    p.rowsPerGroup = windowQ;
    return p;
  }

  std::mt19937& engine_;
  Lists& lists_;
};

// f(query, where its output goes, keys it sees) for each row of the list, and for queries that are in none
template <class F>
void forEachBucketRow(const Buckets& p, const F& f) {
  std::vector<bool> there(static_cast<size_t>(p.seqLenQ));
  for (int row = 0; row < p.numQueryRows; ++row) {
    const int query = p.queryOrder[row];
    const KeySpan span = p.spanOf(row);
    std::vector<int> keys;
    for (int i = span.begin; i < span.end; ++i) {
      const int key = p.keyOrder[i];
      bool sees = key <= p.lastPosition(query);
      if (p.relation.bucket) sees = sees && p.relation.bucket[query] == p.relation.bucket[key];
      for (int e = 0; e < p.numEarlier; ++e) sees = sees && !p.earlier[e].sees(query, key);
      if (sees) keys.push_back(key);
    }
    there[size_t(query)] = true;
    f(query, p.outputPerRow ? row : query, keys);
  }
  for (int query = 0; query < p.seqLenQ && !p.outputPerRow; ++query)
    if (!there[size_t(query)]) f(query, query, std::vector<int>());
}

}  // namespace longspan::test
