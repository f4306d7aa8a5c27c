#include "attention_call.h"

#include <cmath>

namespace longspan {
namespace {

constexpr int64_t maxSeqLen = int64_t(1) << 30;
constexpr int64_t maxHeadDim = 256;

void requireSizes(const AttentionCall& call, Dims& dims, const Tensor& q) {
  dims.require(call.numKVHeads > 0 ? call.numHeads % call.numKVHeads == 0 : call.numHeads == 0, "q",
               concat("numHeads must be a multiple of numKVHeads = ", call.numKVHeads),
               concat("numHeads = ", call.numHeads));
  requireWidths(call.op, call.headDim, call.valueDim);
  requireLengths(dims, q, call.seqLenKV);
}

std::optional<Tensor> perHead(const AttentionCall& call, const char* name, const std::optional<Tensor>& given) {
  const char* op = call.op;
  const int64_t numHeads = call.numHeads;
  if (!given) return given;
  requireDType(op, name, *given, floatDTypes);
  Dims(op).require(given->rank() == 1 && given->shape[0] == numHeads, name,
                   concat(name, " must be [numHeads = ", numHeads, "]"), toString(given->shape));
  return onDevice(contiguous(converted(*given, DType::Float32)), call.q.device());
}

// float32 of the wanted shape, with zero strides along axes it is repeated over; missing axes are in front.
std::optional<Tensor> broadcastTo(const AttentionCall& call, const char* name, const std::optional<Tensor>& given,
                                  const Shape& wanted, const char* axes) {
  if (!given) return given;
  requireDType(call.op, name, *given, floatDTypes);
  Tensor from = onDevice(converted(*given, DType::Float32), call.q.device()), view = from;
  const int rank = int(wanted.size());
  view.shape = wanted;
  view.strides.assign(wanted.size(), 0);
  bool fits = from.rank() <= rank;
  for (int i = 0; fits && i < from.rank(); ++i) {
    int at = rank - from.rank() + i;
    if (from.shape[i] == wanted[at])
      view.strides[at] = from.strides[i];
    else
      fits = from.shape[i] == 1;
  }
  if (!fits) Dims(call.op).mismatch(name, concat("broadcastable to ", axes, " = ", toString(wanted)), given->shape);
  return view;
}

// [numHeads or 1, distances], at least one distance
std::optional<Tensor> distanceTable(const AttentionCall& call, const FlashAttentionOptions& options) {
  const auto& given = options.distanceBias;
  if (!given) return given;
  if (given->rank() != 2 || given->shape[1] < 1)
    Dims(call.op).mismatch("distanceBias", "[numHeads or 1, distances]", given->shape);
  return broadcastTo(call, "distanceBias", given, {call.numHeads, given->shape[1]}, "[numHeads, distances]");
}

void readScores(AttentionCall& call, const FlashAttentionOptions& options) {
  call.alibiSlopes = perHead(call, "alibiSlopes", options.alibiSlopes);
  call.sinkLogits = perHead(call, "sinkLogits", options.sinkLogits);
  call.bias = broadcastTo(call, "bias", options.bias, {call.batch, call.numHeads, call.seqLenQ, call.seqLenKV},
                          "[batch, numHeads, seqLenQ, seqLenKV]");
  call.queryScale = broadcastTo(call, "queryScale", options.queryScale, {call.batch, call.numHeads, call.seqLenQ},
                                "[batch, numHeads, seqLenQ]");
  call.distanceBias = distanceTable(call, options);
  call.expireSpans =
      broadcastTo(call, "expireSpans", options.expireSpans, {call.batch, call.seqLenKV}, "[batch, seqLenKV]");
  if (std::abs(options.firstDistance) > (int64_t(1) << 30))
    badArgument(call.op, "firstDistance", concat("firstDistance must be in ±2^30, got ", options.firstDistance));
  requireFinite(call.op, "expireRamp", options.expireRamp);
  if (options.expireRamp <= 0)
    badArgument(call.op, "expireRamp", concat("expireRamp must be positive, got ", options.expireRamp));
  call.firstDistance = int(options.firstDistance);
  call.expireRamp = float(options.expireRamp);
}

float checkedScale(const AttentionCall& call, const std::optional<double>& given) {
  double scale = given.value_or(1 / std::sqrt(double(call.headDim)));
  requireFinite(call.op, "scale", scale);
  return float(scale);
}

}  // namespace

void requireWidths(const char* op, int64_t headDim, int64_t valueDim) {
  for (auto [dim, name] : {std::pair{headDim, "headDim"}, {valueDim, "valueDim"}})
    if (dim < 1 || dim > maxHeadDim)
      throw Error(Code::Unsupported, concat(op, ": ", name, " must be in [1, ", maxHeadDim, "], got ", dim))
          .with("feature", concat(name, " ", dim))
          .with("known", concat("1 to ", maxHeadDim));
}

void requireLengths(Dims& dims, const Tensor& q, int64_t seqLenKV) {
  dims.require(q.shape[1] < maxSeqLen && seqLenKV < maxSeqLen, "q",
               concat("sequence lengths must be below ", maxSeqLen), toString(q.shape));
}

AttentionCall attentionCall(const char* op, Dims& dims, const Tensor& q, int64_t seqLenKV, int64_t numKVHeads,
                            int64_t valueDim, const FlashAttentionOptions& options, bool patterned) {
  AttentionCall call{};
  call.op = op;
  call.batch = q.shape[0], call.seqLenQ = q.shape[1], call.numHeads = q.shape[2], call.headDim = q.shape[3];
  call.seqLenKV = seqLenKV, call.numKVHeads = numKVHeads, call.valueDim = valueDim;
  requireSizes(call, dims, q);
  call.scale = checkedScale(call, options.scale);
  requireFinite(op, "softcap", options.softcap.value_or(0));
  if (options.softcap && *options.softcap <= 0)
    badArgument(op, "softcap", concat("softcap must be positive, got ", *options.softcap));
  call.softcap = float(options.softcap.value_or(0));
  PatternSpec spec = patternOf(op, options);
  if (patterned) call.pattern = concretePattern(op, spec, {call.batch, call.numHeads, call.seqLenQ, seqLenKV});
  call.q = q;
  readScores(call, options);
  return call;
}

void allocateOutputs(AttentionCall& call, bool withLse) {
  call.out =
      newOutput(call.op, call.q.dtype, {call.batch, call.seqLenQ, call.numHeads, call.valueDim}, call.q.device());
  if (withLse)
    call.lse = newOutput(call.op, DType::Float32, {call.batch, call.numHeads, call.seqLenQ}, call.q.device());
}
AttentionCall plainCall(const char* op, Dims& dims, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<double>& scale) {
  AttentionCall call{};
  call.op = op;
  auto queries = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  call.batch = queries[0], call.seqLenQ = queries[1], call.numHeads = queries[2], call.headDim = queries[3];
  auto keys = dims.bind<4>(k, "k", "[batch, seqLenKV, numKVHeads, headDim]");
  call.seqLenKV = keys[1], call.numKVHeads = keys[2];
  call.valueDim = dims.bind<4>(v, "v", "[batch, seqLenKV, numKVHeads, valueDim]")[3];
  requireDType(op, "q", q, floatDTypes);
  requireSameDType(op, "k", k, "q", q.dtype);
  requireSameDType(op, "v", v, "q", q.dtype);
  requireSizes(call, dims, q);
  call.scale = checkedScale(call, scale);
  return call;
}

Tensor fullAttention(const char* op, float scale, const Tensor& q, const Tensor& k, const Tensor& v, DType dtype) {
  AttentionCall call{};
  call.op = op;
  call.seqLenQ = q.shape[1], call.seqLenKV = k.shape[1];
  call.scale = scale;
  PatternSpec spec;
  spec.kind = "full";
  call.pattern = concretePattern(op, spec, {q.shape[0], q.shape[2], call.seqLenQ, call.seqLenKV});
  call.q = q;
  call.out = newOutput(op, dtype, {q.shape[0], call.seqLenQ, q.shape[2], v.shape[3]}, q.device());
  enqueue(op, hasRows<&Backend::attention>, {&q, &k, &v}, {&call.out},
          [call, k, v](const Backend& table, Parallel& parallel) {
            AttentionArgs args = argumentsOf(call);
            args.k = k.view();
            args.v = v.view();
            runAttention(call, args, table, parallel);
          });
  return call.out;
}

std::vector<const Tensor*> AttentionCall::inputs() const {
  std::vector<const Tensor*> all = {&q};
  for (const auto* given : {&alibiSlopes, &bias, &sinkLogits, &queryScale, &distanceBias, &expireSpans})
    if (*given) all.push_back(&**given);
  return all;
}

std::vector<const Tensor*> AttentionCall::lists() const {
  std::vector<const Tensor*> all;
  const PatternPointer& used = sequences ? sequences->pattern : pattern;
  if (used)
    for (const Tensor& list : used->tensors) all.push_back(&list);
  return all;
}

AttentionArgs argumentsOf(const AttentionCall& call) {
  AttentionArgs args{};
  args.q = call.q.view();
  args.out = call.out.view();
  args.lse = viewOf(call.lse);
  args.scale = call.scale;
  args.softcap = call.softcap;
  args.alibiSlopes = viewOf(call.alibiSlopes);
  args.bias = viewOf(call.bias);
  args.sinkLogits = viewOf(call.sinkLogits);
  args.queryScale = viewOf(call.queryScale);
  args.distanceBias = viewOf(call.distanceBias);
  args.firstDistance = call.firstDistance;
  args.expireSpans = viewOf(call.expireSpans);
  args.expireRamp = call.expireRamp;
  args.offset = int(call.seqLenKV - call.seqLenQ);
  return args;
}

AttentionOutput outputOf(const AttentionCall& call) { return {call.out, call.lse}; }

}  // namespace longspan
