// What lshAttention and lshDecodeAttention check alike.
#pragma once
#include <optional>
#include <string>

#include "../core/shape.h"

namespace longspan {

inline constexpr float lshSelfScore = -5e4f;  // the own position is attended only where nothing else is seen

int lshCount(const char* op, const char* name, int64_t value, int64_t least);  // at most 2^30
bool lshExact(const char* op, const std::string& duplicates);
float lshScale(const char* op, const std::optional<double>& scale, int64_t headDim);

}  // namespace longspan
