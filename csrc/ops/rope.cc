// Rotary position embedding (Su et al. 2021, RoFormer): pairs of dims turn by position · frequency.
#include <cmath>

#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"
#include "read_numbers.h"

namespace longspan {

Tensor rope(const Tensor& x, const Integers& positions, const RopeOptions& options) {
  Dims dims("rope");
  auto [batch, seqLen, numHeads, headDim] = dims.bind<4>(x, "x", "[batch, seqLen, numHeads, headDim]");
  requireDType("rope", "x", x, floatDTypes);
  if (positions.tensor.rank() == 1)
    dims.bind<1>(positions.tensor, "positions", "[seqLen]");
  else
    dims.bind<2>(positions.tensor, "positions", "[batch, seqLen]");
  if (!options.frequencies)
    badArgument("rope", "frequencies", "frequencies is required: one number per pair of rotated dims");
  int64_t pairs = int64_t(options.frequencies->size());
  dims.require(2 * pairs <= headDim, "frequencies", concat("2 · frequencies must not pass headDim = ", headDim),
               concat(pairs, " frequencies"));
  requireFinite("rope", "attentionScale", options.attentionScale);
  requireFinite("rope", "positionStep", options.positionStep);
  requireFinite("rope", "positionOffset", options.positionOffset);
  requireNumbers("rope", "frequencies", *options.frequencies);
  if (options.layout != "half" && options.layout != "interleaved")
    badArgument("rope", "layout", concat("layout must be \"half\" or \"interleaved\", got \"", options.layout, "\""));

  Tensor out = newOutput("rope", x.dtype, x.shape, x.device());
  const Tensor places = onDevice(positions.tensor, x.device());
  Numbers frequencies = *options.frequencies;
  std::vector<const Tensor*> lists;
  if (frequencies.tensor) {
    frequencies.tensor = onDevice(converted(*frequencies.tensor, DType::Float32), Device{});
    lists.push_back(&*frequencies.tensor);
  }
  enqueue(
      "rope", hasRows<&Backend::rope>, {&x, &places}, {&out},
      [=, positions = places, scale = float(options.attentionScale), step = options.positionStep,
       offset = options.positionOffset,
       interleaved = options.layout == "interleaved"](const Backend& table, Parallel& parallel) {
        std::vector<double> values = readNumbers(frequencies, backend(), parallel);
        RopeArgs args{};
        args.x = x.view();
        args.positions = positions.view();
        args.frequencies64 = values.data();
        args.numFrequencies = pairs;
        args.attentionScale = scale;
        args.interleaved = interleaved;
        args.positionStep = step;
        args.positionOffset = offset;
        args.out = out.view();
        table.rope(args, parallel);
      },
      lists);
  return out;
}

}  // namespace longspan
