// Attention inside clusters of queries and keys (Roy et al. 2021, "Efficient Content-Based Sparse Attention with
// Routing Transformers"). By "argmax" every token is in the cluster of its nearest centroid; by "balanced", as in the
// paper, every cluster takes its `window` nearest queries and keys, so that a query may be in several, whose outputs
// are averaged, or in none.
#include <algorithm>
#include <cmath>

#include "bucket_order.h"
#include "grouped_attention.h"

namespace longspan {
namespace {

constexpr const char* op = "routingAttention";
constexpr int64_t scratchValues = 1 << 21;  // similarities held at once: of as many clusters as fit

struct RoutingCall {
  GroupedCall grouped;
  Tensor centroids;   // [numHeads, clusters, headDim] float32
  Tensor directions;  // the same, and spare rows
  int clusters, windowQ, windowKV;
  // balanced: tokens by cluster [batch, numHeads, clusters · window], the outputs of these queries, the rows of a query
  Tensor listQ, listKV, rows, begin, rowsOfQuery, similarities, candidates;
  int atOnce;  // clusters

  const float* directionsOf(int head, int cluster) const {
    return static_cast<const float*>(directions.data()) + (int64_t(head) * clusters + cluster) * grouped.headDim;
  }
  void fillDirections() const {
    float* out = static_cast<float*>(directions.data());
    std::copy_n(static_cast<const float*>(centroids.data()), centroids.size(), out);
    std::fill_n(out + centroids.size(), directions.size() - centroids.size(), 0.f);
  }
};

int windowOf(const std::optional<int64_t>& given, int64_t seqLen, int64_t clusters) {
  int64_t window = given.value_or((seqLen + clusters - 1) / clusters);
  if (window < 1 && given) badArgument(op, "window", concat("window must be at least 1, got ", window));
  return int(std::min(window, seqLen));
}

RoutingCall routingCall(const GroupedCall& grouped, const RoutingAttentionOptions& options) {
  if (!options.centroids) badArgument(op, "centroids", "centroids must be given: [numHeads, clusters, headDim]");
  const Tensor& given = *options.centroids;
  requireDType(op, "centroids", given, floatDTypes);
  bool fits = given.rank() == 3 && given.shape[0] == grouped.numHeads && given.shape[1] > 0 &&
              given.shape[2] == grouped.headDim;
  if (!fits)
    Dims(op).mismatch("centroids",
                      concat("[numHeads, clusters, headDim] with numHeads = ", grouped.numHeads,
                             ", headDim = ", grouped.headDim, " and at least one cluster"),
                      given.shape);
  RoutingCall call{grouped, contiguous(converted(given, DType::Float32))};
  call.clusters = int(given.shape[1]);
  call.directions = newOutput(op, DType::Float32, {given.shape[0] * given.shape[1] + spareDirections, given.shape[2]});
  if (options.causal) call.grouped.after = 0;
  return call;
}

void allocateBalanced(RoutingCall& call, const RoutingAttentionOptions& options) {
  const GroupedCall& g = call.grouped;
  call.windowQ = windowOf(options.window, g.seqLenQ, call.clusters);
  call.windowKV = windowOf(options.window, g.seqLenKV, call.clusters);
  int64_t longest = std::max(g.seqLenQ, std::max(g.seqLenKV, 1));
  int64_t rowsQ = int64_t(call.clusters) * call.windowQ, rowsKV = int64_t(call.clusters) * call.windowKV;
  Dims(op).require(rowsQ < (1 << 30) && rowsKV < (1 << 30), "window", "clusters · window must be below 2^30",
                   concat(std::max(rowsQ, rowsKV)));
  call.atOnce = int(std::clamp<int64_t>(scratchValues / longest, 1, call.clusters));
  call.similarities = newOutput(op, DType::Float32, {call.atOnce, longest});
  call.candidates = newOutput(op, DType::Int32, {call.atOnce, longest});
  call.listQ = newOutput(op, DType::Int32, {g.batch, g.numHeads, rowsQ});
  call.listKV = newOutput(op, DType::Int32, {g.batch, g.numHeads, rowsKV});
  call.rowsOfQuery = newOutput(op, DType::Int32, {g.batch, g.numHeads, rowsQ});
  call.begin = newOutput(op, DType::Int32, {g.batch, g.numHeads, int64_t(g.seqLenQ) + 1});
  call.rows = newOutput(op, DType::Float32, {g.batch, rowsQ, g.numHeads, g.valueDim});
}

// The `window` tokens of highest similarity, the first of equals, in order of position
void selectTokens(float* similarity, int* candidates, int seqLen, int window, int* out) {
  for (int i = 0; i < seqLen; ++i) {
    if (std::isnan(similarity[i])) similarity[i] = -INFINITY;
    candidates[i] = i;
  }
  auto nearer = [&](int a, int b) { return similarity[a] != similarity[b] ? similarity[a] > similarity[b] : a < b; };
  if (window < seqLen) std::nth_element(candidates, candidates + window, candidates + seqLen, nearer);
  std::copy_n(candidates, window, out);
  std::sort(out, out + window);
}

// The lists of all clusters of one sequence of queries or keys [seqLen, headDim]
void routeSequence(const RoutingCall& call, TensorView x, int head, int window, int* lists, const Backend& table,
                   Parallel& parallel) {
  int seqLen = int(x.shape[0]);
  float* similarities = static_cast<float*>(call.similarities.data());
  int* candidates = static_cast<int*>(call.candidates.data());
  for (int first = 0; first < call.clusters && !parallel.cancelled(); first += call.atOnce) {
    int count = std::min(call.atOnce, call.clusters - first);
    table.similarity({x, call.directionsOf(head, first), count, similarities}, parallel);
    if (parallel.cancelled()) return;
    parallelFor(parallel, count, [&](int64_t i, int) {
      selectTokens(similarities + i * seqLen, candidates + i * seqLen, seqLen, window, lists + (first + i) * window);
    });
  }
}

TensorView sequenceOf(const Tensor& x, int64_t batch, int64_t head) {
  TensorView view = x.view();
  view.data = x.view().as<char>() + (batch * view.strides[0] + head * view.strides[2]) * sizeOf(x.dtype);
  view.rank = 2;
  view.shape[0] = x.shape[1], view.shape[1] = x.shape[3];
  view.strides[0] = x.strides[1], view.strides[1] = x.strides[3];
  return view;
}

// rows[begin[q]] … : the places of query q in the list
void invertList(const int* list, int count, int seqLen, int* begin, int* rows) {
  std::fill_n(begin, seqLen + 1, 0);
  for (int row = 0; row < count; ++row) ++begin[list[row] + 1];
  for (int q = 0; q < seqLen; ++q) begin[q + 1] += begin[q];
  for (int row = 0; row < count; ++row) rows[begin[list[row]]++] = row;
  for (int q = seqLen; q > 0; --q) begin[q] = begin[q - 1];
  begin[0] = 0;
}

Buckets patternOf(const RoutingCall& call, const int* listQ, const int* listKV, const KeySpan* spans) {
  Buckets pattern{};
  pattern.seqLenQ = call.grouped.seqLenQ, pattern.seqLenKV = call.grouped.seqLenKV;
  pattern.queryOrder = listQ, pattern.keyOrder = listKV;
  pattern.numQueryRows = call.clusters * call.windowQ, pattern.numKeyRows = call.clusters * call.windowKV;
  pattern.spans = spans, pattern.numSpans = call.clusters;
  pattern.after = call.grouped.after;
  pattern.spansAscend = pattern.everyQueryRow = pattern.outputPerRow = true;
  pattern.rowsPerGroup = std::max(call.windowQ, 1);
  return pattern;
}

void attendBalanced(const RoutingCall& call, const Backend& table, Parallel& parallel) {
  const GroupedCall& g = call.grouped;
  int64_t rowsQ = int64_t(call.clusters) * call.windowQ, rowsKV = int64_t(call.clusters) * call.windowKV;
  int *listQ = static_cast<int*>(call.listQ.data()), *listKV = static_cast<int*>(call.listKV.data());
  int *begin = static_cast<int*>(call.begin.data()), *rows = static_cast<int*>(call.rowsOfQuery.data());
  std::vector<KeySpan> spans;
  for (int c = 0; c < call.clusters; ++c) spans.push_back({c * call.windowKV, (c + 1) * call.windowKV});
  std::vector<Pattern> patterns;
  for (int sequence = 0; sequence < g.batch * g.numHeads && !parallel.cancelled(); ++sequence) {
    int b = sequence / g.numHeads, h = sequence % g.numHeads, own = h * g.numKVHeads / g.numHeads;
    int *ownQ = listQ + sequence * rowsQ, *ownKV = listKV + sequence * rowsKV;
    routeSequence(call, sequenceOf(g.q, b, h), h, call.windowQ, ownQ, table, parallel);
    routeSequence(call, sequenceOf(g.k, b, own), h, call.windowKV, ownKV, table, parallel);
    if (parallel.cancelled()) return;
    invertList(ownQ, int(rowsQ), g.seqLenQ, begin + sequence * (int64_t(g.seqLenQ) + 1), rows + sequence * rowsQ);
    patterns.push_back(patternOf(call, ownQ, ownKV, spans.data()));
  }
  if (parallel.cancelled()) return;
  Pattern all;
  all.each = patterns.data();
  all.eachBatch = g.batch;
  all.eachHead = g.numHeads;
  AttentionArgs args = argumentsOf(g);
  args.out = call.rows.view();
  args.pattern = &all;
  table.attention(args, parallel);
  if (!parallel.cancelled()) table.averageRows({call.rows.view(), begin, rows, g.out.view()}, parallel);
}

Tensor routeBalanced(RoutingCall call, const RoutingAttentionOptions& options) {
  allocateBalanced(call, options);
  std::vector<const Tensor*> inputs = call.grouped.inputs();
  inputs.push_back(&call.centroids);
  enqueue(op, inputs,
          {&call.grouped.out, &call.directions, &call.listQ, &call.listKV, &call.rows, &call.begin, &call.rowsOfQuery,
           &call.similarities, &call.candidates},
          [call](const Backend& table, Parallel& parallel) {
            if (call.grouped.q.size() == 0) return;
            call.fillDirections();
            attendBalanced(call, table, parallel);
          });
  return call.grouped.out;
}

Tensor routeByNearest(RoutingCall call) {
  allocateGroups(call.grouped);
  std::vector<const Tensor*> inputs = call.grouped.inputs();
  inputs.push_back(&call.centroids);
  std::vector<Tensor*> outputs = call.grouped.outputs();
  outputs.insert(outputs.end(), {&call.grouped.groupQ, &call.grouped.groupKV, &call.directions});
  enqueue(op, inputs, outputs, [call](const Backend& table, Parallel& parallel) {
    const GroupedCall& g = call.grouped;
    if (g.q.size() == 0) return;
    call.fillDirections();
    for (auto [x, ids] : {std::pair{&g.q, &g.groupQ}, {&g.k, &g.groupKV}})
      table.bucketHash({x->view(), call.directionsOf(0, 0), 1, g.numHeads, g.numHeads, false, &call.clusters, 1,
                        static_cast<int*>(ids->data())},
                       parallel);
    if (!parallel.cancelled()) attendGroups(g, table, parallel);
  });
  return call.grouped.out;
}

}  // namespace

Tensor routingAttention(const Tensor& q, const Tensor& k, const Tensor& v, const RoutingAttentionOptions& options) {
  std::string selection = options.selection.value_or(options.causal ? "argmax" : "balanced");
  if (selection != "argmax" && selection != "balanced")
    badArgument(op, "selection", concat("selection must be \"argmax\" or \"balanced\", got \"", selection, "\""));
  RoutingCall call = routingCall(groupedCall(op, q, k, v, {options.scale, false}, true), options);
  return selection == "argmax" ? routeByNearest(call) : routeBalanced(call, options);
}

}  // namespace longspan
