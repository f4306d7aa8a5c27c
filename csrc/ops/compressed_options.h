// Options and results of attention over fewer keys: Linformer, Luna, H-Transformer-1D, Landmark; and of CoPE, which
// shares their kernel's tiles. Part of the contract in ops.h.
#pragma once
#include "option_types.h"

namespace longspan {

struct LinformerOptions {
  std::optional<Tensor> projectionK, projectionV;
  std::optional<double> scale;
  bool causal = false;
  static constexpr auto fields = std::tuple{
      field("projectionK", &LinformerOptions::projectionK,
            "E: [seqLen or more, rows] for all heads, or [numKVHeads, seqLen or more, rows]; any float dtype"),
      field("projectionV", &LinformerOptions::projectionV, "F, for the values; projectionK if absent"),
      field("scale", &LinformerOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("causal", &LinformerOptions::causal, "refused: a projection mixes later tokens into every key"),
  };
};
struct LunaState {
  Tensor keySums, valueSums;
  std::optional<int64_t> positions;
  static constexpr auto fields = std::tuple{
      field("keySums", &LunaState::keySums, "[batch, heads, headDim, extraLen] float32"),
      field("valueSums", &LunaState::valueSums, "[batch, heads, extraLen, valueDim] float32"),
      field("positions", &LunaState::positions, "how many keys are in the sums"),
  };
};
struct LunaOptions {
  std::optional<Tensor> extra;
  bool causal = false;
  std::optional<double> scale;
  std::optional<LunaState> state;
  bool returnExtra = false, returnState = false;
  static constexpr auto fields = std::tuple{
      field("extra", &LunaOptions::extra,
            "the extra sequence P: [extraLen, heads, headDim] or [batch, extraLen, heads, headDim]"),
      field("causal", &LunaOptions::causal, "the causal form, whose state has one size at any length"),
      field("scale", &LunaOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("state", &LunaOptions::state, "causal: what returnState gave for the tokens before"),
      field("returnExtra", &LunaOptions::returnExtra, "not causal: also give the packed sequence, as `extra`"),
      field("returnState", &LunaOptions::returnState, "causal: also give the state after the last token"),
  };
};
struct LunaOutput {  // a Tensor when nothing else was asked for
  Tensor out;
  std::optional<Tensor> extra;
  std::optional<LunaState> state;
};
struct HierarchicalOptions {
  int64_t blockSize = 16;
  bool causal = false;
  std::optional<bool> coarsenQueries;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("blockSize", &HierarchicalOptions::blockSize, "tokens of a block, 1 to 512"),
      field("causal", &HierarchicalOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("coarsenQueries", &HierarchicalOptions::coarsenQueries,
            "queries are means as well at coarse levels, as in the paper; the default unless causal"),
      field("scale", &HierarchicalOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};
struct LandmarkOptions {
  std::optional<int64_t> blockSize, topK;
  bool causal = true;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("blockSize", &LandmarkOptions::blockSize,
            "tokens of a block with its landmark, which is the last: 2 to 512"),
      field("topK", &LandmarkOptions::topK, "earlier blocks that a query opens, by landmark score; all if absent"),
      field("causal", &LandmarkOptions::causal, "false is refused: a block is known by the landmark at its end"),
      field("scale", &LandmarkOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};
struct CopeOptions {
  std::optional<Tensor> positionEmbeddings;
  std::optional<double> scale;
  std::string variant = "code";
  static constexpr auto fields = std::tuple{
      field("positionEmbeddings", &CopeOptions::positionEmbeddings,
            "[positions, headDim] for all heads, or [numHeads, positions, headDim]; any float dtype"),
      field("scale", &CopeOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("variant", &CopeOptions::variant,
            "\"code\": the factor also goes to gates and positions; \"paper\": to q·k alone"),
  };
};

}  // namespace longspan
