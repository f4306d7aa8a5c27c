// Shared query-key attention among tokens of similar direction (Kitaev et al. 2020, Reformer): each round hashes all
// tokens by random rotations, sorts them by bucket, and cuts the list into chunks; a chunk sees itself and its
// neighbours. Rounds are attended one after the other, each into the sum of those before. A pair that several rounds
// show counts once: later rounds hide what earlier ones have shown, so the result is dense attention over the union.
#include <algorithm>
#include <cmath>

#include "attention_call.h"
#include "bucket_order.h"
#include "hash_directions.h"
#include "lsh_attention.h"

namespace longspan {
namespace {

constexpr const char* op = "lshAttention";

struct LshCall {
  Tensor qk, v, out;
  std::optional<Tensor> lse, sum;  // sum: out in float32 while rounds are added
  HashDirections directions;
  Tensor buckets, order, chunkOf;  // per round, batch and head: the bucket of each token, tokens by row, their chunks
  int batch, seqLen, numHeads, rounds;
  int chunk, numChunks, back, ahead, before, after;  // before, after: rows repeated around a list, so that it wraps
  bool causal, exact, acrossBuckets, acrossRounds;
  float scale;

  int64_t orderLength() const { return int64_t(before) + seqLen + after; }
  int64_t listOf(int round, int sequence) const { return int64_t(round) * batch * numHeads + sequence; }
  int* orderOf(int round, int sequence) const {
    return static_cast<int*>(order.data()) + listOf(round, sequence) * orderLength();
  }
  int* chunksOf(int round, int sequence) const {
    return static_cast<int*>(chunkOf.data()) + listOf(round, sequence) * seqLen;
  }
  int* bucketsOf(int round, int sequence) const {
    return static_cast<int*>(buckets.data()) + listOf(round, sequence) * seqLen;
  }
  int rowsOfLast(int chunks) const { return chunks > 0 ? seqLen - (numChunks - chunks) * chunk : 0; }
};

// What a chunk sees: never one chunk twice, so that a round is a set of pairs
void setChunks(LshCall& call, const LshAttentionOptions& options) {
  call.chunk = std::min(lshCount(op, "chunk", options.chunk, 1), std::max(call.seqLen, 1));
  call.numChunks = std::max(1, ceilDiv(call.seqLen, call.chunk));
  int64_t back = lshCount(op, "lookBack", options.lookBack, 0);
  int64_t ahead = lshCount(op, "lookAhead", options.lookAhead, 0);
  if (options.wrap != "round" && options.wrap != "rounds")
    badArgument(op, "wrap", concat("wrap must be \"round\" or \"rounds\", got \"", options.wrap, "\""));
  call.acrossRounds = options.wrap == "rounds" && call.rounds > 1;
  if (call.acrossRounds) {  // as far as the whole neighbouring round
    call.back = int(std::min<int64_t>(back, call.numChunks));
    call.ahead = int(std::min<int64_t>(ahead, call.numChunks));
    call.before = call.after = 0;
  } else {
    call.back = int(std::min<int64_t>(back, call.numChunks - 1));
    call.ahead = int(std::min<int64_t>(ahead, call.numChunks - 1 - call.back));
    call.before = call.rowsOfLast(call.back);
    call.after = call.ahead * call.chunk;
  }
}

LshCall lshCall(const Tensor& qk, const Tensor& v, const LshAttentionOptions& options) {
  Dims dims(op);
  auto [batch, seqLen, numHeads, headDim] = dims.bind<4>(qk, "qk", "[batch, seqLen, numHeads, headDim]");
  int64_t valueDim = dims.bind<4>(v, "v", "[batch, seqLen, numHeads, valueDim]")[3];
  requireDType(op, "qk", qk, floatDTypes);
  requireSameDType(op, "v", v, "qk", qk.dtype);
  requireWidths(op, headDim, valueDim);
  requireLengths(dims, qk, seqLen);
  LshCall call{};
  call.qk = qk, call.v = v;
  call.batch = int(batch), call.seqLen = int(seqLen), call.numHeads = int(numHeads);
  call.rounds = lshCount(op, "rounds", options.rounds, 1);
  call.causal = options.causal, call.acrossBuckets = options.attendAcrossBuckets;
  call.exact = lshExact(op, options.duplicates);
  call.scale = lshScale(op, options.scale, headDim);
  setChunks(call, options);
  call.directions = hashDirections({op, options.buckets, options.rotations, defaultBuckets(seqLen, options.chunk),
                                    call.rounds, headDim, numHeads, "numHeads", true, options.seed, qk.device()});
  int64_t lists = int64_t(call.rounds) * batch * numHeads;
  call.buckets = newOutput(op, DType::Int32, {call.rounds, batch, numHeads, seqLen}, qk.device());
  call.order = newOutput(op, DType::Int32, {lists, call.orderLength()}, qk.device());
  call.chunkOf = newOutput(op, DType::Int32, {lists, seqLen}, qk.device());
  call.out = newOutput(op, qk.dtype, {batch, seqLen, numHeads, valueDim}, qk.device());
  if (options.returnLse || call.rounds > 1)
    call.lse = newOutput(op, DType::Float32, {batch, numHeads, seqLen}, qk.device());
  if (call.rounds > 1)
    call.sum = qk.dtype == DType::Float32 ? call.out : newOutput(op, DType::Float32, call.out.shape, qk.device());
  return call;
}

void sortTokens(const LshCall& call, const Backend& table, Parallel& parallel) {
  if (table.sortTokens)
    return table.sortTokens({static_cast<const int*>(call.buckets.data()), static_cast<int*>(call.order.data()),
                             static_cast<int*>(call.chunkOf.data()), call.listOf(call.rounds, 0), call.seqLen,
                             call.chunk, call.before, call.after},
                            parallel);
  int sequences = call.batch * call.numHeads;
  parallelFor(parallel, int64_t(call.rounds) * sequences, [&](int64_t item, int) {
    int round = int(item / sequences), sequence = int(item % sequences), n = call.seqLen;
    int *padded = call.orderOf(round, sequence), *order = padded + call.before;
    int* chunks = call.chunksOf(round, sequence);
    sortByKey(reinterpret_cast<const uint32_t*>(call.bucketsOf(round, sequence)), n, order, chunks);
    std::copy_n(order + n - call.before, call.before, padded);
    std::copy_n(order, call.after, order + n);
    for (int row = 0; row < n; ++row) chunks[order[row]] = row / call.chunk;
  });
}

// Queries of some chunks of one round that see keys of a round, by spans of each chunk
struct LshPass {
  int round, keyRound, firstChunk, endChunk;
  int shift, ring;
  std::vector<KeySpan> spans;
};

LshPass ownRound(const LshCall& call, int round) {
  int chunks = call.numChunks, n = call.seqLen, chunk = call.chunk;
  bool wraps = !call.acrossRounds;
  LshPass pass{round, round, 0, chunks, call.ahead, wraps ? chunks : GroupRelation::noRing, {}};
  for (int c = 0; c < chunks; ++c) {
    int first = c - call.back, end = c + 1 + call.ahead;
    int begin = first >= 0 ? first * chunk : wraps ? -call.rowsOfLast(-first) : 0;
    int last = end <= chunks ? std::min(end * chunk, n) : wraps ? n + (end - chunks) * chunk : n;
    pass.spans.push_back({call.before + begin, call.before + last});
  }
  return pass;
}

// wrap: "rounds": the first chunks look back on the round before, the last ones ahead on the next
std::vector<LshPass> neighbourRounds(const LshCall& call, int round) {
  std::vector<LshPass> passes;
  int chunks = call.numChunks, n = call.seqLen, chunk = call.chunk;
  if (call.back) {
    passes.push_back({round, (round + call.rounds - 1) % call.rounds, 0, call.back, call.ahead + chunks,
                      GroupRelation::noRing, std::vector<KeySpan>(chunks)});
    for (int c = 0; c < call.back; ++c) passes.back().spans[c] = {(chunks + c - call.back) * chunk, n};
  }
  if (call.ahead) {
    passes.push_back({round, (round + 1) % call.rounds, chunks - call.ahead, chunks, call.ahead - chunks,
                      GroupRelation::noRing, std::vector<KeySpan>(chunks)});
    for (int c = chunks - call.ahead; c < chunks; ++c)
      passes.back().spans[c] = {0, std::min((c + 1 + call.ahead - chunks) * chunk, n)};
  }
  return passes;
}

std::vector<LshPass> passesOf(const LshCall& call) {
  std::vector<LshPass> passes;
  for (int round = 0; round < call.rounds; ++round) {
    passes.push_back(ownRound(call, round));
    if (!call.acrossRounds || !call.acrossBuckets) continue;
    for (LshPass& pass : neighbourRounds(call, round)) passes.push_back(std::move(pass));
  }
  return passes;
}

GroupRelation relationOf(const LshCall& call, const LshPass& pass, int sequence) {
  return {call.chunksOf(pass.round, sequence),
          call.chunksOf(pass.keyRound, sequence),
          call.acrossBuckets ? nullptr : call.bucketsOf(pass.round, sequence),
          pass.shift,
          call.back + call.ahead,
          pass.ring};
}

Buckets patternOf(const LshCall& call, const LshPass& pass, int sequence, const GroupRelation* earlier, int number) {
  Buckets pattern{};
  int firstRow = pass.firstChunk * call.chunk;
  pattern.seqLenQ = pattern.seqLenKV = call.seqLen;
  pattern.queryOrder = call.orderOf(pass.round, sequence) + call.before + firstRow;
  pattern.keyOrder = call.orderOf(pass.keyRound, sequence);
  pattern.numQueryRows = std::min(pass.endChunk * call.chunk, call.seqLen) - firstRow;
  pattern.numKeyRows = int(call.orderLength());
  pattern.spans = pass.spans.data() + pass.firstChunk, pattern.numSpans = pass.endChunk - pass.firstChunk;
  pattern.rowsPerGroup = call.chunk;
  pattern.relation = relationOf(call, pass, sequence);
  pattern.earlier = earlier;
  pattern.numEarlier = call.exact ? number : 0;
  pattern.after = call.causal ? 0 : Buckets::unbounded;
  pattern.everyQueryRow = pattern.numQueryRows == call.seqLen;
  return pattern;
}

void attendPasses(const LshCall& call, const Backend& table, Parallel& parallel) {
  int sequences = call.batch * call.numHeads;
  std::vector<LshPass> passes = passesOf(call);
  std::vector<GroupRelation> relations;  // [sequences][passes]
  for (int sequence = 0; sequence < sequences; ++sequence)
    for (const LshPass& pass : passes) relations.push_back(relationOf(call, pass, sequence));
  AttentionArgs args{};
  args.q = args.k = call.qk.view();
  args.v = call.v.view();
  args.out = (call.sum ? *call.sum : call.out).view();
  args.lse = viewOf(call.lse);
  args.scale = call.scale;
  args.normaliseKeys = true;
  args.selfScore = lshSelfScore;
  for (size_t p = 0; p < passes.size() && !parallel.cancelled(); ++p) {
    std::vector<Pattern> patterns;
    for (int sequence = 0; sequence < sequences; ++sequence)
      patterns.push_back(
          patternOf(call, passes[p], sequence, relations.data() + size_t(sequence) * passes.size(), int(p)));
    Pattern all;
    all.each = patterns.data();
    all.eachBatch = call.batch;
    all.eachHead = call.numHeads;
    args.pattern = &all;
    args.accumulate = p > 0;
    table.attention(args, parallel);
  }
  if (call.sum && call.out.dtype != DType::Float32) table.copy({call.sum->view(), call.out.view()}, parallel);
}

}  // namespace

int lshCount(const char* op, const char* name, int64_t value, int64_t least) {
  constexpr int64_t most = 1 << 30;
  if (value < least || value > most)
    badArgument(op, name, concat(name, " must be in [", least, ", ", most, "], got ", value));
  return int(value);
}

bool lshExact(const char* op, const std::string& duplicates) {
  if (duplicates != "exact" && duplicates != "per-round")
    badArgument(op, "duplicates", concat("duplicates must be \"exact\" or \"per-round\", got \"", duplicates, "\""));
  return duplicates == "exact";
}

float lshScale(const char* op, const std::optional<double>& scale, int64_t headDim) {
  double value = scale.value_or(1 / std::sqrt(double(headDim)));
  if (!(float(value) > 0) || !std::isfinite(float(value)))
    badArgument(op, "scale", concat("scale must be positive, got ", value));
  return float(value);
}

HashedAttentionOutput lshAttention(const Tensor& qk, const Tensor& v, const LshAttentionOptions& options) {
  LshCall call = lshCall(qk, v, options);
  std::vector<const Tensor*> inputs = {&call.qk, &call.v, &call.directions.packed};
  std::vector<Tensor*> outputs = {&call.out, &call.buckets, &call.order, &call.chunkOf};
  if (call.lse) outputs.push_back(&*call.lse);
  if (call.sum && call.out.dtype != DType::Float32) outputs.push_back(&*call.sum);
  constexpr Needs needs = hasRows<&Backend::bucketHash, &Backend::sortTokens, &Backend::attention, &Backend::copy>;
  enqueue(op, needs, inputs, outputs, [call](const Backend& table, Parallel& parallel) {
    if (call.qk.size() == 0) return;
    call.directions.hash(call.qk, call.numHeads, call.buckets, table, parallel);
    if (!parallel.cancelled()) sortTokens(call, table, parallel);
    if (!parallel.cancelled()) attendPasses(call, table, parallel);
  });
  HashedAttentionOutput output{call.out, {}, {}};
  if (options.returnLse) output.lse = call.lse;
  if (options.returnBuckets) output.buckets = call.buckets;
  return output;
}

}  // namespace longspan
