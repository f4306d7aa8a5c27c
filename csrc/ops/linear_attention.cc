// Attention whose scores are products of features, so that keys and values fold into a state of fixed size
// (Katharopoulos et al. 2020), and its kin whose state decays or corrects itself: RetNet, GLA, DeltaNet.
#include <cmath>

#include "linear_call.h"
#include "read_numbers.h"

namespace longspan {
namespace {

constexpr int64_t mostGivenFeatures = 4096;

FeatureMap featureMapOf(const std::string& name) {
  if (name == "elu") return FeatureMap::Elu;
  if (name == "relu") return FeatureMap::Relu;
  if (name == "identity") return FeatureMap::Identity;
  badArgument("linearAttention", "featureMap",
              concat("featureMap must be \"elu\", \"relu\" or \"identity\", got \"", name, "\""));
}

constexpr const char* matrixSpec = "[batch, numHeads, headDim, valueDim]";

Shape matrixShape(const LinearSizes& sizes) { return {sizes.batch, sizes.numHeads, sizes.headDim, sizes.valueDim}; }

StatefulOutput<Tensor> enqueueMatrix(LinearCall call, const LinearSizes& sizes, const std::optional<Tensor>& state,
                                     bool returnState) {
  call.valuesBefore = checkedState(call.op, "state", state, matrixShape(sizes), matrixSpec);
  if (returnState) call.valuesAfter = newOutput(call.op, DType::Float32, matrixShape(sizes));
  enqueueLinear(call);
  return {call.out, call.valuesAfter};
}

Numbers gammasOf(const std::optional<Numbers>& given, int64_t numHeads) {
  Numbers gammas;
  if (!given) {
    for (int64_t head = 0; head < numHeads; ++head) gammas.values.push_back(1 - std::exp2(-5.0 - double(head)));
    return gammas;
  }
  requireNumbers("retention", "gammas", *given);
  Dims("retention")
      .require(int64_t(given->size()) == numHeads, "gammas", concat("gammas must have numHeads = ", numHeads),
               concat(given->size()));
  for (double gamma : given->values)
    if (gamma < 0 || gamma > 1) badArgument("retention", "gammas", concat("gammas must be in [0, 1], got ", gamma));
  return *given;
}

}  // namespace

StatefulOutput<LinearState> linearAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const LinearAttentionOptions& options) {
  const char* op = "linearAttention";
  FeatureMap map = featureMapOf(options.featureMap);
  Dims dims(op);
  LinearSizes sizes = bindLinear(dims, op, q, k, v, map == FeatureMap::Identity ? mostGivenFeatures : 256);
  requireFinite(op, "epsilon", options.epsilon);
  if (options.epsilon < 0) badArgument(op, "epsilon", concat("epsilon must not be negative, got ", options.epsilon));
  LinearCall call = linearCall(op, q, k, v, sizes);
  call.args.map = map;
  call.args.causal = options.causal;
  call.args.normalise = true;
  call.args.epsilon = float(options.epsilon);
  takeState(call, sizes, options.state, options.returnState);
  return enqueueNormalised(call);
}

StatefulOutput<Tensor> retention(const Tensor& q, const Tensor& k, const Tensor& v, const RetentionOptions& options) {
  Dims dims("retention");
  LinearSizes sizes = bindLinear(dims, "retention", q, k, v);
  float scale = scaleOf("retention", options.scale, sizes.headDim);
  Numbers gammas = gammasOf(options.gammas, sizes.numHeads);
  LinearCall call = linearCall("retention", q, k, v, sizes);
  call.args.scaleK = scale;
  call.gammas = gammas;
  return enqueueMatrix(call, sizes, options.state, options.returnState);
}

StatefulOutput<Tensor> gatedLinearAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const GatedLinearAttentionOptions& options) {
  const char* op = "gatedLinearAttention";
  Dims dims(op);
  LinearSizes sizes = bindLinear(dims, op, q, k, v);
  float scale = scaleOf(op, options.scale, sizes.headDim);
  Tensor gates = checkedPerHead(op, "gates", options.gates, sizes, true);
  LinearCall call = linearCall(op, q, k, v, sizes);
  call.args.scaleQ = scale;
  call.gates = gates;
  return enqueueMatrix(call, sizes, options.state, options.returnState);
}

StatefulOutput<Tensor> deltaNet(const Tensor& q, const Tensor& k, const Tensor& v, const DeltaNetOptions& options) {
  Dims dims("deltaNet");
  LinearSizes sizes = bindLinear(dims, "deltaNet", q, k, v);
  float scale = scaleOf("deltaNet", options.scale, sizes.headDim);
  Tensor beta = checkedPerHead("deltaNet", "beta", options.beta, sizes, false);
  std::optional<Tensor> before = checkedState("deltaNet", "state", options.state, matrixShape(sizes), matrixSpec),
                        after;
  Tensor out = newOutput("deltaNet", q.dtype, {sizes.batch, sizes.seqLenQ, sizes.numHeads, sizes.valueDim});
  if (options.returnState) after = newOutput("deltaNet", DType::Float32, matrixShape(sizes));
  enqueue("deltaNet", {&q, &k, &v, &beta, before ? &*before : &q}, {&out, after ? &*after : &out},
          [=, offset = sizes.offset()](const Backend& table, Parallel& parallel) {
            table.deltaRule(
                {q.view(), k.view(), v.view(), out.view(), beta.view(), scale, offset, viewOf(before), viewOf(after)},
                parallel);
          });
  return {out, after};
}

}  // namespace longspan
