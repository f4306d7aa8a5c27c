// Luna (Ma et al. 2021): pack P' = attention(P, k, v), unpack attention(q, P', P'); or the causal core, with its state.
#include "attention_call.h"

namespace longspan {
namespace {

constexpr const char* op = "lunaAttention";
constexpr int64_t maxExtraLen = 1024;

// [batch, extraLen, heads, headDim] in q's dtype, a shared sequence repeated by a zero stride
Tensor checkedExtra(const AttentionCall& call, const Dims& dims, const LunaOptions& options) {
  if (!options.extra)
    badArgument(op, "extra", "extra must be given: the sequence P that keys and values are packed into");
  Tensor extra = *options.extra;
  requireDType(op, "extra", extra, floatDTypes);
  if (extra.rank() == 3) {
    extra.shape.insert(extra.shape.begin(), call.batch);
    extra.strides.insert(extra.strides.begin(), 0);
  }
  dims.require(extra.rank() == 4 && extra.shape[0] == call.batch && extra.shape[3] == call.headDim, "extra",
               concat("extra must be [extraLen, heads, headDim = ", call.headDim, "] or [batch = ", call.batch,
                      ", extraLen, heads, headDim]"),
               toString(options.extra->shape));
  int64_t extraLen = extra.shape[1], heads = extra.shape[2];
  dims.require(extraLen >= 1 && extraLen <= maxExtraLen, "extra", concat("extraLen must be in [1, ", maxExtraLen, "]"),
               toString(options.extra->shape));
  bool divide = heads > 0 && call.numKVHeads > 0 ? heads % call.numKVHeads == 0 && call.numHeads % heads == 0
                                                 : heads == 0 && call.numHeads == 0;
  dims.require(divide, "extra",
               concat("extra must have heads that numKVHeads = ", call.numKVHeads,
                      " divides and that divide numHeads = ", call.numHeads),
               toString(options.extra->shape));
  return extra;
}

// P' stays float32 between the two
LunaOutput packAndUnpack(const AttentionCall& call, const Dims& dims, const Tensor& extra, const Tensor& q,
                         const Tensor& k, const Tensor& v, const LunaOptions& options) {
  if (options.state || options.returnState)
    badArgument(op, options.state ? "state" : "returnState", "only the causal form has a state: give causal: true");
  dims.require(call.valueDim == call.headDim, "v",
               concat("valueDim must be headDim = ", call.headDim, ": packed values are keys as well"),
               concat("valueDim = ", call.valueDim));
  Tensor packed = fullAttention(op, call.scale, converted(extra, DType::Float32), k, v, DType::Float32);
  LunaOutput output;
  output.out = fullAttention(op, call.scale, q, packed, packed, q.dtype);
  if (options.returnExtra) output.extra = converted(packed, q.dtype);
  return output;
}

Tensor checkedSums(const char* name, const Tensor& given, const Shape& shape) {
  requireDType(op, name, given, {DType::Float32});
  Dims(op).require(given.shape == shape, name, concat("state.", name, " must be ", toString(shape)),
                   toString(given.shape));
  return contiguous(given);
}

LunaOutput causalCore(const AttentionCall& call, const Dims& dims, Tensor extra, const Tensor& givenQ,
                      const Tensor& givenK, const Tensor& givenV, const LunaOptions& options) {
  if (options.returnExtra)
    badArgument(op, "returnExtra", "the causal form does not pack the extra sequence: ask for returnState");
  int64_t extraLen = extra.shape[1], heads = extra.shape[2];
  const Shape keyShape = {call.batch, heads, call.headDim, extraLen},
              valueShape = {call.batch, heads, extraLen, call.valueDim};
  Tensor q = denseRows(givenQ), k = denseRows(givenK), v = denseRows(givenV), keySums, valueSums;
  extra = denseRows(converted(extra, q.dtype));
  int64_t positions = 0;
  if (options.state) {
    keySums = checkedSums("keySums", options.state->keySums, keyShape);
    valueSums = checkedSums("valueSums", options.state->valueSums, valueShape);
    positions = options.state->positions.value_or(-1);
    if (positions < 0) badArgument(op, "positions", "state must have positions, how many keys it has seen: 0 or more");
    dims.require(call.seqLenQ <= call.seqLenKV, "q",
                 concat("beside a state seqLenQ must not pass seqLenKV = ", call.seqLenKV),
                 concat("seqLenQ = ", call.seqLenQ));
  }
  LunaOutput output;
  output.out = newOutput(op, q.dtype, {call.batch, call.seqLenQ, call.numHeads, call.valueDim});
  if (options.returnState)
    output.state = {newOutput(op, DType::Float32, keyShape), newOutput(op, DType::Float32, valueShape),
                    positions + call.seqLenKV};
  bool resumed = options.state.has_value();
  std::vector<Tensor*> outputs = {&output.out};
  if (output.state) outputs.insert(outputs.end(), {&output.state->keySums, &output.state->valueSums});
  enqueue(op, {&q, &k, &v, &extra, resumed ? &keySums : &q, resumed ? &valueSums : &q}, outputs,
          [=, scale = call.scale](const Backend& table, Parallel& parallel) {
            LunaArgs args{q.view(), k.view(), v.view(), output.out.view(), extra.view(), {},
                          {},       {},       {},       positions,         scale};
            if (resumed) args.keySums = keySums.view(), args.valueSums = valueSums.view();
            if (output.state)
              args.newKeySums = output.state->keySums.view(), args.newValueSums = output.state->valueSums.view();
            table.lunaAttention(args, parallel);
          });
  return output;
}

}  // namespace

LunaOutput lunaAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LunaOptions& options) {
  Dims dims(op);
  AttentionCall call = plainCall(op, dims, q, k, v, options.scale);
  Tensor extra = checkedExtra(call, dims, options);
  return options.causal ? causalCore(call, dims, extra, q, k, v, options)
                        : packAndUnpack(call, dims, extra, q, k, v, options);
}

}  // namespace longspan
