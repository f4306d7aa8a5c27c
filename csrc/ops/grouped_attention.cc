#include "grouped_attention.h"

#include <cmath>

#include "bucket_order.h"

namespace longspan {
namespace {

int* intsOf(const Tensor& tensor, int64_t list, int64_t length) {
  return static_cast<int*>(tensor.data()) + list * length;
}

struct KeyGroups {  // of one list of keys: tokens by group, and the number of groups
  const uint32_t* ids;
  int *order, *group;
  KeySpan* spans;
  int count;
};

KeyGroups groupKeys(const GroupedCall& call, int64_t list) {
  int n = call.seqLenKV;
  int* lists = intsOf(call.listKV, list, 2 * int64_t(n));
  KeyGroups groups{reinterpret_cast<uint32_t*>(intsOf(call.groupKV, list, n)), lists, lists + n,
                   reinterpret_cast<KeySpan*>(intsOf(call.runs, list, 2 * int64_t(n))), 0};
  sortByKey(groups.ids, n, groups.order, groups.group);
  for (int row = 0; row < n; ++row) {
    bool begins = row == 0 || groups.ids[groups.order[row]] != groups.ids[groups.order[row - 1]];
    if (begins) groups.spans[groups.count++] = {row, row};
    groups.spans[groups.count - 1].end = row + 1;
    groups.group[groups.order[row]] = groups.count - 1;
  }
  return groups;
}

// The queries that have a group among the keys, by group; how many
int groupQueries(const GroupedCall& call, int64_t list, const KeyGroups& keys) {
  int n = call.seqLenQ, kept = 0, at = 0;
  int *order = intsOf(call.listQ, list, 2 * int64_t(n)), *group = order + n;
  const auto* ids = reinterpret_cast<const uint32_t*>(intsOf(call.groupQ, list, n));
  sortByKey(ids, n, order, group);
  auto idOf = [&](int g) { return keys.ids[keys.order[keys.spans[g].begin]]; };
  for (int row = 0; row < n; ++row) {
    int query = order[row];
    while (at < keys.count && idOf(at) < ids[query]) ++at;
    bool found = at < keys.count && idOf(at) == ids[query];
    group[query] = found ? at : -1;
    if (found) order[kept++] = query;
  }
  return kept;
}

Buckets patternOf(const GroupedCall& call, int64_t list, int kept, const KeyGroups& keys) {
  const int* order = intsOf(call.listQ, list, 2 * int64_t(call.seqLenQ));
  Buckets pattern{};
  pattern.seqLenQ = call.seqLenQ, pattern.seqLenKV = call.seqLenKV;
  pattern.queryOrder = order, pattern.keyOrder = keys.order;
  pattern.numQueryRows = kept, pattern.numKeyRows = call.seqLenKV;
  pattern.spans = keys.spans, pattern.numSpans = keys.count;
  pattern.relation = {order + call.seqLenQ, keys.group, nullptr, 0, 0, GroupRelation::noRing};
  pattern.after = call.after;
  pattern.spansAscend = true;
  pattern.everyQueryRow = kept == call.seqLenQ;
  return pattern;
}

}  // namespace

GroupedCall groupedCall(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                        const GroupedOptions& options, bool listsPerQueryHead) {
  Dims dims(op);
  auto [batch, seqLenQ, numHeads, headDim] = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  auto [b, seqLenKV, numKVHeads, d] = dims.bind<4>(k, "k", "[batch, seqLenKV, numKVHeads, headDim]");
  int64_t valueDim = dims.bind<4>(v, "v", "[batch, seqLenKV, numKVHeads, valueDim]")[3];
  requireDType(op, "q", q, floatDTypes);
  requireSameDType(op, "k", k, "q", q.dtype);
  requireSameDType(op, "v", v, "q", q.dtype);
  dims.require(numKVHeads > 0 ? numHeads % numKVHeads == 0 : numHeads == 0, "q",
               concat("numHeads must be a multiple of numKVHeads = ", numKVHeads), concat("numHeads = ", numHeads));
  requireWidths(op, headDim, valueDim);
  requireLengths(dims, q, seqLenKV);
  double scale = options.scale.value_or(1 / std::sqrt(double(headDim)));
  requireFinite(op, "scale", scale);
  GroupedCall call{};
  call.op = op;
  call.q = q, call.k = k, call.v = v;
  call.batch = int(batch), call.seqLenQ = int(seqLenQ), call.seqLenKV = int(seqLenKV);
  call.numHeads = int(numHeads), call.numKVHeads = int(numKVHeads);
  call.headDim = int(headDim), call.valueDim = int(valueDim);
  call.keyHeads = listsPerQueryHead ? call.numHeads : call.numKVHeads;
  call.after = Buckets::unbounded;
  call.scale = float(scale);
  call.out = newOutput(op, q.dtype, {batch, seqLenQ, numHeads, valueDim});
  if (options.returnLse) call.lse = newOutput(op, DType::Float32, {batch, numHeads, seqLenQ});
  return call;
}

void allocateGroups(GroupedCall& call) {
  Shape ofQ = {call.batch, call.numHeads, call.seqLenQ}, ofKV = {call.batch, call.keyHeads, call.seqLenKV};
  if (!call.groupQ.storage) call.groupQ = newOutput(call.op, DType::Int32, ofQ);
  if (!call.groupKV.storage) call.groupKV = newOutput(call.op, DType::Int32, ofKV);
  ofQ.push_back(2), ofKV.push_back(2);
  call.listQ = newOutput(call.op, DType::Int32, ofQ);
  call.listKV = newOutput(call.op, DType::Int32, ofKV);
  call.runs = newOutput(call.op, DType::Int32, ofKV);
}

std::vector<Tensor*> GroupedCall::outputs() {
  std::vector<Tensor*> all = {&out, &listQ, &listKV, &runs};
  if (lse) all.push_back(&*lse);
  return all;
}

AttentionArgs argumentsOf(const GroupedCall& call) {
  AttentionArgs args{};
  args.q = call.q.view(), args.k = call.k.view(), args.v = call.v.view();
  args.out = call.out.view();
  args.lse = viewOf(call.lse);
  args.scale = call.scale;
  return args;
}

void attendGroups(const GroupedCall& call, const Backend& table, Parallel& parallel) {
  int64_t keyLists = int64_t(call.batch) * call.keyHeads, queryLists = int64_t(call.batch) * call.numHeads;
  std::vector<KeyGroups> keys(keyLists);
  std::vector<Pattern> patterns(queryLists);
  parallelFor(parallel, keyLists, [&](int64_t list, int) { keys[list] = groupKeys(call, list); });
  if (parallel.cancelled()) return;
  parallelFor(parallel, queryLists, [&](int64_t list, int) {
    const KeyGroups& own = keys[list * call.keyHeads / call.numHeads];
    patterns[list] = patternOf(call, list, groupQueries(call, list, own), own);
  });
  if (parallel.cancelled() || !queryLists) return;
  Pattern all;
  all.each = patterns.data();
  all.eachBatch = call.batch;
  all.eachHead = call.numHeads;
  AttentionArgs args = argumentsOf(call);
  args.pattern = &all;
  table.attention(args, parallel);
}

}  // namespace longspan
