// Blocks of keys chosen by content: lists for the pattern kind "blocks", [batch, heads, rows, perRow] int32, ascending,
// −1 behind. lib/patterns has the formulas and the papers.
#pragma once
#include <optional>

#include "../core/field.h"
#include "../core/tensor.h"

namespace longspan {

struct QuestOptions {
  int64_t pageSize = 16, tokenBudget = 0, minPages = 3;
  bool causal = true;
  static constexpr auto fields = std::tuple{
      field("pageSize", &QuestOptions::pageSize, "keys in a page"),
      field("tokenBudget", &QuestOptions::tokenBudget, "keys that a query may see"),
      field("minPages", &QuestOptions::minPages, "pages at least"),
      field("causal", &QuestOptions::causal, "no page behind the query's own"),
  };
};
struct MobaOptions {
  int64_t chunkSize = 0, topK = 0;
  bool causal = true;
  static constexpr auto fields = std::tuple{
      field("chunkSize", &MobaOptions::chunkSize, "keys in a chunk"),
      field("topK", &MobaOptions::topK, "chunks, the own one among them"),
      field("causal", &MobaOptions::causal, "no chunk behind the query's own"),
  };
};
struct InfLlmOptions {
  int64_t blockSize = 128, topK = 16, representatives = 4, local = 4096, initial = 128, queryBlock = 512;
  bool perHead = false;
  static constexpr auto fields = std::tuple{
      field("blockSize", &InfLlmOptions::blockSize, "keys in a block"),
      field("topK", &InfLlmOptions::topK, "blocks beside the recent ones"),
      field("representatives", &InfLlmOptions::representatives, "keys whose mean stands for a block; 0: all"),
      field("local", &InfLlmOptions::local, "keys that a query sees in any case, its own among them"),
      field("initial", &InfLlmOptions::initial, "first keys, which are seen by all and not chosen"),
      field("queryBlock", &InfLlmOptions::queryBlock, "positions that choose together"),
      field("perHead", &InfLlmOptions::perHead, "each query head chooses for itself, else all together"),
  };
};
struct NsaOptions {
  int64_t blockSize = 64, compressBlock = 32, compressStride = 16, topBlocks = 16, initialBlocks = 1, localBlocks = 2;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("blockSize", &NsaOptions::blockSize, "keys in a block that is chosen"),
      field("compressBlock", &NsaOptions::compressBlock, "keys in a compressed key"),
      field("compressStride", &NsaOptions::compressStride, "from one compressed key to the next"),
      field("topBlocks", &NsaOptions::topBlocks, "blocks, the forced ones among them"),
      field("initialBlocks", &NsaOptions::initialBlocks, "first blocks, forced"),
      field("localBlocks", &NsaOptions::localBlocks, "last blocks, forced"),
      field("scale", &NsaOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};
struct MinferenceBlocksOptions {
  int64_t blockSize = 64, topK = 100;
  bool causal = true;
  static constexpr auto fields = std::tuple{
      field("blockSize", &MinferenceBlocksOptions::blockSize, "positions in a block of queries and of keys"),
      field("topK", &MinferenceBlocksOptions::topK, "blocks of keys for each of queries"),
      field("causal", &MinferenceBlocksOptions::causal, "no block behind the own one"),
  };
};
struct XAttentionOptions {
  int64_t stride = 8, blockSize = 128;
  double threshold = 0.9, norm = 1;
  bool causal = true, keepSink = false, keepRecent = false;
  static constexpr auto fields = std::tuple{
      field("stride", &XAttentionOptions::stride, "positions in a tile"),
      field("blockSize", &XAttentionOptions::blockSize, "positions in a block"),
      field("threshold", &XAttentionOptions::threshold, "share of the estimated attention that is kept"),
      field("norm", &XAttentionOptions::norm, "divides the scores"),
      field("causal", &XAttentionOptions::causal, "no later tile"),
      field("keepSink", &XAttentionOptions::keepSink, "the first block of keys in any case"),
      field("keepRecent", &XAttentionOptions::keepRecent, "the last visible block of keys in any case"),
  };
};
struct TopKeysOptions {
  int64_t k = 0;
  bool causal = true;
  static constexpr auto fields = std::tuple{
      field("k", &TopKeysOptions::k, "keys for each query"),
      field("causal", &TopKeysOptions::causal, "no later key"),
  };
};
struct VerticalSlashOptions {
  int64_t vertical = 1000, slash = 6096, lastQueries = 64, firstColumns = 30, nearDiagonals = 100;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("vertical", &VerticalSlashOptions::vertical, "columns, the forced ones among them"),
      field("slash", &VerticalSlashOptions::slash, "diagonals, the forced ones among them"),
      field("lastQueries", &VerticalSlashOptions::lastQueries, "queries whose attention is looked at"),
      field("firstColumns", &VerticalSlashOptions::firstColumns, "forced"),
      field("nearDiagonals", &VerticalSlashOptions::nearDiagonals, "forced"),
      field("scale", &VerticalSlashOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};
struct SelectedLines {
  Tensor columns, offsets;
  static constexpr auto fields = std::tuple{
      field("columns", &SelectedLines::columns, "[batch, numHeads, 1, count] int32: keys"),
      field("offsets", &SelectedLines::offsets, "[batch, numHeads, 1, count] int32: distances before a query"),
  };
};

Tensor selectQuest(const Tensor& q, const Tensor& k, const QuestOptions& options);
Tensor selectMoba(const Tensor& q, const Tensor& k, const MobaOptions& options);
Tensor selectInfLlm(const Tensor& q, const Tensor& k, const InfLlmOptions& options);
Tensor selectNsa(const Tensor& q, const Tensor& k, const NsaOptions& options);
Tensor selectMinferenceBlocks(const Tensor& q, const Tensor& k, const MinferenceBlocksOptions& options);
Tensor selectXAttention(const Tensor& q, const Tensor& k, const XAttentionOptions& options);
Tensor selectTopKeys(const Tensor& q, const Tensor& k, const TopKeysOptions& options);
SelectedLines selectVerticalSlash(const Tensor& q, const Tensor& k, const VerticalSlashOptions& options);

}  // namespace longspan
