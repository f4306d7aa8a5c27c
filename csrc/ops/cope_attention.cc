// Contextual position embedding: Golovneva et al. 2024, "Contextual Position Encoding: Learning to Count What's
// Important", and the repository facebookresearch/RAM.
#include "attention_call.h"

namespace longspan {
namespace {

// [positions, headDim] for all heads, or [numHeads, positions, headDim] → float32 of the latter shape
Tensor checkedEmbeddings(const AttentionCall& call, const std::optional<Tensor>& given) {
  const char *op = call.op, *name = "positionEmbeddings";
  if (!given) badArgument(op, name, "positionEmbeddings must be given: one row for each position");
  requireDType(op, name, *given, floatDTypes);
  const int rank = given->rank();
  const bool fits = (rank == 2 || (rank == 3 && given->shape[0] == call.numHeads)) &&
                    given->shape[rank - 1] == call.headDim && given->shape[rank - 2] >= 1;
  if (!fits)
    Dims(op).mismatch(name, concat("[positions, headDim = ", call.headDim, "] or [numHeads = ", call.numHeads, ", …]"),
                      given->shape);
  if (given->shape[rank - 2] > maxCopePositions)
    throw Error(Code::Unsupported,
                concat(op, ": at most ", maxCopePositions, " positions, got ", given->shape[rank - 2]))
        .with("feature", concat(given->shape[rank - 2], " positions"))
        .with("known", concat("1 to ", maxCopePositions));
  Tensor embeddings = contiguous(converted(*given, DType::Float32));
  if (rank == 3) return embeddings;
  embeddings.shape.insert(embeddings.shape.begin(), call.numHeads);
  embeddings.strides.insert(embeddings.strides.begin(), 0);
  return embeddings;
}

}  // namespace

Tensor copeAttention(const Tensor& givenQ, const Tensor& givenK, const Tensor& givenV, const CopeOptions& options) {
  constexpr const char* op = "copeAttention";
  Dims dims(op);
  AttentionCall call = plainCall(op, dims, givenQ, givenK, givenV, options.scale);
  if (options.variant != "code" && options.variant != "paper")
    badArgument(op, "variant", concat("variant must be \"code\" or \"paper\", got \"", options.variant, "\""));
  Tensor embeddings = checkedEmbeddings(call, options.positionEmbeddings);
  Tensor q = denseRows(givenQ), k = denseRows(givenK), v = denseRows(givenV);
  Tensor out = newOutput(op, q.dtype, {call.batch, call.seqLenQ, call.numHeads, call.valueDim});
  const float others = options.variant == "code" ? call.scale : 1.f;
  enqueue(op, {&q, &k, &v, &embeddings}, {&out}, [=, scale = call.scale](const Backend& table, Parallel& parallel) {
    CopeArgs args{};
    args.q = q.view(), args.k = k.view(), args.v = v.view(), args.out = out.view();
    args.embeddings = embeddings.view();
    args.scale = scale, args.gateScale = args.positionScale = others;
    table.copeAttention(args, parallel);
  });
  return out;
}

}  // namespace longspan
