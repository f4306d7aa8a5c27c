// Scatterbrain (Chen et al. 2021): exact softmax scores on a support, here a window, and random features elsewhere.
// Keys in the window, before it and after it are three disjoint sets, so nothing is subtracted: flash attention over
// the window, a linear state that lags behind it, for the keys after it one that runs backwards, and a merge by their
// lse. It goes by tiles of queries and a few heads at a time, so that the parts take little memory at any length.
#include <algorithm>

#include "../core/memory.h"
#include "random_features.h"

namespace longspan {
namespace {

constexpr int64_t tileLength = 2048, partsBytes = 4 << 20;

TensorView narrowed(TensorView view, int axis, int64_t start, int64_t length) {
  view.data = static_cast<char*>(view.data) + start * view.strides[axis] * sizeOf(view.dtype);
  view.shape[axis] = length;
  return view;
}

TensorView reversed(TensorView view, int axis) {
  if (view.shape[axis] == 0) return view;
  view = narrowed(view, axis, view.shape[axis] - 1, view.shape[axis]);
  view.strides[axis] = -view.strides[axis];
  return view;
}

TensorView denseView(void* data, DType dtype, const Shape& shape) {
  TensorView view{data, dtype, int(shape.size())};
  Shape strides = contiguousStrides(shape);
  std::copy(shape.begin(), shape.end(), view.shape);
  std::copy(strides.begin(), strides.end(), view.strides);
  return view;
}

struct Reach {
  int64_t before, after;
};

// Some heads of one sequence, and the memory of its parts
struct Scatter {
  const Backend& table;
  Parallel& parallel;
  LinearAttentionArgs args;  // q, k, v, out of these heads
  Reach window;
  float scale;
  bool causal;
  int64_t heads, tile, features;
  std::vector<std::shared_ptr<void>> memory;
  TensorView lse, part, partLse;  // lse: of what out holds, [1, heads, seqLenQ], for the sweep backwards
  LinearStateView states[2];

  TensorView take(DType dtype, const Shape& shape) {
    size_t bytes = sizeOf(dtype);
    for (int64_t extent : shape) bytes *= size_t(extent);
    memory.push_back(allocate(std::max<size_t>(bytes, 64), "parts of scatterbrainAttention"));
    return denseView(memory.back().get(), dtype, shape);
  }
  void allocateParts() {
    const int64_t valueDim = args.v.shape[3];
    part = take(DType::Float32, {1, tile, heads, valueDim});
    partLse = take(DType::Float32, {1, heads, tile});
    if (!causal) lse = take(DType::Float32, {1, heads, args.q.shape[1]});
    for (auto& state : states)
      state = {take(DType::Float32, {1, heads, features, valueDim}), take(DType::Float32, {1, heads, features}),
               take(DType::Float32, {1, heads})};
  }

  // Flash attention of queries [first, end) over their windows, merged into out and lse
  void attendWindow(int64_t first, int64_t end, const TensorView& out, const TensorView& outLse) {
    const int64_t seqLenKV = args.k.shape[1], position = first + seqLenKV - args.q.shape[1];
    const int64_t firstKey = std::clamp(position - window.before, int64_t(0), seqLenKV);
    const int64_t endKey = std::clamp(position + end - first + window.after, firstKey, seqLenKV);
    const Contiguous lengths(int(end - first), int(endKey - firstKey), int(position - firstKey));
    Pattern pattern = Window{{lengths}, int(window.before), int(window.after)};
    AttentionArgs call{};
    call.q = narrowed(args.q, 1, first, end - first);
    call.k = narrowed(args.k, 1, firstKey, endKey - firstKey);
    call.v = narrowed(args.v, 1, firstKey, endKey - firstKey);
    call.out = out;
    call.lse = outLse;
    call.scale = scale;
    call.pattern = &pattern;
    call.offset = lengths.offset();
    call.accumulate = true;
    if (endKey > firstKey) table.attention(call, parallel);
  }

  // In the order of the sweep, query i reads the random features of keys up to i + offset − reach − 1. Forwards they
  // are merged with the window and become out; backwards they are merged into out.
  void sweep(bool backwards, int64_t reach, int64_t offset) {
    auto turned = [&](const TensorView& view, int axis) { return backwards ? reversed(view, axis) : view; };
    const TensorView q = turned(args.q, 1), k = turned(args.k, 1), v = turned(args.v, 1), out = turned(args.out, 1);
    const TensorView allLse = lse ? turned(lse, 2) : lse;
    const int64_t seqLenQ = q.shape[1], seqLenKV = k.shape[1];
    int64_t done = 0;
    for (int64_t first = 0, turn = 0; first < seqLenQ && !parallel.cancelled(); first += tile, ++turn) {
      const int64_t end = std::min(seqLenQ, first + tile), length = end - first;
      const int64_t endKey = std::clamp(end + offset - reach - 1, done, seqLenKV);
      const TensorView target = narrowed(out, 1, first, length), own = narrowed(partLse, 2, 0, length);
      const TensorView targetLse = lse ? narrowed(allLse, 2, first, length) : own;
      LinearAttentionArgs call = args;
      call.q = narrowed(q, 1, first, length);
      call.k = narrowed(k, 1, done, endKey - done);
      call.v = narrowed(v, 1, done, endKey - done);
      call.out = narrowed(part, 1, 0, length);
      call.lse = backwards ? own : targetLse;
      call.offset = first + offset - reach - 1 - done;
      if (turn > 0) call.before = states[turn % 2];
      call.after = states[(turn + 1) % 2];
      table.linearAttention(call, parallel);
      done = endKey;
      if (backwards) {
        const TensorView outs[] = {target, call.out}, lses[] = {targetLse, own};
        table.mergeAttention({2, outs, lses, target, {}}, parallel);
      } else {
        attendWindow(first, end, call.out, targetLse);
        table.copy({call.out, target}, parallel);
      }
    }
  }

