// Rotary position embedding (Su et al. 2021, RoFormer): pairs of dims turn by position · frequency.
#include "rope.h"

#include "read_numbers.h"

namespace longspan {

std::vector<const Tensor*> Rotation::lists() const {
  return frequencies.tensor ? std::vector<const Tensor*>{&*frequencies.tensor} : std::vector<const Tensor*>{};
}

std::vector<double> Rotation::readFrequencies(Parallel& parallel) const {
  return readNumbers(frequencies, backend(), parallel);
}

RopeArgs Rotation::arguments(const Tensor& x, const Tensor& out, const std::vector<double>& read) const {
  RopeArgs args{};
  args.x = x.view();
  args.positions = positions.view();
  args.frequencies64 = read.data();
  args.numFrequencies = int64_t(read.size());
  args.attentionScale = attentionScale;
  args.interleaved = interleaved;
  args.positionStep = positionStep;
  args.positionOffset = positionOffset;
  args.out = out.view();
  return args;
}

Rotation rotationOf(const char* op, Dims& dims, int64_t headDim, const Integers& positions, const RopeOptions& options,
                    const Device& device) {
  if (positions.tensor.rank() == 1)
    dims.bind<1>(positions.tensor, "positions", "[seqLen]");
  else
    dims.bind<2>(positions.tensor, "positions", "[batch, seqLen]");
  if (!options.frequencies)
    badArgument(op, "frequencies", "frequencies is required: one number per pair of rotated dims");
  const int64_t pairs = int64_t(options.frequencies->size());
  dims.require(2 * pairs <= headDim, "frequencies", concat("2 · frequencies must not pass headDim = ", headDim),
               concat(pairs, " frequencies"));
  requireFinite(op, "attentionScale", options.attentionScale);
  requireFinite(op, "positionStep", options.positionStep);
  requireFinite(op, "positionOffset", options.positionOffset);
  requireNumbers(op, "frequencies", *options.frequencies);
  if (options.layout != "half" && options.layout != "interleaved")
    badArgument(op, "layout", concat("layout must be \"half\" or \"interleaved\", got \"", options.layout, "\""));

  Rotation rotation;
  rotation.positions = onDevice(positions.tensor, device);
  rotation.frequencies = *options.frequencies;
  if (auto& tensor = rotation.frequencies.tensor) tensor = onDevice(converted(*tensor, DType::Float32), Device{});
  rotation.attentionScale = float(options.attentionScale);
  rotation.interleaved = options.layout == "interleaved";
  rotation.positionStep = options.positionStep;
  rotation.positionOffset = options.positionOffset;
  return rotation;
}

Tensor rope(const Tensor& x, const Integers& positions, const RopeOptions& options) {
  const char* op = "rope";
  Dims dims(op);
  const int64_t headDim = dims.bind<4>(x, "x", "[batch, seqLen, numHeads, headDim]")[3];
  requireDType(op, "x", x, floatDTypes);
  const Rotation rotation = rotationOf(op, dims, headDim, positions, options, x.device());
  Tensor out = newOutput(op, x.dtype, x.shape, x.device());
  enqueue(
      op, hasRows<&Backend::rope>, {&x, &rotation.positions}, {&out},
      [x, out, rotation](const Backend& table, Parallel& parallel) {
        const std::vector<double> frequencies = rotation.readFrequencies(parallel);
        table.rope(rotation.arguments(x, out, frequencies), parallel);
      },
      rotation.lists());
  return out;
}

}  // namespace longspan
