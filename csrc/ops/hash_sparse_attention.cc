// Sparse causal flash attention (Pagliardini et al. 2023, "Faster Causal Attention Over Large Sequences Through Sparse
// Flash Attention"): only queries and keys of equal hash, or only those that are kept. Unlike Reformer's chunks, groups
// have any size, so that no collision is missed.
#include <algorithm>

#include "grouped_attention.h"
#include "hash_directions.h"

namespace longspan {
namespace {

// [batch, seqLen, heads] becomes [batch, heads, seqLen] int32
Tensor idsPerHead(const char* op, const char* name, const char* spec, const Tensor& given, const Shape& wanted) {
  requireDType(op, name, given, {DType::Int32, DType::UInt8, DType::Int8});
  if (given.shape != wanted) Dims(op).mismatch(name, concat(spec, " = ", toString(wanted)), given.shape);
  Tensor ids = contiguous(transpose(converted(given, DType::Int32), 1, 2));
  return ids;
}

AttentionOutput run(GroupedCall call, std::vector<const Tensor*> more, std::vector<Tensor*> written,
                    std::function<void(const GroupedCall&, const Backend&, Parallel&)> prepare) {
  std::vector<const Tensor*> inputs = call.inputs();
  inputs.insert(inputs.end(), more.begin(), more.end());
  std::vector<Tensor*> outputs = call.outputs();
  outputs.insert(outputs.end(), written.begin(), written.end());
  enqueue(call.op, inputs, outputs, [call, prepare](const Backend& table, Parallel& parallel) {
    if (call.q.size() == 0) return;
    prepare(call, table, parallel);
    if (!parallel.cancelled()) attendGroups(call, table, parallel);
  });
  return {call.out, call.lse};
}

}  // namespace

AttentionOutput hashSparseAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const HashSparseAttentionOptions& options) {
  const char* op = "hashSparseAttention";
  GroupedCall call = groupedCall(op, q, k, v, {options.scale, options.returnLse});
  if (options.causal) call.after = options.includeSelf ? 0 : -1;
  if (options.hashesQ || options.hashesK) {
    if (!options.hashesQ || !options.hashesK)
      badArgument(op, "hashesQ", "hashesQ and hashesK must be given together, or neither");
    const char* other = options.buckets ? "buckets" : options.rotations ? "rotations" : nullptr;
    if (other) badArgument(op, other, concat(other, " must not be given with hashesQ and hashesK"));
    call.groupQ = idsPerHead(op, "hashesQ", "[batch, seqLenQ, numHeads]", *options.hashesQ,
                             {call.batch, call.seqLenQ, call.numHeads});
    call.groupKV = idsPerHead(op, "hashesK", "[batch, seqLenKV, numKVHeads]", *options.hashesK,
                              {call.batch, call.seqLenKV, call.numKVHeads});
    allocateGroups(call);
    return run(call, {&call.groupQ, &call.groupKV}, {}, [](const GroupedCall&, const Backend&, Parallel&) {});
  }
  HashDirections directions = hashDirections({op, options.buckets, options.rotations, 16, 1, call.headDim,
                                              call.numKVHeads, "numKVHeads", false, options.seed, Device{}});
  allocateGroups(call);
  return run(call, {&directions.packed}, {&call.groupQ, &call.groupKV},
             [directions](const GroupedCall& call, const Backend& table, Parallel& parallel) {
               directions.hash(call.q, call.numHeads, call.groupQ, table, parallel);
               directions.hash(call.k, call.keyHeads, call.groupKV, table, parallel);
             });
}

AttentionOutput qkSparseAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                  const QkSparseAttentionOptions& options) {
  const char* op = "qkSparseAttention";
  GroupedCall call = groupedCall(op, q, k, v, {options.scale, options.returnLse});
  if (options.causal) call.after = 0;
  Tensor keepQ, keepK;
  std::vector<const Tensor*> inputs;
  if (options.keepQ) {
    keepQ = idsPerHead(op, "keepQ", "[batch, seqLenQ, numHeads]", *options.keepQ,
                       {call.batch, call.seqLenQ, call.numHeads});
    inputs.push_back(&keepQ);
  }
  if (options.keepK) {
    keepK = idsPerHead(op, "keepK", "[batch, seqLenKV, numKVHeads]", *options.keepK,
                       {call.batch, call.seqLenKV, call.numKVHeads});
    inputs.push_back(&keepK);
  }
  allocateGroups(call);
  return run(call, inputs, {&call.groupQ, &call.groupKV},
             [keepQ, keepK](const GroupedCall& call, const Backend&, Parallel&) {
               auto mark = [](const Tensor& keep, const Tensor& group, int dropped) {  // kept ones are one group
                 int* ids = static_cast<int*>(group.data());
                 const int* kept = keep.storage ? static_cast<const int*>(keep.data()) : nullptr;
                 for (int64_t i = 0; i < group.size(); ++i) ids[i] = kept && !kept[i] ? dropped : 0;
               };
               mark(keepQ, call.groupQ, 1);
               mark(keepK, call.groupKV, 2);
             });
}

}  // namespace longspan
