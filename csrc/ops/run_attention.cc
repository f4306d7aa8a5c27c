// The kernel over the parts of a pattern. One part: one run. A sum: for as many queries and heads at once as a bounded
// accumulator holds, every part is merged into it (AttentionArgs::accumulate), so that a sum costs no memory that grows
// with the length.
#include <algorithm>

#include "attention_call.h"

namespace longspan {
namespace {

constexpr int64_t accumulatorBytes = 6 << 20;  // out in float32 and lse of a slice
constexpr int64_t deviceAccumulatorBytes = 256 << 20;
constexpr int64_t lseOnlyQueries = 1 << 18;  // of a slice whose out is float32 already, over its heads

struct Slice {
  int batch, firstHead, numHeads, firstKVHead, numKVHeads;
  int64_t first, count;
};

// The arguments narrowed to a slice; out and lse begin where they are told
AttentionArgs narrowed(const AttentionArgs& args, const Slice& s, SequenceView& view) {
  AttentionArgs a = args;
  const int64_t firstHead = s.firstHead, kvHead = s.firstKVHead;
  if (args.sequences) {
    view = args.sequences[s.batch];
  } else {
    view = {};
    view.q = s.batch * args.q.strides[0];
    view.k = args.cache.slabs ? 0 : s.batch * args.k.strides[0];
    view.v = args.cache.slabs ? 0 : s.batch * args.v.strides[0];
    view.offset = args.offset;
  }
  view.q += s.first * args.q.strides[1] + firstHead * args.q.strides[2];
  view.offset += int(s.first);
  view.out = view.lse = 0;
  if (!args.cache.slabs) {
    view.k += kvHead * args.k.strides[2];
    view.v += kvHead * args.v.strides[2];
    a.k.shape[2] = a.v.shape[2] = s.numKVHeads;
  }
  a.sequences = &view;
  a.q.shape[0] = 1, a.q.shape[1] = s.count, a.q.shape[2] = s.numHeads;
  a.offset = view.offset;
  if (a.sinkLogits) a.sinkLogits.data = a.sinkLogits.as<float>() + firstHead * a.sinkLogits.strides[0];
  if (a.alibiSlopes) a.alibiSlopes.data = a.alibiSlopes.as<float>() + firstHead * a.alibiSlopes.strides[0];
  if (a.queryScale)
    a.queryScale.data = a.queryScale.as<float>() + s.batch * a.queryScale.strides[0] +
                        firstHead * a.queryScale.strides[1] + s.first * a.queryScale.strides[2];
  if (a.distanceBias) a.distanceBias.data = a.distanceBias.as<float>() + firstHead * a.distanceBias.strides[0];
  if (a.expireSpans) a.expireSpans.data = a.expireSpans.as<float>() + s.batch * a.expireSpans.strides[0];
  if (a.bias)
    a.bias.data =
        a.bias.as<float>() + s.batch * a.bias.strides[0] + firstHead * a.bias.strides[1] + s.first * a.bias.strides[2];
  return a;
}

TensorView narrowedOut(const AttentionArgs& args, const Slice& s) {
  TensorView out = args.out;
  int64_t at = (args.sequences ? args.sequences[s.batch].out : s.batch * out.strides[0]) + s.first * out.strides[1] +
               s.firstHead * out.strides[2];
  out.data = out.as<char>() + at * sizeOf(out.dtype);
  out.shape[0] = 1, out.shape[1] = s.count, out.shape[2] = s.numHeads;
  return out;
}

class SumOfParts {
 public:
  SumOfParts(const AttentionArgs& args, const ConcretePattern& pattern, const Device& device, const Backend& table,
             Parallel& parallel)
      : args_(args), pattern_(pattern), table_(table), parallel_(parallel) {
    direct_ = args.out.dtype == DType::Float32;
    int64_t numHeads = args.q.shape[2], kvHeads = args.cache.slabs ? args.cache.numKVHeads : args.k.shape[2];
    headsAtOnce_ = args.cache.slabs || direct_ ? numHeads : numHeads / std::max<int64_t>(kvHeads, 1);
    kvHeadsAtOnce_ = args.cache.slabs || direct_ ? kvHeads : 1;
    int64_t rowBytes = std::max<int64_t>(headsAtOnce_, 1) * (args.out.shape[3] + 1) * 4;
    rows_ = direct_ ? lseOnlyQueries / std::max<int64_t>(headsAtOnce_, 1)
                    : (device.isCpu() ? accumulatorBytes : deviceAccumulatorBytes) / rowBytes;
    rows_ = std::clamp<int64_t>(rows_, 64, std::max<int64_t>(args.q.shape[1], 64));
    memory_ =
        allocate(device, size_t(rows_ * (direct_ ? headsAtOnce_ * 4 : rowBytes)), "the sum over a pattern's parts");
  }
  void run() {
    for (int64_t b = 0; b < args_.q.shape[0]; ++b) {
      int64_t seqLenQ = visit(pattern_.parts[0].of(int(b), 0), [](const auto& p) { return p.seqLenQ; });
      for (int64_t kvHead = 0, head = 0; head < args_.q.shape[2]; head += headsAtOnce_, kvHead += kvHeadsAtOnce_)
        for (int64_t first = 0; first < seqLenQ; first += rows_) {
          if (parallel_.cancelled()) return;
          slice({int(b), int(head), int(headsAtOnce_), int(kvHead), int(kvHeadsAtOnce_), first,
                 std::min(rows_, seqLenQ - first)});
        }
    }
  }

