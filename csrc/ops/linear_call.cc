// Checks and enqueuing of the linear family; a call of a kernel is its plain arguments and the tensors they point to.
#include "linear_call.h"

#include <cmath>

#include "read_numbers.h"

namespace longspan {
namespace {

constexpr int64_t maxValueDim = 256;

void requireWidth(const char* op, const char* name, int64_t dim, int64_t most) {
  if (dim >= 1 && dim <= most) return;
  throw Error(Code::Unsupported, concat(op, ": ", name, " must be in [1, ", most, "], got ", dim))
      .with("feature", concat(name, " ", dim))
      .with("known", concat("1 to ", most));
}

std::vector<const Tensor*> inputsOf(const LinearCall& call) {
  std::vector<const Tensor*> inputs = {&call.q, &call.k, &call.v};
  for (const auto* tensor : {&call.gates, &call.valuesBefore, &call.keysBefore, &call.logScaleBefore})
    if (*tensor) inputs.push_back(&**tensor);
  if (call.gammas && call.gammas->tensor) inputs.push_back(&*call.gammas->tensor);
  return inputs;
}

}  // namespace

LinearSizes bindLinear(Dims& dims, const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                       int64_t mostHeadDim) {
  LinearSizes sizes{};
  auto [batch, seqLenQ, numHeads, headDim] = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  auto keys = dims.bind<4>(k, "k", "[batch, seqLenKV, numKVHeads, headDim]");
  sizes = {batch, seqLenQ, numHeads, headDim, keys[1], keys[2], 0};
  sizes.valueDim = dims.bind<4>(v, "v", "[batch, seqLenKV, numKVHeads, valueDim]")[3];
  requireDType(op, "q", q, floatDTypes);
  requireSameDType(op, "k", k, "q", q.dtype);
  requireSameDType(op, "v", v, "q", q.dtype);
  dims.require(sizes.numKVHeads > 0 ? numHeads % sizes.numKVHeads == 0 : numHeads == 0, "q",
               concat("numHeads must be a multiple of numKVHeads = ", sizes.numKVHeads),
               concat("numHeads = ", numHeads));
  requireWidth(op, "headDim", headDim, mostHeadDim);
  requireWidth(op, "valueDim", sizes.valueDim, maxValueDim);
  return sizes;
}

float scaleOf(const char* op, const std::optional<double>& given, int64_t headDim) {
  double scale = given.value_or(1 / std::sqrt(double(headDim)));
  requireFinite(op, "scale", scale);
  return float(scale);
}

std::optional<Tensor> checkedState(const char* op, const char* argument, const std::optional<Tensor>& given,
                                   const Shape& shape, const char* spec) {
  if (!given) return given;
  requireDType(op, argument, *given, floatDTypes);
  if (given->shape != shape) Dims(op).mismatch(argument, concat(spec, " = ", toString(shape)), given->shape);
  return converted(*given, DType::Float32);
}

Tensor checkedPerHead(const char* op, const char* argument, const std::optional<Tensor>& given,
                      const LinearSizes& sizes, bool perDim) {
  const char* spec =
      perDim ? "[batch, seqLenKV, numHeads or numKVHeads, headDim]" : "[batch, seqLenKV, numHeads or numKVHeads]";
  if (!given) badArgument(op, argument, concat(argument, " is required: ", spec));
  requireDType(op, argument, *given, floatDTypes);
  Shape shape = {sizes.batch, sizes.seqLenKV, sizes.numHeads};
  if (perDim) shape.push_back(sizes.headDim);
  Shape grouped = shape;
  grouped[2] = sizes.numKVHeads;
  if (given->shape != shape && given->shape != grouped)
    Dims(op).mismatch(argument, concat(spec, " = ", toString(shape)), given->shape);
  return *given;
}

LinearCall linearCall(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const LinearSizes& sizes) {
  LinearCall call{op, q, k, v};
  call.out = newOutput(op, q.dtype, {sizes.batch, sizes.seqLenQ, sizes.numHeads, sizes.valueDim});
  call.args.map = FeatureMap::Identity;
  call.args.scaleQ = call.args.scaleK = 1;
  call.args.causal = true;
  call.args.offset = sizes.offset();
  call.features = sizes.headDim;
  return call;
}

void takeState(LinearCall& call, const LinearSizes& sizes, const std::optional<LinearState>& state, bool returnState) {
  const Shape values = {sizes.batch, sizes.numHeads, call.features, sizes.valueDim};
  const Shape keys = {sizes.batch, sizes.numHeads, call.features}, scales = {sizes.batch, sizes.numHeads};
  const bool scaled = call.args.map == FeatureMap::RandomExp;
  if (state) {
    call.valuesBefore =
        checkedState(call.op, "state.values", state->values, values, "[batch, numHeads, features, valueDim]");
    call.keysBefore = checkedState(call.op, "state.keys", state->keys, keys, "[batch, numHeads, features]");
    if (scaled && !state->logScale) badArgument(call.op, "state.logScale", "state must have logScale");
    if (scaled)
      call.logScaleBefore = checkedState(call.op, "state.logScale", state->logScale, scales, "[batch, numHeads]");
  }
  if (!returnState) return;
  call.valuesAfter = newOutput(call.op, DType::Float32, values);
  call.keysAfter = newOutput(call.op, DType::Float32, keys);
  if (scaled) call.logScaleAfter = newOutput(call.op, DType::Float32, scales);
}

LinearAttentionArgs argumentsOf(const LinearCall& call) {
  LinearAttentionArgs args = call.args;
  args.q = call.q.view();
  args.k = call.k.view();
  args.v = call.v.view();
  args.out = call.out.view();
  args.gates = viewOf(call.gates);
  if (call.projection)
    args.projection = {call.projection->storage->memory.get(), call.projection->dtype, call.projection->outFeatures,
                       call.projection->inFeatures};
  args.before = {viewOf(call.valuesBefore), viewOf(call.keysBefore), viewOf(call.logScaleBefore)};
  args.after = {viewOf(call.valuesAfter), viewOf(call.keysAfter), viewOf(call.logScaleAfter)};
  return args;
}

void enqueueLinear(const LinearCall& given, LinearWork work) {
  LinearCall call = given;
  Tensor panels;  // stands for the packed projection among the inputs
  std::vector<const Tensor*> inputs = inputsOf(call);
  if (call.projection) {
    panels.storage = call.projection->storage;
    inputs.push_back(&panels);
  }
  std::vector<Tensor*> outputs = {&call.out};
  for (auto* tensor : {&call.valuesAfter, &call.keysAfter, &call.logScaleAfter})
    if (*tensor) outputs.push_back(&**tensor);
  enqueue(call.op, inputs, outputs, [call, work](const Backend& table, Parallel& parallel) {
    if (work) return work(call, table, parallel);
    LinearAttentionArgs args = argumentsOf(call);
    std::vector<double> gammas;
    if (call.gammas) gammas = readNumbers(*call.gammas, table, parallel);
    args.gammas = call.gammas ? gammas.data() : nullptr;
    table.linearAttention(args, parallel);
  });
}

StatefulOutput<LinearState> enqueueNormalised(const LinearCall& call) {
  enqueueLinear(call);
  if (!call.valuesAfter) return {call.out, std::nullopt};
  return {call.out, LinearState{*call.valuesAfter, *call.keysAfter, call.logScaleAfter}};
}

}  // namespace longspan
