// What flashAttention and cacheAttention share: options checked against named dims, and made into kernel arguments.
#pragma once
#include "../core/shape.h"
#include "concrete_pattern.h"

namespace longspan {

struct Sequences {  // of a packed, padded or paged batch
  std::vector<SequenceView> views;
  std::vector<int> seqLensQ, pages;
  int64_t pageSize = 0, longestQ = 0, longestKV = 0;
  PatternPointer pattern;  // one entry a sequence
};

struct AttentionCall {
  const char* op;
  int64_t batch, seqLenQ, numHeads, headDim, seqLenKV, numKVHeads, valueDim;
  PatternPointer pattern;                      // absent where there are sequences
  std::shared_ptr<const Sequences> sequences;  // absent where they are read when the op runs
  float scale, softcap;
  int firstDistance;
  float expireRamp;
  std::optional<Tensor> alibiSlopes, bias, sinkLogits, queryScale, distanceBias, expireSpans;
  Tensor q, out;
  std::optional<Tensor> lse;
  std::vector<const Tensor*> inputs() const;  // beside keys and values
  std::vector<const Tensor*> lists() const;   // of the pattern
};

void requireWidths(const char* op, int64_t headDim, int64_t valueDim);  // 1 to 256
void requireLengths(Dims& dims, const Tensor& q, int64_t seqLenKV);     // below 2^30
// Checks q (already bound), the options and the sizes. `patterned`: also makes the pattern.
AttentionCall attentionCall(const char* op, Dims& dims, const Tensor& q, int64_t seqLenKV, int64_t numKVHeads,
                            int64_t valueDim, const FlashAttentionOptions& options, bool patterned = true);
void allocateOutputs(AttentionCall& call, bool withLse);
// q, k and v of an op that is no flash attention: shapes, dtypes and scale checked alike. `call` gets neither a pattern
// nor an output.
AttentionCall plainCall(const char* op, Dims& dims, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<double>& scale);
// Every query sees every key; k and v may be of another dtype than q, and so may the output.
Tensor fullAttention(const char* op, float scale, const Tensor& q, const Tensor& k, const Tensor& v, DType dtype);
// The arguments that do not depend on where keys and values are.
AttentionArgs argumentsOf(const AttentionCall& call);
AttentionOutput outputOf(const AttentionCall& call);
// flashAttention, up to where the kernel would be enqueued: no outputs yet.
struct FlashCall {
  Tensor q, k, v;
  AttentionCall call;
  bool packed;  // without the batch axis
};
FlashCall flashCall(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                    const FlashAttentionOptions& options);
// The arguments of the kernel, its sequences included; the pattern is for the caller to set.
AttentionArgs sequencedArguments(const AttentionCall& call, const AttentionArgs& args);
// Runs the kernel over every part of the pattern; k and v or the cache are set.
void runAttention(const AttentionCall& call, const AttentionArgs& args, const Backend& table, Parallel& parallel);

// Do the options speak of sequences of their own lengths?
bool hasSequences(const FlashAttentionOptions& options);
// Their values, checked against the tensors; may only be called once the lists are there (listsReady).
std::shared_ptr<const Sequences> readSequences(const AttentionCall& call, const Tensor& k, const Tensor& v,
                                               const FlashAttentionOptions& options);
bool listsReady(const FlashAttentionOptions& options);

}  // namespace longspan
