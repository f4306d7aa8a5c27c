// Ops that look along the last axis: softmax, argmax, topK, nll; and embedding, which looks rows up.
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"
#include "recording.h"

namespace longspan {
namespace {

// `place` is where a kernel found an index outside [0, limit), −1 when it found none.
void failOnBadIndex(const char* op, const char* what, int64_t place, int64_t limit) {
  if (place < 0) return;
  throw Error(Code::Argument,
              concat(op, ": every ", what, " must be in [0, ", limit, "), the one at place ", place, " is not"))
      .with("op", op)
      .with("argument", what);
}

Tensor nllOf(const Tensor& logits, const Integers& targets, bool checked) {
  requireDType("nll", "logits", logits, floatDTypes);
  Dims dims("nll");
  auto [n, vocabSize] = dims.bind<2>(logits, "logits", "[n, vocabSize]");
  dims.bind<1>(targets.tensor, "targets", "[n]");
  const Tensor wanted = onDevice(targets.tensor, logits.device());
  Tensor out = newOutput("nll", DType::Float32, {n}, logits.device());
  enqueue("nll", hasRows<&Backend::nll>, {&logits, &wanted}, {&out},
          [=, size = vocabSize, targets = wanted](const Backend& table, Parallel& parallel) {
            int64_t badIndex = -1;
            table.nll({logits.view(), targets.view(), out.view(), checked ? &badIndex : nullptr}, parallel);
            failOnBadIndex("nll", "target", badIndex, size);
          });
  return out;
}

}  // namespace

Tensor softmax(const Tensor& x) {
  requireDType("softmax", "x", x, floatDTypes);
  Dims("softmax").require(x.rank() >= 1, "x", "x must have at least one axis", toString(x.shape));
  Tensor out = newOutput("softmax", x.dtype, x.shape, x.device());
  enqueue("softmax", hasRows<&Backend::softmax>, {&x}, {&out}, [=](const Backend& table, Parallel& parallel) {
    table.softmax({x.view(), out.view()}, parallel);
  });
  return out;
}

TopKOutput topK(const Tensor& given, const TopKOptions& options) {
  requireDType("topK", "x", given, floatDTypes);
  Dims("topK").require(given.rank() >= 1, "x", "x must have at least one axis", toString(given.shape));
  int64_t n = given.shape.back(), k = options.k;
  if (k < 1 || k > n)
    badArgument("topK", "k", concat("k must be in [1, ", n, "], the length of the last axis, got ", k));
  Tensor x = reshape(given, {-1, n});
  Shape shape = given.shape;
  shape.back() = k;
  Tensor values = newOutput("topK", DType::Float32, {x.shape[0], k}, x.device()),
         indices = newOutput("topK", DType::Int32, {x.shape[0], k}, x.device());
  enqueue("topK", hasRows<&Backend::topK>, {&x}, {&values, &indices}, [=](const Backend& table, Parallel& parallel) {
    table.topK({x.view(), values.view(), indices.view()}, parallel);
  });
  return {reshape(values, shape), reshape(indices, shape)};
}

Tensor argmax(const Tensor& given) {
  requireDType("argmax", "x", given, floatDTypes);
  Dims("argmax").require(given.rank() >= 1 && given.shape.back() > 0, "x",
                         "x must have a last axis of at least one element", toString(given.shape));
  Tensor x = reshape(given, {-1, given.shape.back()});
  Tensor indices = newOutput("argmax", DType::Int32, {x.shape[0], 1}, x.device());
  enqueue("argmax", hasRows<&Backend::topK>, {&x}, {&indices}, [=](const Backend& table, Parallel& parallel) {
    table.topK({x.view(), TensorView{}, indices.view()}, parallel);
  });
  return reshape(indices, Shape(given.shape.begin(), given.shape.end() - 1));
}

Tensor nll(const Tensor& logits, const Integers& targets) { return nllOf(logits, targets, true); }

Tensor nllOfChosen(const Tensor& logits, const Integers& targets) { return nllOf(logits, targets, false); }

Tensor embedding(const Integers& ids, const Tensor& weight) {
  requireDType("embedding", "weight", weight, floatDTypes);
  Dims dims("embedding");
  auto [vocabSize, hiddenSize] = dims.bind<2>(weight, "weight", "[vocabSize, hiddenSize]");
  Tensor flat = reshape(onDevice(ids.tensor, weight.device()), {-1});
  Shape shape = ids.tensor.shape;
  shape.push_back(hiddenSize);
  Tensor out = newOutput("embedding", weight.dtype == DType::BFloat16 ? DType::BFloat16 : DType::Float32,
                         {flat.shape[0], hiddenSize}, weight.device());
  const bool checked = !currentRecording();  // a recorded pass cannot wait for the answer; its caller checks the ids
  enqueue("embedding", hasRows<&Backend::embedding>, {&flat, &weight}, {&out},
          [=, size = vocabSize](const Backend& table, Parallel& parallel) {
            int64_t badIndex = -1;
            table.embedding({flat.view(), weight.view(), out.view(), checked ? &badIndex : nullptr}, parallel);
            failOnBadIndex("embedding", "id", badIndex, size);
          });
  return reshape(out, shape);
}

}  // namespace longspan