 private:
  void slice(const Slice& s) {
    SequenceView view;
    AttentionArgs a = narrowed(args_, s, view);
    TensorView out = narrowedOut(args_, s), lse = args_.lse;
    float* memory = static_cast<float*>(memory_.get());
    if (lse) {
      lse.data = lse.as<float>() + (args_.sequences ? args_.sequences[s.batch].lse : s.batch * lse.strides[0]) +
                 s.firstHead * lse.strides[1] + s.first * lse.strides[2];
    } else {
      lse = {memory, DType::Float32, 3, {1, s.numHeads, s.count}, {0, s.count, 1}};
    }
    a.out = out;
    if (!direct_)
      a.out = {memory + s.numHeads * s.count,
               DType::Float32,
               4,
               {1, s.count, s.numHeads, out.shape[3]},
               {0, s.numHeads * out.shape[3], out.shape[3], 1}};
    a.lse = lse;
    a.accumulate = false;  // the first part begins the sum, sink logits included
    for (const Pattern& part : pattern_.parts) {
      PatternArena arena;
      Pattern sliced = slicedPattern(part, int(s.first), int(s.count), s.batch, s.firstHead, s.numHeads, arena);
      a.pattern = &sliced;
      table_.attention(a, parallel_);
      a.accumulate = true;
      a.sinkLogits = {};
    }
    if (!direct_) table_.copy({a.out, out}, parallel_);
  }

  const AttentionArgs& args_;
  const ConcretePattern& pattern_;
  const Backend& table_;
  Parallel& parallel_;
  bool direct_;
  int64_t headsAtOnce_, kvHeadsAtOnce_, rows_;
  std::shared_ptr<void> memory_;
};

}  // namespace

AttentionArgs sequencedArguments(const AttentionCall& call, const AttentionArgs& given) {
  AttentionArgs args = given;
  if (!call.sequences) return args;
  const Sequences& sequences = *call.sequences;
  args.sequences = sequences.views.data();
  args.pageSize = int(sequences.pageSize);
  args.q.shape[0] = args.out.shape[0] = int64_t(sequences.views.size());
  args.q.shape[1] = args.out.shape[1] = sequences.longestQ;
  args.k.shape[1] = args.v.shape[1] = sequences.longestKV;
  return args;
}

void runAttention(const AttentionCall& call, const AttentionArgs& given, const Backend& table, Parallel& parallel) {
  const ConcretePattern& pattern = call.sequences ? *call.sequences->pattern : *call.pattern;
  pattern.checkLists();
  AttentionArgs args = sequencedArguments(call, given);
  if (args.q.shape[0] * args.q.shape[1] * args.q.shape[2] == 0) return;
  if (pattern.parts.size() > 1) return SumOfParts(args, pattern, call.q.device(), table, parallel).run();
  args.pattern = &pattern.parts[0];
  table.attention(args, parallel);
}

}  // namespace longspan
