// What a call of flashAttention will do, said before it runs: kernel, tiles, pairs, flops, bytes.
#include "attention_call.h"

namespace longspan {
namespace {

double bytesOf(const Tensor& tensor) { return double(tensor.size()) * sizeOf(tensor.dtype); }

// Allowed pairs of a part, over all sequences and query heads
double pairsOf(const Pattern& pattern, int64_t batches, int64_t numHeads) {
  double pairs = 0;
  int64_t rows = pattern.each ? pattern.eachBatch : 1, heads = pattern.each ? pattern.eachHead : 1;
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t h = 0; h < heads; ++h)
      pairs += allowedPairs(pattern.of(int(b), int(h))) * double(batches / rows) * double(numHeads / heads);
  return pairs;
}

}  // namespace

AttentionExplanation explainAttention(const Tensor& givenQ, const Tensor& givenK, const Tensor& givenV,
                                      const FlashAttentionOptions& options) {
  const char* op = "explainAttention";
  auto [q, k, v, call, withoutBatchAxis] = flashCall(op, givenQ, givenK, givenV, options);
  call.out = q;  // for its strides alone
  if (hasSequences(options)) {
    if (!listsReady(options)) badArgument(op, "cuSeqLensQ", "the lists of lengths are still being computed");
    call.sequences = readSequences(call, k, v, options);
  }
  const ConcretePattern& pattern = call.sequences ? *call.sequences->pattern : *call.pattern;
  waitForLists(pattern);
  AttentionArgs args = argumentsOf(call);
  args.out = call.q.view();
  args.out.shape[3] = call.valueDim;
  args.k = k.view();
  args.v = v.view();
  args = sequencedArguments(call, args);
  args.accumulate = pattern.parts.size() > 1;
  AttentionExplanation result;
  result.isa = backend().name;
  result.bytes = bytesOf(q) + bytesOf(k) + bytesOf(v) + bytesOf(q) / double(call.headDim) * double(call.valueDim);
  if (args.q.shape[0] * args.q.shape[1] * args.q.shape[2] == 0) return result;
  for (const Pattern& part : pattern.parts) {
    AttentionPlan plan{};
    args.pattern = &part;
    backend().planAttention(args, plan);
    AttentionPartPlan facts;
    facts.pattern = walkOf(part.of(0, 0)).name;
    facts.kernel = plan.kernel, facts.product = plan.product;
    facts.queriesPerItem = plan.queriesPerItem, facts.headsPerItem = plan.headsPerItem;
    facts.keysPerTile = plan.keysPerTile, facts.items = plan.items, facts.keyParts = plan.keyParts;
    facts.scratchBytesPerThread = plan.scratchBytesPerThread;
    facts.allowedPairs = pairsOf(part, args.q.shape[0], call.numHeads);
    result.flops += 2.0 * double(call.headDim + call.valueDim) * facts.allowedPairs;
    result.parts.push_back(facts);
  }
  return result;
}

}  // namespace longspan
