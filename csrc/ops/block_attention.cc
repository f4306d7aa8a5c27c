// Attention that knows its keys by blocks: hierarchicalAttention (H-Transformer-1D) and landmarkAttention.
#include "attention_call.h"

namespace longspan {
namespace {

int64_t checkedBlockSize(const char* op, int64_t blockSize, int64_t least, int64_t most) {
  if (blockSize < least || blockSize > most)
    badArgument(op, "blockSize", concat("blockSize must be in [", least, ", ", most, "], got ", blockSize));
  return blockSize;
}

// Args with q, k, v, out and scale filled in, given to the row of the table
template <class Args>
Tensor enqueued(const AttentionCall& call, const Tensor& givenQ, const Tensor& givenK, const Tensor& givenV,
                const Args& options, void (*Backend::*kernel)(const Args&, Parallel&)) {
  Tensor q = denseRows(givenQ), k = denseRows(givenK), v = denseRows(givenV);
  Tensor out = newOutput(call.op, q.dtype, {call.batch, call.seqLenQ, call.numHeads, call.valueDim});
  enqueue(call.op, {&q, &k, &v}, {&out}, [=, scale = call.scale](const Backend& table, Parallel& parallel) {
    Args args = options;
    args.q = q.view(), args.k = k.view(), args.v = v.view(), args.out = out.view();
    args.scale = scale;
    (table.*kernel)(args, parallel);
  });
  return out;
}

}  // namespace

Tensor hierarchicalAttention(const Tensor& q, const Tensor& k, const Tensor& v, const HierarchicalOptions& options) {
  constexpr const char* op = "hierarchicalAttention";
  Dims dims(op);
  AttentionCall call = plainCall(op, dims, q, k, v, options.scale);
  HierarchicalArgs args{};
  args.blockSize = checkedBlockSize(op, options.blockSize, 1, 512);
  args.causal = options.causal;
  args.coarsenQueries = options.coarsenQueries.value_or(!options.causal);
  dims.require(
      !args.coarsenQueries || call.seqLenQ == call.seqLenKV, "q",
      concat("with coarsenQueries seqLenQ must be seqLenKV = ", call.seqLenKV, " (means are over all queries)"),
      concat("seqLenQ = ", call.seqLenQ));
  dims.require(args.causal || call.seqLenQ <= call.seqLenKV, "q",
               concat("without causal seqLenQ must not pass seqLenKV = ", call.seqLenKV),
               concat("seqLenQ = ", call.seqLenQ));
  return enqueued(call, q, k, v, args, &Backend::hierarchicalAttention);
}

Tensor landmarkAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LandmarkOptions& options) {
  constexpr const char* op = "landmarkAttention";
  Dims dims(op);
  AttentionCall call = plainCall(op, dims, q, k, v, options.scale);
  if (!options.causal)
    throw Error(Code::Unsupported,
                concat(op,
                       ": causal: false is not possible: a block is known by the landmark at its end, and the last "
                       "block may have none yet"))
        .with("feature", "landmarkAttention without causal")
        .with("known", "causal: true");
  if (!options.blockSize) badArgument(op, "blockSize", "blockSize must be given: tokens of a block with its landmark");
  LandmarkArgs args{};
  args.blockSize = checkedBlockSize(op, *options.blockSize, 2, maxLandmarkBlock);
  if (options.topK && *options.topK < 0)
    badArgument(op, "topK", concat("topK must not be negative, got ", *options.topK));
  args.topK = options.topK.value_or(-1);
  return enqueued(call, q, k, v, args, &Backend::landmarkAttention);
}

}  // namespace longspan
