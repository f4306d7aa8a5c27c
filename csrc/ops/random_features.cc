// Performer (Choromanski et al. 2021, FAVOR+): softmax attention estimated by positive orthogonal random features.
#include "random_features.h"

#include <algorithm>
#include <cmath>

namespace longspan {
namespace {

constexpr int64_t mostFeatures = 8192;

// Normal numbers from a seed: splitmix64 (Steele et al. 2014) and Box and Muller
struct Normal {
  uint64_t state;
  double uniform() {  // in (0, 1]
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return double(((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
  }
  double next() {
    double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * M_PI * uniform());
  }
};

// Gaussian rows made orthonormal one after the other (Gram and Schmidt, twice for precision). It is the QR
// decomposition with a positive diagonal of R: only so are the directions uniform and the features unbiased.
void orthonormalBlock(Normal& normal, int64_t n, std::vector<double>& rows) {
  rows.resize(n * n);
  for (int64_t i = 0; i < n; ++i) {
    double* row = &rows[i * n];
    for (int64_t d = 0; d < n; ++d) row[d] = normal.next();
    double square = 0;
    for (int64_t pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < i; ++j) {
        const double* other = &rows[j * n];
        double along = 0;
        for (int64_t d = 0; d < n; ++d) along += row[d] * other[d];
        for (int64_t d = 0; d < n; ++d) row[d] -= along * other[d];
      }
    for (int64_t d = 0; d < n; ++d) square += row[d] * row[d];
    for (int64_t d = 0; d < n; ++d) row[d] /= std::sqrt(square);
  }
}

// Block `block` of headDim rows of the projection
void fillBlock(float* out, int64_t block, int64_t features, int64_t n, uint64_t seed, bool orthogonalScaling) {
  Normal normal{(seed + 1) * 0xd1342543de82ef95 + uint64_t(block) * 0xaf251af3b0f025b5};
  std::vector<double> rows;
  orthonormalBlock(normal, n, rows);
  for (int64_t i = 0; i < n && block * n + i < features; ++i) {
    double square = 0;
    for (int64_t d = 0; d < n && !orthogonalScaling; ++d) {
      double x = normal.next();
      square += x * x;
    }
    double length = std::sqrt(orthogonalScaling ? double(n) : square);
    for (int64_t d = 0; d < n; ++d) out[(block * n + i) * n + d] = float(length * rows[i * n + d]);
  }
}

Tensor projectionOf(const char* op, const PerformerProjectionOptions& options) {
  const int64_t headDim = options.headDim;
  int64_t features =
      options.features.value_or(std::max<int64_t>(1, int64_t(double(headDim) * std::log(double(headDim)))));
  if (features < 1 || features > mostFeatures)
    badArgument(op, "features", concat("features must be in [1, ", mostFeatures, "], got ", features));
  if (options.seed < 0) badArgument(op, "seed", concat("seed must not be negative, got ", options.seed));
  Tensor out = newOutput(op, DType::Float32, {features, headDim});
  enqueue(op, {}, {&out}, [=](const Backend&, Parallel& parallel) {
    parallelFor(parallel, (features + headDim - 1) / headDim, [&](int64_t block, int) {
      fillBlock(static_cast<float*>(out.data()), block, features, headDim, uint64_t(options.seed),
                options.orthogonalScaling);
    });
  });
  return out;
}

}  // namespace

PackedMatrix packedProjection(const char* op, const PerformerProjectionOptions& options,
                              const std::optional<Tensor>& given) {
  if (!given) return packWeight(projectionOf(op, options), {"float32"});
  requireDType(op, "projection", *given, floatDTypes);
  Dims(op).require(given->rank() == 2 && given->shape[1] == options.headDim && given->shape[0] >= 1, "projection",
                   concat("projection must be [features, headDim = ", options.headDim, "]"), toString(given->shape));
  if (given->shape[0] > mostFeatures)
    badArgument(op, "projection",
                concat("projection must have at most ", mostFeatures, " rows, got ", given->shape[0]));
  if (options.features && *options.features != given->shape[0])
    badArgument(op, "features",
                concat("features is ", *options.features, ", but projection has ", given->shape[0], " rows"));
  return packWeight(*given, {"float32"});
}

void estimateSoftmax(LinearCall& call, const std::optional<double>& scale, bool hyperbolic,
                     const PackedMatrix& projection) {
  call.args.scaleQ = call.args.scaleK = std::sqrt(scaleOf(call.op, scale, call.q.shape[3]));
  call.args.map = FeatureMap::RandomExp;
  call.args.hyperbolic = hyperbolic;
  call.args.normalise = true;
  call.projection = projection;
  call.features = projection.outFeatures * (hyperbolic ? 2 : 1);
}

void requirePositiveScale(const char* op, const std::optional<double>& scale) {
  if (scale && !(*scale > 0)) badArgument(op, "scale", concat("scale must be positive, got ", *scale));
}

Tensor performerProjection(const PerformerProjectionOptions& options) {
  if (options.headDim < 1 || options.headDim > 256)
    badArgument("performerProjection", "headDim", concat("headDim must be in [1, 256], got ", options.headDim));
  return projectionOf("performerProjection", options);
}

StatefulOutput<LinearState> performerAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const PerformerAttentionOptions& options) {
  const char* op = "performerAttention";
  Dims dims(op);
  LinearSizes sizes = bindLinear(dims, op, q, k, v);
  const bool relu = options.kernel == "relu";
  if (!relu && options.kernel != "softmax")
    badArgument(op, "kernel", concat("kernel must be \"softmax\" or \"relu\", got \"", options.kernel, "\""));
  if (relu && options.hyperbolic) badArgument(op, "hyperbolic", "hyperbolic has a meaning only for kernel \"softmax\"");
  if (!relu && options.epsilon) badArgument(op, "epsilon", "epsilon has a meaning only for kernel \"relu\"");
  double epsilon = options.epsilon.value_or(1e-3);
  requireFinite(op, "epsilon", epsilon);
  if (epsilon < 0) badArgument(op, "epsilon", concat("epsilon must not be negative, got ", epsilon));
  requirePositiveScale(op, options.scale);
  PackedMatrix projection = packedProjection(
      op, {sizes.headDim, options.seed, options.features, options.orthogonalScaling}, options.projection);
  LinearCall call = linearCall(op, q, k, v, sizes);
  estimateSoftmax(call, options.scale, options.hyperbolic, projection);
  call.args.causal = options.causal;
  if (relu) call.args.map = FeatureMap::RandomRelu;
  call.args.mapEpsilon = float(epsilon);
  takeState(call, sizes, options.state, options.returnState);
  return enqueueNormalised(call);
}

}  // namespace longspan
