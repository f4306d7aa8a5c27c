// One new token of Reformer's attention (Kitaev et al. 2020) over the hashes of those before it: in each round it sees
// the last (lookBack + 1) · chunk earlier tokens of its bucket, about as many as a chunk shows, and itself last.
#include <algorithm>
#include <cmath>

#include "attention_call.h"
#include "hash_directions.h"
#include "lsh_attention.h"

namespace longspan {
namespace {

constexpr const char* op = "lshDecodeAttention";

struct DecodeCall {
  Tensor qk, v, known, out, buckets, candidates;  // known: buckets of the tokens before the new one
  std::optional<Tensor> lse;
  HashDirections directions;
  int batch, seqLen, numHeads, rounds, perRound;  // perRound: candidates at most
  bool exact;
  float scale;

  int64_t perList() const { return int64_t(rounds) * (perRound + 1); }
};

DecodeCall decodeCall(const Tensor& qk, const Tensor& v, const Tensor& known,
                      const LshDecodeAttentionOptions& options) {
  Dims dims(op);
  auto [batch, seqLen, numHeads, headDim] = dims.bind<4>(qk, "qk", "[batch, seqLen, numHeads, headDim]");
  int64_t valueDim = dims.bind<4>(v, "v", "[batch, seqLen, numHeads, valueDim]")[3];
  auto [rounds, b, h, before] = dims.bind<4>(known, "buckets", "[rounds, batch, numHeads, seqLen − 1]");
  requireDType(op, "qk", qk, floatDTypes);
  requireSameDType(op, "v", v, "qk", qk.dtype);
  requireDType(op, "buckets", known, {DType::Int32});
  requireWidths(op, headDim, valueDim);
  requireLengths(dims, qk, seqLen);
  dims.require(seqLen > 0 && before == seqLen - 1 && rounds > 0, "buckets",
               concat("buckets must be [rounds, batch, numHeads, seqLen − 1 = ", seqLen - 1, "] of at least one round"),
               toString(known.shape));
  DecodeCall call{};
  call.qk = qk, call.v = v, call.known = contiguous(known);
  call.batch = int(batch), call.seqLen = int(seqLen), call.numHeads = int(numHeads), call.rounds = int(rounds);
  int64_t chunk = lshCount(op, "chunk", options.chunk, 1), back = lshCount(op, "lookBack", options.lookBack, 0);
  call.perRound = int(std::min<int64_t>((back + 1) * chunk, seqLen - 1));
  call.exact = lshExact(op, options.duplicates);
  call.scale = lshScale(op, options.scale, headDim);
  if (!options.buckets && !options.rotations)
    badArgument(op, "buckets",
                "buckets (or rotations) must be given: the number that the known tokens were hashed with");
  call.directions = hashDirections(
      {op, options.buckets, options.rotations, 2, rounds, headDim, numHeads, "numHeads", true, options.seed, Device{}});
  call.out = newOutput(op, qk.dtype, {batch, 1, numHeads, valueDim});
  if (options.returnLse) call.lse = newOutput(op, DType::Float32, {batch, numHeads, 1});
  call.buckets = newOutput(op, DType::Int32, {rounds, batch, numHeads, 1});
  call.candidates = newOutput(op, DType::Int32, {batch, numHeads, call.perList()});
  return call;
}

// The keys of one sequence and head, as often as they count; how many
int listCandidates(const DecodeCall& call, int64_t sequence, int* out) {
  int count = 0, own = call.seqLen - 1;
  const int *known = static_cast<const int*>(call.known.data()),
            *buckets = static_cast<const int*>(call.buckets.data());
  for (int round = 0; round < call.rounds; ++round) {
    int64_t list = int64_t(round) * call.batch * call.numHeads + sequence;
    const int* ids = known + list * own;
    int end = count + call.perRound;
    for (int token = own - 1; token >= 0 && count < end; --token)
      if (ids[token] == buckets[list]) out[count++] = token;
    out[count++] = own;
  }
  std::sort(out, out + count);
  return call.exact ? int(std::unique(out, out + count) - out) : count;
}

void attendCandidates(const DecodeCall& call, const Backend& table, Parallel& parallel) {
  int sequences = call.batch * call.numHeads, query = call.seqLen - 1;
  std::vector<KeySpan> spans(sequences);
  std::vector<Pattern> patterns(sequences);
  parallelFor(parallel, sequences, [&](int64_t sequence, int) {
    int* keys = static_cast<int*>(call.candidates.data()) + sequence * call.perList();
    spans[sequence] = {0, listCandidates(call, sequence, keys)};
    Buckets pattern{};
    pattern.seqLenQ = pattern.seqLenKV = call.seqLen;
    pattern.queryOrder = &query, pattern.keyOrder = keys;
    pattern.numQueryRows = pattern.rowsPerGroup = 1, pattern.numKeyRows = spans[sequence].end;
    pattern.spans = &spans[sequence], pattern.numSpans = 1;
    pattern.after = Buckets::unbounded;
    pattern.everyQueryRow = pattern.outputPerRow = true;
    patterns[sequence] = pattern;
  });
  if (parallel.cancelled()) return;
  Pattern all;
  all.each = patterns.data();
  all.eachBatch = call.batch;
  all.eachHead = call.numHeads;
  AttentionArgs args{};
  args.q = args.k = call.qk.view();
  args.v = call.v.view();
  args.out = call.out.view();
  args.lse = viewOf(call.lse);
  args.scale = call.scale;
  args.normaliseKeys = true;
  args.selfScore = lshSelfScore;
  args.pattern = &all;
  table.attention(args, parallel);
}

}  // namespace

HashedAttentionOutput lshDecodeAttention(const Tensor& qk, const Tensor& v, const Tensor& buckets,
                                         const LshDecodeAttentionOptions& options) {
  DecodeCall call = decodeCall(qk, v, buckets, options);
  Tensor last = narrow(qk, 1, call.seqLen - 1, 1);
  std::vector<const Tensor*> inputs = {&call.qk, &call.v, &call.known, &call.directions.packed};
  std::vector<Tensor*> outputs = {&call.out, &call.buckets, &call.candidates};
  if (call.lse) outputs.push_back(&*call.lse);
  enqueue(op, inputs, outputs, [call, last](const Backend& table, Parallel& parallel) {
    if (call.qk.size() == 0) return;
    call.directions.hash(last, call.numHeads, call.buckets, table, parallel);
    if (!parallel.cancelled()) attendCandidates(call, table, parallel);
  });
  return {call.out, call.lse, call.buckets};
}

}  // namespace longspan
