// What performerAttention and scatterbrainAttention share: the projection, and features in place of scores.
#pragma once
#include "linear_call.h"

namespace longspan {

// The projection given, or made from the options, in float32 panels; both are checked under the name of `op`.
PackedMatrix packedProjection(const char* op, const PerformerProjectionOptions& options,
                              const std::optional<Tensor>& given);
void requirePositiveScale(const char* op, const std::optional<double>& scale);
// Features whose products estimate e^(scale · q·k): both q and k are multiplied by the scale's root.
void estimateSoftmax(LinearCall& call, const std::optional<double>& scale, bool hyperbolic,
                     const PackedMatrix& projection);

}  // namespace longspan
