// softmax(scale · q kᵀ + mask) v without the matrix of scores (Dao et al. 2022, FlashAttention), over any pattern.
#include <cmath>
#include <limits>

#include "attention_call.h"

namespace longspan {
namespace {

constexpr int64_t maxSeqLen = int64_t(1) << 30;
constexpr int64_t maxHeadDim = 256;

int checkedCount(const char* op, const char* name, int64_t value) {
  if (value < 0) badArgument(op, name, concat(name, " must not be negative, got ", value));
  return int(std::min<int64_t>(value, Window::unbounded));
}

void requireSizes(const AttentionCall& call, Dims& dims, const Tensor& q) {
  dims.require(call.numKVHeads > 0 ? call.numHeads % call.numKVHeads == 0 : call.numHeads == 0, "q",
               concat("numHeads must be a multiple of numKVHeads = ", call.numKVHeads),
               concat("numHeads = ", call.numHeads));
  for (auto [dim, name] : {std::pair{call.headDim, "headDim"}, {call.valueDim, "valueDim"}})
    if (dim < 1 || dim > maxHeadDim)
      throw Error(Code::Unsupported, concat(call.op, ": ", name, " must be in [1, ", maxHeadDim, "], got ", dim))
          .with("feature", concat(name, " ", dim))
          .with("known", concat("1 to ", maxHeadDim));
  dims.require(call.seqLenQ < maxSeqLen && call.seqLenKV < maxSeqLen, "q",
               concat("sequence lengths must be below ", maxSeqLen), toString(q.shape));
}

std::optional<Tensor> perHead(const char* op, const char* name, const std::optional<Tensor>& given, int64_t numHeads) {
  if (!given) return given;
  requireDType(op, name, *given, floatDTypes);
  Dims(op).require(given->rank() == 1 && given->shape[0] == numHeads, name,
                   concat(name, " must be [numHeads = ", numHeads, "]"), toString(given->shape));
  return contiguous(converted(*given, DType::Float32));
}

// [batch, numHeads, seqLenQ, seqLenKV] with zero strides along axes it is repeated over.
std::optional<Tensor> broadcastBias(const AttentionCall& call, const std::optional<Tensor>& given) {
  if (!given) return given;
  requireDType(call.op, "bias", *given, floatDTypes);
  Shape wanted = {call.batch, call.numHeads, call.seqLenQ, call.seqLenKV};
  Tensor bias = converted(*given, DType::Float32), view = bias;
  view.shape = wanted;
  view.strides.assign(4, 0);
  bool fits = bias.rank() <= 4;
  for (int i = 0; fits && i < bias.rank(); ++i) {
    int at = 4 - bias.rank() + i;
    if (bias.shape[i] == wanted[at])
      view.strides[at] = bias.strides[i];
    else
      fits = bias.shape[i] == 1;
  }
  if (!fits)
    Dims(call.op).mismatch("bias", concat("broadcastable to [batch, numHeads, seqLenQ, seqLenKV] = ", toString(wanted)),
                           given->shape);
  return view;
}

}  // namespace

Pattern concretePattern(const char* op, const PatternSpec& spec, int64_t seqLenQ, int64_t seqLenKV) {
  Contiguous lengths{int(seqLenQ), int(seqLenKV)};
  auto count = [&](const char* name, const std::optional<int64_t>& value, int absent) {
    return value ? checkedCount(op, name, *value) : absent;
  };
  if (spec.kind == "full") return Full{lengths};
  if (spec.kind == "causal") return Window{lengths, Window::unbounded, 0};
  int before = count("before", spec.before, Window::unbounded), after = count("after", spec.after, 0);
  if (spec.kind == "window") return Window{lengths, before, after};
  if (spec.kind == "sinks") return Sinks{lengths, count("tokens", spec.tokens, 0), before, after};
  throw Error(Code::Unsupported,
              concat(op, ": unknown pattern \"", spec.kind, "\"; known: full, causal, window, sinks"))
      .with("feature", concat("pattern ", spec.kind))
      .with("known", "full, causal, window, sinks");
}

Pattern concretePattern(const char* op, const FlashAttentionOptions& options, int64_t seqLenQ, int64_t seqLenKV) {
  if (options.pattern) {
    if (options.window || options.causal)
      badArgument(op, "pattern", "pattern says all by itself: give either pattern, or causal and window");
    return concretePattern(op, *options.pattern, seqLenQ, seqLenKV);
  }
  Contiguous lengths{int(seqLenQ), int(seqLenKV)};
  if (!options.window) return options.causal ? Pattern(Window{lengths, Window::unbounded, 0}) : Pattern(Full{lengths});
  int before = checkedCount(op, "window", options.window->before);
  int after = options.window->after ? checkedCount(op, "window", *options.window->after) : before;
  return Window{lengths, before, options.causal ? 0 : after};
}

AttentionCall attentionCall(const char* op, Dims& dims, const Tensor& q, int64_t seqLenKV, int64_t numKVHeads,
                            int64_t valueDim, const FlashAttentionOptions& options) {
  AttentionCall call{};
  call.op = op;
  call.batch = q.shape[0], call.seqLenQ = q.shape[1], call.numHeads = q.shape[2], call.headDim = q.shape[3];
  call.seqLenKV = seqLenKV, call.numKVHeads = numKVHeads, call.valueDim = valueDim;
  requireSizes(call, dims, q);
  double scale = options.scale.value_or(1 / std::sqrt(double(call.headDim)));
  requireFinite(op, "scale", scale);
  requireFinite(op, "softcap", options.softcap.value_or(0));
  if (options.softcap && *options.softcap <= 0)
    badArgument(op, "softcap", concat("softcap must be positive, got ", *options.softcap));
  call.scale = float(scale);
  call.softcap = float(options.softcap.value_or(0));
  call.pattern = concretePattern(op, options, call.seqLenQ, seqLenKV);
  call.alibiSlopes = perHead(op, "alibiSlopes", options.alibiSlopes, call.numHeads);
  call.sinkLogits = perHead(op, "sinkLogits", options.sinkLogits, call.numHeads);
  call.bias = broadcastBias(call, options.bias);
  call.q = q;
  call.out = newOutput(op, q.dtype, {call.batch, call.seqLenQ, call.numHeads, valueDim});
  if (options.returnLse) call.lse = newOutput(op, DType::Float32, {call.batch, call.numHeads, call.seqLenQ});
  return call;
}

AttentionArgs argumentsOf(const AttentionCall& call) {
  AttentionArgs args{};
  args.q = call.q.view();
  args.out = call.out.view();
  args.lse = viewOf(call.lse);
  args.scale = call.scale;
  args.softcap = call.softcap;
  args.alibiSlopes = viewOf(call.alibiSlopes);
  args.bias = viewOf(call.bias);
  args.sinkLogits = viewOf(call.sinkLogits);
  args.pattern = &call.pattern;
  return args;
}

AttentionOutput outputOf(const AttentionCall& call) { return {call.out, call.lse}; }

AttentionOutput flashAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                               const FlashAttentionOptions& options) {
  Dims dims("flashAttention");
  dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  auto [batch, seqLenKV, numKVHeads, headDim] = dims.bind<4>(k, "k", "[batch, seqLenKV, numKVHeads, headDim]");
  int64_t valueDim = dims.bind<4>(v, "v", "[batch, seqLenKV, numKVHeads, valueDim]")[3];
  requireDType("flashAttention", "q", q, floatDTypes);
  requireSameDType("flashAttention", "k", k, "q", q.dtype);
  requireSameDType("flashAttention", "v", v, "q", q.dtype);
  AttentionCall call = attentionCall("flashAttention", dims, q, seqLenKV, numKVHeads, valueDim, options);
  Tensor* lse = call.lse ? &*call.lse : &call.out;
  enqueue("flashAttention",
          {&q, &k, &v, call.alibiSlopes ? &*call.alibiSlopes : &q, call.bias ? &*call.bias : &q,
           call.sinkLogits ? &*call.sinkLogits : &q},
          {&call.out, lse}, [call, k, v](const Backend& table, Parallel& parallel) {
            AttentionArgs args = argumentsOf(call);
            args.k = k.view();
            args.v = v.view();
            table.attention(args, parallel);
          });
  return outputOf(call);
}

