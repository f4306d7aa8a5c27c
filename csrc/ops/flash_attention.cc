// softmax(scale · q kᵀ + mask) v without the matrix of scores (Dao et al. 2022, FlashAttention), over any pattern.
#include "attention_call.h"

namespace longspan {
namespace {

// Packed sequences may come without the batch axis: [tokens, heads, dim].
Tensor withBatch(const Tensor& tensor, bool packed) {
  if (!packed || tensor.rank() != 3) return tensor;
  Tensor view = tensor;
  view.shape.insert(view.shape.begin(), 1);
  view.strides.insert(view.strides.begin(), 0);
  return view;
}

AttentionOutput withoutBatch(const AttentionOutput& output, bool packed) {
  if (!packed) return output;
  AttentionOutput result = output;
  result.out.shape.erase(result.out.shape.begin());
  result.out.strides.erase(result.out.strides.begin());
  if (!result.lse) return result;
  result.lse->shape.erase(result.lse->shape.begin());
  result.lse->strides.erase(result.lse->strides.begin());
  return result;
}

void requireBlockTable(const char* op, const Tensor& table) {
  requireDType(op, "blockTable", table, {DType::Int32});
  if (table.rank() != 2) Dims(op).mismatch("blockTable", "[batch, blocks]", table.shape);
}

}  // namespace

FlashCall flashCall(const char* op, const Tensor& givenQ, const Tensor& givenK, const Tensor& givenV,
                    const FlashAttentionOptions& options) {
  bool packed = options.cuSeqLensQ.has_value(), paged = options.blockTable.has_value();
  FlashCall result{withBatch(givenQ, packed),
                   withBatch(givenK, packed && !paged),
                   withBatch(givenV, packed && !paged),
                   {},
                   packed && givenQ.rank() == 3};
  const Tensor &q = result.q, &k = result.k, &v = result.v;
  Dims dims(op);
  dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  bool ownBatch = packed || options.cuSeqLensKV;  // then the lists say how many sequences there are
  const char *keysAre = paged      ? "[numPages, pageSize, numKVHeads, headDim]"
                        : ownBatch ? "[batchKV, seqLenKV, numKVHeads, headDim]"
                                   : "[batch, seqLenKV, numKVHeads, headDim]",
             *valuesAre = paged      ? "[numPages, pageSize, numKVHeads, valueDim]"
                          : ownBatch ? "[batchKV, seqLenKV, numKVHeads, valueDim]"
                                     : "[batch, seqLenKV, numKVHeads, valueDim]";
  auto keys = dims.bind<4>(k, "k", keysAre);
  int64_t valueDim = dims.bind<4>(v, "v", valuesAre)[3];
  requireDType(op, "q", q, floatDTypes);
  requireSameDType(op, "k", k, "q", q.dtype);
  requireSameDType(op, "v", v, "q", q.dtype);
  if (paged) requireBlockTable(op, *options.blockTable);
  int64_t seqLenKV = paged ? keys[1] * options.blockTable->shape[1] : keys[1];
  result.call = attentionCall(op, dims, q, seqLenKV, keys[2], valueDim, options, !hasSequences(options));
  return result;
}

AttentionOutput flashAttention(const Tensor& givenQ, const Tensor& givenK, const Tensor& givenV,
                               const FlashAttentionOptions& given) {
  const char* op = "flashAttention";
  FlashAttentionOptions options = given;
  for (auto* list : {&options.cuSeqLensQ, &options.cuSeqLensKV, &options.seqLensKV})
    if (*list) (*list)->tensor = onDevice((*list)->tensor, Device{});
  if (options.blockTable) options.blockTable = onDevice(*options.blockTable, Device{});
  auto [q, k, v, call, withoutBatchAxis] = flashCall(op, givenQ, givenK, givenV, options);
  allocateOutputs(call, options.returnLse);
  bool sequences = hasSequences(options), ready = listsReady(options);
  if (sequences && ready) call.sequences = readSequences(call, k, v, options);
  std::vector<const Tensor*> inputs = call.inputs();
  inputs.insert(inputs.end(), {&k, &v});
  std::vector<const Tensor*> lists = call.lists();
  for (const auto* list : {&options.cuSeqLensQ, &options.cuSeqLensKV, &options.seqLensKV})
    if (*list) lists.push_back(&(*list)->tensor);
  if (options.blockTable) lists.push_back(&*options.blockTable);
  std::vector<Tensor*> outputs = {&call.out};
  if (call.lse) outputs.push_back(&*call.lse);
  std::optional<FlashAttentionOptions> later;  // the lists are still being computed
  if (sequences && !ready) later = options;
  Work work = [call = call, k = k, v = v, later](const Backend& table, Parallel& parallel) {
    AttentionCall now = call;
    if (later) now.sequences = readSequences(call, k, v, *later);
    AttentionArgs args = argumentsOf(now);
    args.k = k.view();
    args.v = v.view();
    runAttention(now, args, table, parallel);
  };
  enqueue(op, hasRows<&Backend::attention>, inputs, outputs, std::move(work), lists);
  return withoutBatch(outputOf(call), withoutBatchAxis);
}

AttentionPart mergeAttention(const std::vector<AttentionPart>& parts) {
  if (parts.empty()) badArgument("mergeAttention", "parts", "parts must hold at least one {out, lse}");
  Dims dims("mergeAttention");
  DType dtype = parts[0].out.dtype;
  for (const auto& part : parts) {
    dims.bind<4>(part.out, "out", "[batch, seqLenQ, numHeads, valueDim]");
    dims.bind<3>(part.lse, "lse", "[batch, numHeads, seqLenQ]");
    requireDType("mergeAttention", "out", part.out, floatDTypes);
    requireSameDType("mergeAttention", "out", part.out, "the first part", dtype);
    requireDType("mergeAttention", "lse", part.lse, {DType::Float32});
  }
  Tensor out = newOutput("mergeAttention", dtype, parts[0].out.shape, parts[0].out.device()),
         lse = newOutput("mergeAttention", DType::Float32, parts[0].lse.shape, parts[0].out.device());
  std::vector<const Tensor*> inputs;
  for (const auto& part : parts) inputs.insert(inputs.end(), {&part.out, &part.lse});
  enqueue("mergeAttention", hasRows<&Backend::mergeAttention>, inputs, {&out, &lse},
          [=](const Backend& table, Parallel& parallel) {
            std::vector<TensorView> outs, lses;
            for (const auto& part : parts) {
              outs.push_back(part.out.view());
              lses.push_back(part.lse.view());
            }
            table.mergeAttention({int(parts.size()), outs.data(), lses.data(), out.view(), lse.view()}, parallel);
          });
  return {out, lse};
}

}  // namespace longspan
