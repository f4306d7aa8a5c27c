// Attention inside groups: a query sees the keys of its own group, up to a position. What hash-sparse, query-key-sparse
// and routing attention share: from a group id per token to sorted lists, and through the kernel.
#pragma once
#include "attention_call.h"

namespace longspan {

struct GroupedCall {
  const char* op;
  Tensor q, k, v, out;
  std::optional<Tensor> lse;
  int batch, seqLenQ, seqLenKV, numHeads, numKVHeads, headDim, valueDim;
  int keyHeads;  // lists of keys: one a KV head, or one a query head
  int after;     // the last position a query sees is its own + after
  float scale;
  Tensor groupQ, groupKV;      // [batch, numHeads, seqLenQ], [batch, keyHeads, seqLenKV] int32: the ids
  Tensor listQ, listKV, runs;  // two int32 a token each: order and group; spans of the groups of keys

  std::vector<const Tensor*> inputs() const { return {&q, &k, &v}; }
  std::vector<Tensor*> outputs();
};

struct GroupedOptions {
  std::optional<double> scale;
  bool returnLse;
};
// Checks q, k and v; allocates all but the ids, and those too unless they are given.
GroupedCall groupedCall(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                        const GroupedOptions& options, bool listsPerQueryHead = false);
void allocateGroups(GroupedCall& call);
// From the ids to out
void attendGroups(const GroupedCall& call, const Backend& table, Parallel& parallel);
AttentionArgs argumentsOf(const GroupedCall& call);

}  // namespace longspan
