#include "hash_directions.h"

#include <algorithm>

#include "bucket_order.h"
#include "ops.h"

namespace longspan {
namespace {

int64_t columnsOf(const std::vector<int>& factors) {
  int64_t columns = 0;
  for (int factor : factors) columns += factor / 2;
  return columns;
}

int64_t bucketsOf(const HashSpec& spec) {
  bool counts = spec.rotations && spec.rotations->rank() > 0 && spec.rotations->shape.back() > 0;
  int64_t buckets = spec.buckets.value_or(counts ? 2 * spec.rotations->shape.back() : spec.fallback);
  if (buckets < 2 || buckets > (1 << 30) || buckets % 2)
    badArgument(spec.op, "buckets", concat("buckets must be even and in [2, 2^30], got ", buckets));
  return buckets;
}

// [rounds, heads or 1, headDim, columns]
Tensor checkedRotations(const HashSpec& spec, int64_t columns) {
  const Tensor& given = *spec.rotations;
  requireDType(spec.op, "rotations", given, floatDTypes);
  Shape shared = {spec.headDim, columns}, own = {spec.numHeads, spec.headDim, columns};
  if (spec.hasRounds) shared.insert(shared.begin(), spec.rounds), own.insert(own.begin(), spec.rounds);
  if (given.shape != shared && given.shape != own) {
    std::string rounds = spec.hasRounds ? "rounds, " : "";
    Dims(spec.op).mismatch("rotations",
                           concat("[", rounds, "headDim, columns] = ", toString(shared), " or [", rounds, spec.heads,
                                  ", headDim, columns] = ", toString(own)),
                           given.shape);
  }
  return reshape(given, {spec.rounds, given.shape == own ? spec.numHeads : 1, spec.headDim, columns});
}

void fill(const Tensor& packed, const std::optional<Tensor>& given, uint64_t seed) {
  float* out = static_cast<float*>(packed.data());
  int64_t spare = int64_t(spareDirections) * packed.shape[1], values = packed.size() - spare;
  if (given) {
    std::copy_n(static_cast<const float*>(given->data()), values, out);
  } else {
    fillNormal(out, values, seed);
  }
  std::fill_n(out + values, spare, 0.f);
}

}  // namespace

int HashDirections::columns() const { return int(columnsOf(factors)); }

HashDirections hashDirections(const HashSpec& spec) {
  int64_t buckets = bucketsOf(spec);
  HashDirections directions{bucketFactors(buckets), int(spec.rounds), 1, int(spec.headDim), {}};
  std::optional<Tensor> given;
  if (spec.rotations) {
    if (spec.rotations->rank() > 0 && spec.rotations->shape.back() == buckets / 2) directions.factors = {int(buckets)};
    Tensor rotations = checkedRotations(spec, columnsOf(directions.factors));
    directions.heads = int(rotations.shape[1]);
    given = onDevice(contiguous(converted(transpose(rotations, 2, 3), DType::Float32)), Device{});
  }
  int64_t rows = spec.rounds * directions.heads * columnsOf(directions.factors);
  Tensor packed = newOutput(spec.op, DType::Float32, {rows + spareDirections, spec.headDim});
  enqueue(spec.op, given ? std::vector<const Tensor*>{&*given} : std::vector<const Tensor*>{}, {&packed},
          [packed, given, seed = uint64_t(spec.seed)](const Backend&, Parallel&) { fill(packed, given, seed); });
  directions.packed = onDevice(packed, spec.device);
  return directions;
}

void HashDirections::hash(const Tensor& x, int numHeads, const Tensor& out, const Backend& table,
                          Parallel& parallel) const {
  table.bucketHash({x.view(), static_cast<const float*>(packed.data()), rounds, numHeads, heads, true, factors.data(),
                    int(factors.size()), static_cast<int*>(out.data())},
                   parallel);
}

}  // namespace longspan