  void run() {
    const int64_t seqLenQ = args.q.shape[1], seqLenKV = args.k.shape[1];
    sweep(false, window.before, seqLenKV - seqLenQ);
    if (!causal) sweep(true, window.after, 0);  // backwards, the first query stands at the first key
  }
};

// f(first head, heads, first KV head, KV heads): as many heads at a time as the bytes allow
template <class F>
void forHeads(int64_t numHeads, int64_t numKVHeads, int64_t bytesPerHead, const F& f) {
  const int64_t group = numHeads / numKVHeads, affordable = std::max<int64_t>(1, partsBytes / bytesPerHead);
  if (affordable < group) {
    for (int64_t head = 0; head < numHeads;) {
      const int64_t count = std::min(affordable, group - head % group);
      f(head, count, head / group, int64_t(1));
      head += count;
    }
    return;
  }
  for (int64_t kv = 0, step = affordable / group; kv < numKVHeads; kv += step) {
    const int64_t count = std::min(step, numKVHeads - kv);
    f(kv * group, count * group, kv, count);
  }
}

void scatterWork(const LinearCall& call, Reach window, bool causal, float scale, const Backend& table,
                 Parallel& parallel) {
  const LinearAttentionArgs all = argumentsOf(call);
  const int64_t batch = all.q.shape[0], seqLenQ = all.q.shape[1], numHeads = all.q.shape[2], valueDim = all.v.shape[3];
  if (batch * seqLenQ * numHeads == 0) return;
  const int64_t tile = std::min(tileLength, seqLenQ);
  const int64_t bytesPerHead = 4 * (tile + 2 * call.features) * (valueDim + 1) + (causal ? 0 : 4 * seqLenQ);
  for (int64_t b = 0; b < batch; ++b)
    forHeads(numHeads, all.k.shape[2], bytesPerHead, [&](int64_t head, int64_t heads, int64_t kvHead, int64_t kvHeads) {
      if (parallel.cancelled()) return;
      auto part = [&](const TensorView& view, int64_t first, int64_t count) {
        return narrowed(narrowed(view, 0, b, 1), 2, first, count);
      };
      LinearAttentionArgs args = all;
      args.causal = true;  // each sweep is
      args.q = part(all.q, head, heads), args.out = part(all.out, head, heads);
      args.k = part(all.k, kvHead, kvHeads), args.v = part(all.v, kvHead, kvHeads);
      Scatter scatter{table, parallel, args, window, scale, causal, heads, tile, call.features};
      scatter.allocateParts();
      scatter.run();
    });
}

int64_t checkedReach(const char* op, int64_t value) {
  if (value < 0) badArgument(op, "window", concat("window must not be negative, got ", value));
  return std::min<int64_t>(value, Window::unbounded);
}

}  // namespace

Tensor scatterbrainAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                             const ScatterbrainAttentionOptions& options) {
  const char* op = "scatterbrainAttention";
  Dims dims(op);
  LinearSizes sizes = bindLinear(dims, op, q, k, v);
  constexpr int64_t maxSeqLen = int64_t(1) << 30;
  dims.require(sizes.seqLenQ < maxSeqLen && sizes.seqLenKV < maxSeqLen, "q",
               concat("sequence lengths must be below ", maxSeqLen), toString(q.shape));
  requirePositiveScale(op, options.scale);
  Reach window{};
  if (options.window) {
    window.before = checkedReach(op, options.window->before);
    window.after = options.causal ? 0 : checkedReach(op, options.window->after.value_or(window.before));
  }
  PackedMatrix projection = packedProjection(
      op, {sizes.headDim, options.seed, options.features, options.orthogonalScaling}, options.projection);
  LinearCall call = linearCall(op, q, k, v, sizes);
  estimateSoftmax(call, options.scale, options.hyperbolic, projection);
  call.args.causal = options.causal;
  if (!options.window) return enqueueLinear(call), call.out;
  float scale = scaleOf(op, options.scale, sizes.headDim);
  enqueueLinear(call, [=, causal = options.causal](const LinearCall& given, const Backend& table, Parallel& parallel) {
    scatterWork(given, window, causal, scale, table, parallel);
  });
  return call.out;
}

}  // namespace longspan
