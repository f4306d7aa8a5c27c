// Options and results of the linear family: a state of fixed size instead of keys and values. Part of the contract in
// ops.h.
#pragma once
#include "option_types.h"

namespace longspan {

struct LinearState {
  Tensor values, keys;
  std::optional<Tensor> logScale;
  static constexpr auto fields = std::tuple{
      field("values", &LinearState::values, "[batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value"),
      field("keys", &LinearState::keys, "[batch, numHeads, features] float32: Σ key features"),
      field("logScale", &LinearState::logScale,
            "[batch, numHeads] float32: values and keys are to be multiplied by e^logScale (performerAttention)"),
  };
};
template <class State>
struct StatefulOutput {  // a Tensor when the state was not asked for
  Tensor out;
  std::optional<State> state;
};
struct LinearAttentionOptions {
  bool causal = false, returnState = false;
  std::string featureMap = "elu";
  double epsilon = 1e-6;
  std::optional<LinearState> state;
  static constexpr auto fields = std::tuple{
      field("causal", &LinearAttentionOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("featureMap", &LinearAttentionOptions::featureMap,
            "\"elu\": elu(x) + 1; \"relu\"; \"identity\": q and k are features already"),
      field("epsilon", &LinearAttentionOptions::epsilon, "added to the denominator"),
      field("state", &LinearAttentionOptions::state, "of the keys before these, as returnState gave it"),
      field("returnState", &LinearAttentionOptions::returnState, "also give the state after the last key"),
  };
};
struct PerformerProjectionOptions {  // Choromanski et al. 2021
  int64_t headDim = 0, seed = 0;
  std::optional<int64_t> features;
  bool orthogonalScaling = false;
  static constexpr auto fields = std::tuple{
      field("headDim", &PerformerProjectionOptions::headDim, "width of q and k"),
      field("features", &PerformerProjectionOptions::features, "rows; ⌊headDim · ln headDim⌋ if absent"),
      field("seed", &PerformerProjectionOptions::seed, "of the random numbers, from 0"),
      field("orthogonalScaling", &PerformerProjectionOptions::orthogonalScaling,
            "rows of length √headDim instead of the lengths of Gaussian vectors"),
  };
};
struct PerformerAttentionOptions {
  bool causal = false, orthogonalScaling = false, hyperbolic = false, returnState = false;
  std::optional<int64_t> features;
  int64_t seed = 0;
  std::optional<Tensor> projection;
  std::string kernel = "softmax";
  std::optional<double> epsilon, scale;
  std::optional<LinearState> state;
  static constexpr auto fields = std::tuple{
      field("causal", &PerformerAttentionOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("features", &PerformerAttentionOptions::features,
            "rows of the projection; ⌊headDim · ln headDim⌋ if absent"),
      field("projection", &PerformerAttentionOptions::projection,
            "[features, headDim], instead of features, seed and orthogonalScaling"),
      field("seed", &PerformerAttentionOptions::seed, "of the projection, from 0"),
      field("orthogonalScaling", &PerformerAttentionOptions::orthogonalScaling,
            "rows of the projection have length √headDim instead of the lengths of Gaussian vectors"),
      field("kernel", &PerformerAttentionOptions::kernel,
            "\"softmax\": e^(w·x − |x|²/2); \"relu\": max(w·x, 0) + epsilon"),
      field("epsilon", &PerformerAttentionOptions::epsilon, "of kernel \"relu\"; 1e-3 if absent"),
      field("hyperbolic", &PerformerAttentionOptions::hyperbolic,
            "features of x and of −x, twice as many: less variance"),
      field("scale", &PerformerAttentionOptions::scale, "of the q·k that is estimated; headDim ** -0.5 if absent"),
      field("state", &PerformerAttentionOptions::state, "of the keys before these, as returnState gave it"),
      field("returnState", &PerformerAttentionOptions::returnState, "also give the state after the last key"),
  };
};
struct ScatterbrainAttentionOptions {
  bool causal = false, orthogonalScaling = false, hyperbolic = false;
  std::optional<int64_t> features;
  int64_t seed = 0;
  std::optional<WindowSpec> window;
  std::optional<Tensor> projection;
  std::optional<double> scale;
  static constexpr auto fields = std::tuple{
      field("causal", &ScatterbrainAttentionOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("window", &ScatterbrainAttentionOptions::window,
            "keys around the own position that are exact; n means {before: n, after: causal ? 0 : n}; none if absent"),
      field("features", &ScatterbrainAttentionOptions::features,
            "rows of the projection; ⌊headDim · ln headDim⌋ if absent"),
      field("projection", &ScatterbrainAttentionOptions::projection,
            "[features, headDim], instead of features, seed and orthogonalScaling"),
      field("seed", &ScatterbrainAttentionOptions::seed, "of the projection, from 0"),
      field("orthogonalScaling", &ScatterbrainAttentionOptions::orthogonalScaling,
            "rows of the projection have length √headDim instead of the lengths of Gaussian vectors"),
      field("hyperbolic", &ScatterbrainAttentionOptions::hyperbolic,
            "features of x and of −x, twice as many: less variance"),
      field("scale", &ScatterbrainAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
  };
};
struct RetentionOptions {
  std::optional<Numbers> gammas;
  std::optional<double> scale;
  std::optional<Tensor> state;
  bool returnState = false;
  static constexpr auto fields = std::tuple{
      field("gammas", &RetentionOptions::gammas, "[numHeads] decay of a step, in [0, 1]; 1 − 2^(−5 − head) if absent"),
      field("scale", &RetentionOptions::scale, "factor on k; headDim ** -0.5 if absent"),
      field("state", &RetentionOptions::state, "[batch, numHeads, headDim, valueDim] of the keys before these"),
      field("returnState", &RetentionOptions::returnState, "also give the state after the last key"),
  };
};
struct GatedLinearAttentionOptions {
  std::optional<Tensor> gates, state;
  std::optional<double> scale;
  bool returnState = false;
  static constexpr auto fields = std::tuple{
      field("gates", &GatedLinearAttentionOptions::gates,
            "[batch, seqLenKV, numHeads or numKVHeads, headDim] log of the decay of a step; required"),
      field("scale", &GatedLinearAttentionOptions::scale, "factor on q; headDim ** -0.5 if absent"),
      field("state", &GatedLinearAttentionOptions::state,
            "[batch, numHeads, headDim, valueDim] of the keys before these"),
      field("returnState", &GatedLinearAttentionOptions::returnState, "also give the state after the last key"),
  };
};
struct DeltaNetOptions {
  std::optional<Tensor> beta, state;
  std::optional<double> scale;
  bool returnState = false;
  static constexpr auto fields = std::tuple{
      field("beta", &DeltaNetOptions::beta,
            "[batch, seqLenKV, numHeads or numKVHeads] how far a value is moved towards the new one; required"),
      field("scale", &DeltaNetOptions::scale, "factor on q; headDim ** -0.5 if absent"),
      field("state", &DeltaNetOptions::state, "[batch, numHeads, headDim, valueDim] of the keys before these"),
      field("returnState", &DeltaNetOptions::returnState, "also give the state after the last key"),
  };
};

}  // namespace longspan
