// What the ops of the linear family share: shapes checked against named dims, the state taken and given.
#pragma once
#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

struct LinearSizes {
  int64_t batch, seqLenQ, numHeads, headDim, seqLenKV, numKVHeads, valueDim;
  int64_t offset() const { return seqLenKV - seqLenQ; }  // the last query is aligned with the last key
};

// Checks q, k, v: shapes, dtypes, heads that divide, widths in [1, mostHeadDim] and [1, 256].
LinearSizes bindLinear(Dims& dims, const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                       int64_t mostHeadDim = 256);
// `given` or headDim ** -0.5
float scaleOf(const char* op, const std::optional<double>& given, int64_t headDim);
// A state tensor of this shape as float32, or an error that shows `spec`.
std::optional<Tensor> checkedState(const char* op, const char* argument, const std::optional<Tensor>& given,
                                   const Shape& shape, const char* spec);
// Gates or betas: heads of q or of k
Tensor checkedPerHead(const char* op, const char* argument, const std::optional<Tensor>& given,
                      const LinearSizes& sizes, bool perDim);

struct LinearCall {
  const char* op;
  Tensor q, k, v, out;
  LinearAttentionArgs args{};  // all but the tensors
  int64_t features = 0;        // of the state
  std::optional<Tensor> gates;
  std::optional<Numbers> gammas;
  std::optional<PackedMatrix> projection;
  std::optional<Tensor> valuesBefore, keysBefore, logScaleBefore, valuesAfter, keysAfter, logScaleAfter;
};
LinearCall linearCall(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const LinearSizes& sizes);
// The state's tensors as options of a call whose args and features are set
void takeState(LinearCall& call, const LinearSizes& sizes, const std::optional<LinearState>& state, bool returnState);
StatefulOutput<LinearState> enqueueNormalised(const LinearCall& call);
using LinearWork = std::function<void(const LinearCall&, const Backend&, Parallel&)>;
void enqueueLinear(const LinearCall& call, LinearWork work = nullptr);  // null: the kernel of the table
// The kernel's arguments, complete but for gammas
LinearAttentionArgs argumentsOf(const LinearCall& call);

}  // namespace longspan
