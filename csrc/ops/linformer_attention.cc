// Linformer (Wang et al. 2020): softmax(scale · q (Eᵀ k)ᵀ) Fᵀ v. The projected keys and values are float32, so that the
// sums over the sequence are not rounded before the softmax.
#include "attention_call.h"

namespace longspan {
namespace {

constexpr const char* op = "linformerAttention";

// [numKVHeads, seqLen or more, rows], a shared projection repeated by a zero stride
Tensor checkedProjection(const AttentionCall& call, const Dims& dims, const char* name, const Tensor& given) {
  requireDType(op, name, given, floatDTypes);
  Tensor projection = given;
  if (given.rank() == 2) {
    projection.shape.insert(projection.shape.begin(), call.numKVHeads);
    projection.strides.insert(projection.strides.begin(), 0);
  }
  dims.require(projection.rank() == 3 && projection.shape[0] == call.numKVHeads &&
                   projection.shape[1] >= call.seqLenKV && projection.shape[2] > 0,
               name,
               concat(name, " must be [seqLen, rows] or [numKVHeads = ", call.numKVHeads,
                      ", seqLen, rows] with seqLen of ", call.seqLenKV, " (seqLenKV) or more"),
               toString(given.shape));
  return projection;
}

// [batch, rows, numKVHeads, dim] float32
Tensor projected(const Tensor& given, const Tensor& projection) {
  Tensor x = denseRows(given);
  Tensor out = newOutput(op, DType::Float32, {x.shape[0], projection.shape[2], x.shape[2], x.shape[3]});
  enqueue(op, {&x, &projection}, {&out}, [=](const Backend& table, Parallel& parallel) {
    table.projectTokens({x.view(), projection.view(), out.view()}, parallel);
  });
  return out;
}

}  // namespace

Tensor linformerAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LinformerOptions& options) {
  Dims dims(op);
  AttentionCall call = plainCall(op, dims, q, k, v, options.scale);
  if (options.causal)
    throw Error(Code::Unsupported, concat(op,
                                          ": causal is not possible: every projected key is a sum over all tokens, "
                                          "later ones too; lunaAttention and hierarchicalAttention have causal forms"))
        .with("feature", "causal linformerAttention")
        .with("known", "causal: false");
  if (!options.projectionK)
    badArgument(op, "projectionK", "projectionK must be given: it maps the sequence to the keys that are attended");
  Tensor forKeys = checkedProjection(call, dims, "projectionK", *options.projectionK), forValues = forKeys;
  if (options.projectionV) forValues = checkedProjection(call, dims, "projectionV", *options.projectionV);
  dims.require(forValues.shape[2] == forKeys.shape[2], "projectionV",
               concat("projectionV must have ", forKeys.shape[2], " rows like projectionK"),
               toString(options.projectionV.value_or(forKeys).shape));
  Tensor keys = projected(k, forKeys), values = projected(v, forValues);
  return fullAttention(op, call.scale, q, keys, values, q.dtype);
}

}  // namespace longspan
