// The names of activations, as options spell them.
#pragma once
#include "../core/backend.h"
#include "../core/shape.h"

namespace longspan {

inline Activation parseActivation(const char* op, const std::string& name, bool allowNone) {
  if (name == "silu") return Activation::Silu;
  if (name == "gelu") return Activation::Gelu;
  if (name == "geluTanh") return Activation::GeluTanh;
  if (name == "relu") return Activation::Relu;
  if (allowNone && name == "none") return Activation::None;
  badArgument(
      op, "activation",
      concat("activation must be ", allowNone ? "none, " : "", "silu, gelu, geluTanh or relu, got \"", name, "\""));
}

}  // namespace longspan
