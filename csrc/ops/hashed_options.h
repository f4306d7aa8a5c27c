// Options and results of attention by content: LSH, SCFA, Routing. Part of the contract in ops.h.
#pragma once
#include "option_types.h"

namespace longspan {

struct LshAttentionOptions {
  int64_t rounds = 4, chunk = 64, lookBack = 1, lookAhead = 0, seed = 0;
  std::optional<int64_t> buckets;
  bool causal = false, attendAcrossBuckets = true;
  std::string duplicates = "exact", wrap = "round";
  std::optional<Tensor> rotations;
  std::optional<double> scale;
  bool returnLse = false, returnBuckets = false;
  static constexpr auto fields = std::tuple{
      field("rounds", &LshAttentionOptions::rounds, "independent hashes; 4 if absent"),
      field("buckets", &LshAttentionOptions::buckets, "of a round, even; about seqLen / chunk if absent"),
      field("chunk", &LshAttentionOptions::chunk, "tokens of the sorted list that see each other; 64 if absent"),
      field("lookBack", &LshAttentionOptions::lookBack, "chunks before its own that a chunk sees; 1 if absent"),
      field("lookAhead", &LshAttentionOptions::lookAhead, "chunks after its own that a chunk sees; 0 if absent"),
      field("causal", &LshAttentionOptions::causal, "a token sees no later token"),
      field("seed", &LshAttentionOptions::seed, "of the rotations; 0 if absent"),
      field("duplicates", &LshAttentionOptions::duplicates,
            "\"exact\": a pair counts once, however many rounds show it; \"per-round\": once for each round"),
      field(
          "wrap", &LshAttentionOptions::wrap,
          "what the first chunk looks back on: the last of its own \"round\", or that of the round before: \"rounds\""),
      field("attendAcrossBuckets", &LshAttentionOptions::attendAcrossBuckets,
            "tokens of other buckets in the seen chunks are seen too; true if absent"),
      field(
          "rotations", &LshAttentionOptions::rotations,
          "[rounds, headDim, columns] or [rounds, numHeads, headDim, columns], instead of seed; columns = buckets / 2, "
          "or the sum of factor / 2"),
      field("scale", &LshAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("returnLse", &LshAttentionOptions::returnLse,
            "also give lse [batch, numHeads, seqLen] float32, natural log"),
      field("returnBuckets", &LshAttentionOptions::returnBuckets,
            "also give buckets [rounds, batch, numHeads, seqLen] int32"),
  };
};
struct LshDecodeAttentionOptions {
  int64_t chunk = 64, lookBack = 1, seed = 0;
  std::optional<int64_t> buckets;
  std::string duplicates = "exact";
  std::optional<Tensor> rotations;
  std::optional<double> scale;
  bool returnLse = false;
  static constexpr auto fields = std::tuple{
      field("buckets", &LshDecodeAttentionOptions::buckets, "of a round, as the known tokens were hashed"),
      field("chunk", &LshDecodeAttentionOptions::chunk, "64 if absent"),
      field("lookBack", &LshDecodeAttentionOptions::lookBack,
            "a round shows the last (lookBack + 1) · chunk tokens of the bucket; 1 if absent"),
      field("seed", &LshDecodeAttentionOptions::seed, "of the rotations; 0 if absent"),
      field("duplicates", &LshDecodeAttentionOptions::duplicates, "as for lshAttention"),
      field("rotations", &LshDecodeAttentionOptions::rotations, "as for lshAttention"),
      field("scale", &LshDecodeAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("returnLse", &LshDecodeAttentionOptions::returnLse, "also give lse [batch, numHeads, 1] float32"),
  };
};
struct HashedAttentionOutput {  // a Tensor when nothing else was asked for
  Tensor out;
  std::optional<Tensor> lse, buckets;
};

struct HashSparseAttentionOptions {
  std::optional<int64_t> buckets;
  std::optional<Tensor> rotations, hashesQ, hashesK;
  int64_t seed = 0;
  bool causal = true, includeSelf = false;
  std::optional<double> scale;
  bool returnLse = false;
  static constexpr auto fields = std::tuple{
      field("buckets", &HashSparseAttentionOptions::buckets, "how many hashes there are, even; 16 if absent"),
      field(
          "rotations", &HashSparseAttentionOptions::rotations,
          "[headDim, columns] or [numKVHeads, headDim, columns], instead of seed; columns = buckets / 2, or the sum of "
          "factor / 2"),
      field("hashesQ", &HashSparseAttentionOptions::hashesQ,
            "[batch, seqLenQ, numHeads] int32, int8 or uint8: given hashes, with hashesK"),
      field("hashesK", &HashSparseAttentionOptions::hashesK, "[batch, seqLenKV, numKVHeads], with hashesQ"),
      field("seed", &HashSparseAttentionOptions::seed, "of the rotations; 0 if absent"),
      field("causal", &HashSparseAttentionOptions::causal,
            "only earlier keys; the last query is aligned with the last key; true if absent"),
      field("includeSelf", &HashSparseAttentionOptions::includeSelf, "causal: the own position too"),
      field("scale", &HashSparseAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("returnLse", &HashSparseAttentionOptions::returnLse,
            "also give lse [batch, numHeads, seqLenQ] float32, natural log"),
  };
};
struct QkSparseAttentionOptions {
  std::optional<Tensor> keepQ, keepK;
  bool causal = true;
  std::optional<double> scale;
  bool returnLse = false;
  static constexpr auto fields = std::tuple{
      field("keepQ", &QkSparseAttentionOptions::keepQ,
            "[batch, seqLenQ, numHeads] int32, int8 or uint8: 0 drops a query, its out is 0; all kept if absent"),
      field("keepK", &QkSparseAttentionOptions::keepK,
            "[batch, seqLenKV, numKVHeads]: 0 drops a key; all kept if absent"),
      field("causal", &QkSparseAttentionOptions::causal,
            "no later key; the last query is aligned with the last key; true if absent"),
      field("scale", &QkSparseAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("returnLse", &QkSparseAttentionOptions::returnLse,
            "also give lse [batch, numHeads, seqLenQ] float32, natural log"),
  };
};
struct RoutingAttentionOptions {
  std::optional<Tensor> centroids;
  std::optional<int64_t> window;
  bool causal = false;
  std::optional<std::string> selection;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("centroids", &RoutingAttentionOptions::centroids, "[numHeads, clusters, headDim]"),
      field("window", &RoutingAttentionOptions::window,
            "\"balanced\": queries and keys of a cluster; seqLenQ / clusters and seqLenKV / clusters if absent"),
      field("causal", &RoutingAttentionOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("selection", &RoutingAttentionOptions::selection,
            "\"argmax\": every token is in its nearest cluster; \"balanced\": every cluster has its `window` nearest "
            "queries and keys"),
      field("scale", &RoutingAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};

}  // namespace longspan