AttentionPart mergeAttention(const std::vector<AttentionPart>& parts) {
  if (parts.empty()) badArgument("mergeAttention", "parts", "parts must hold at least one {out, lse}");
  Dims dims("mergeAttention");
  DType dtype = parts[0].out.dtype;
  for (const auto& part : parts) {
    dims.bind<4>(part.out, "out", "[batch, seqLenQ, numHeads, valueDim]");
    dims.bind<3>(part.lse, "lse", "[batch, numHeads, seqLenQ]");
    requireDType("mergeAttention", "out", part.out, floatDTypes);
    requireSameDType("mergeAttention", "out", part.out, "the first part", dtype);
    requireDType("mergeAttention", "lse", part.lse, {DType::Float32});
  }
  Tensor out = newOutput("mergeAttention", dtype, parts[0].out.shape),
         lse = newOutput("mergeAttention", DType::Float32, parts[0].lse.shape);
  std::vector<const Tensor*> inputs;
  for (const auto& part : parts) inputs.insert(inputs.end(), {&part.out, &part.lse});
  enqueue("mergeAttention", inputs, {&out, &lse}, [=](const Backend& table, Parallel& parallel) {
    std::vector<TensorView> outs, lses;
    for (const auto& part : parts) {
      outs.push_back(part.out.view());
      lses.push_back(part.lse.view());
    }
    table.mergeAttention({int(parts.size()), outs.data(), lses.data(), out.view(), lse.view()}, parallel);
  });
  return {out, lse};
}

}  // namespace longspan
