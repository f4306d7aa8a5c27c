// Attention of hashed tokens: buckets, their order, and the gathered keys with their norms.
#include <algorithm>
#include <numeric>

#include "../native/check.h"
#include "sanitize_attention.h"

namespace longspan::sanitize {
namespace {

constexpr int seqLen = 100, numHeads = 2, headDim = 32, rounds = 2, numBuckets = 8, columns = numBuckets / 2;
constexpr int chunk = 16, numChunks = 7, wrapped = seqLen - (numChunks - 1) * chunk, lists = rounds * numHeads;

// Devices sum in orders of their own: a bucket is right if no other lies clearly nearer.
void judgeBuckets(const Values& x, const Values& directions, const Values& buckets) {
  int wrong = 0;
  for (int list = 0; list < lists; ++list)
    for (int token = 0; token < seqLen; ++token) {
      const double* row = x.values.data() + (size_t(token) * numHeads + list % numHeads) * headDim;
      double scores[numBuckets], best = -INFINITY, norm = 0;
      for (int column = 0; column < columns; ++column) {
        double product = 0;
        for (int d = 0; d < headDim; ++d) {
          const double term = row[d] * directions.values[(size_t(list) * columns + column) * headDim + d];
          product += term, norm = std::max(norm, std::abs(term));
        }
        scores[column] = product, scores[columns + column] = -product;
        best = std::max(best, std::abs(product));
      }
      const double bucket = buckets.values[size_t(list) * seqLen + token];
      wrong += !(bucket >= 0 && bucket < numBuckets) || scores[int(bucket)] < best - 1e-5 * norm;
    }
  check(wrong == 0, "%d tokens are in wrong buckets", wrong);
}

void judgeOrder(const Values& buckets, const Values& order, const Values& chunkOf) {
  int wrong = 0;
  for (int list = 0; list < lists; ++list) {
    std::vector<int> tokens(seqLen);
    std::iota(tokens.begin(), tokens.end(), 0);
    const double* of = buckets.values.data() + size_t(list) * seqLen;
    std::stable_sort(tokens.begin(), tokens.end(), [&](int a, int b) { return of[a] < of[b]; });
    const double* padded = order.values.data() + size_t(list) * (wrapped + seqLen);
    for (int row = 0; row < seqLen; ++row) {
      wrong += padded[wrapped + row] != tokens[row];
      wrong += chunkOf.values[size_t(list) * seqLen + tokens[row]] != row / chunk;
    }
    for (int row = 0; row < wrapped; ++row) wrong += padded[row] != tokens[seqLen - wrapped + row];
  }
  check(wrong == 0, "%d places of the sorted tokens are wrong", wrong);
}

// Of the first round: causal, the own chunk and the one before, around the list
void attend(const Values& x, const Values& order, const Values& chunkOf) {
  const char* name = "hashed tokens, bf16, d32";
  const Sizes s = {seqLen, seqLen, numHeads, numHeads, headDim};
  Values v(DType::BFloat16, {1, seqLen, numHeads, headDim}, 3), out(DType::BFloat16, {1, seqLen, numHeads, headDim}, 0);
  std::vector<KeySpan> spans;
  for (int c = 0; c < numChunks; ++c)
    spans.push_back({wrapped + (c > 0 ? (c - 1) * chunk : -wrapped), wrapped + std::min((c + 1) * chunk, seqLen)});
  Pattern parts[numHeads], pattern;
  for (int head = 0; head < numHeads; ++head) {
    const int* chunks = static_cast<const int*>(chunkOf.data()) + head * seqLen;
    Buckets made{};
    made.seqLenQ = made.seqLenKV = made.numQueryRows = seqLen;
    made.keyOrder = static_cast<const int*>(order.data()) + head * (wrapped + seqLen);
    made.queryOrder = made.keyOrder + wrapped;
    made.numKeyRows = wrapped + seqLen;
    made.spans = spans.data(), made.numSpans = numChunks, made.rowsPerGroup = chunk;
    made.relation = {chunks, chunks, nullptr, 0, 1, numChunks};
    made.everyQueryRow = true;
    parts[head] = made;
  }
  pattern.each = parts, pattern.eachHead = numHeads;
  AttentionArgs args = argumentsOf(s, x, out, pattern);
  args.k = x.view(), args.v = v.view(), args.normaliseKeys = true, args.selfScore = -3;
  run(name, [&](Parallel& parallel) { table->attention(args, parallel); });
  const auto allows = [&](int query, int key, int head) {
    const double* chunks = chunkOf.values.data() + size_t(head) * seqLen;
    return key <= query && int(chunks[query] - chunks[key] + numChunks) % numChunks <= 1;
  };
  const auto score = [&](int query, int key, int head, double product) {
    double squares = 0;
    for (int d = 0; d < headDim; ++d) {
      const double one = x.values[(size_t(key) * numHeads + head) * headDim + d];
      squares += one * one;
    }
    return query == key ? -3 : product / std::sqrt(squares);
  };
  compare(name, out, reference(s, x, x, v, allows, score, [](int key) { return size_t(key); }));
}

}  // namespace

void bucketCases() {
  constexpr int factors[] = {numBuckets};
  Values x(DType::BFloat16, {1, seqLen, numHeads, headDim}, 1),
      directions(DType::Float32, {lists * columns + spareDirections, headDim}, 2),
      buckets(DType::Int32, {lists, seqLen}, 0), order(DType::Int32, {lists, wrapped + seqLen}, 0),
      chunkOf(DType::Int32, {lists, seqLen}, 0);
  BucketHashArgs hash{x.view(),
                      static_cast<const float*>(directions.data()),
                      rounds,
                      numHeads,
                      numHeads,
                      true,
                      factors,
                      1,
                      static_cast<int*>(buckets.data())};
  const SortTokensArgs sort{
      hash.out, static_cast<int*>(order.data()), static_cast<int*>(chunkOf.data()), lists, seqLen, chunk, wrapped, 0};
  run("hashed tokens", [&](Parallel& parallel) {
    table->bucketHash(hash, parallel);
    table->sortTokens(sort, parallel);
  });
  for (Values* one : {&buckets, &order, &chunkOf}) one->download();
  judgeBuckets(x, directions, buckets);
  judgeOrder(buckets, order, chunkOf);
  attend(x, order, chunkOf);
}

}  // namespace longspan::sanitize
