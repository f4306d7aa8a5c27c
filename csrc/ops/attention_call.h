// What flashAttention and cacheAttention share: options checked against named dims, and made into kernel arguments.
#pragma once
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

struct AttentionCall {
  const char* op;
  int64_t batch, seqLenQ, numHeads, headDim, seqLenKV, numKVHeads, valueDim;
  Pattern pattern;
  float scale, softcap;
  std::optional<Tensor> alibiSlopes, bias, sinkLogits;
  Tensor q, out;
  std::optional<Tensor> lse;
};

// Checks q (already bound), the options and the sizes; allocates out and lse.
AttentionCall attentionCall(const char* op, Dims& dims, const Tensor& q, int64_t seqLenKV, int64_t numKVHeads,
                            int64_t valueDim, const FlashAttentionOptions& options);
// The arguments that do not depend on where keys and values are.
AttentionArgs argumentsOf(const AttentionCall& call);
AttentionOutput outputOf(const AttentionCall& call);
Pattern concretePattern(const char* op, const FlashAttentionOptions& options, int64_t seqLenQ, int64_t seqLenKV);
Pattern concretePattern(const char* op, const PatternSpec& spec, int64_t seqLenQ, int64_t seqLenKV);

}  // namespace longspan
