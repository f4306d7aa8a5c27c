#include "shape.h"

#include <cmath>

namespace longspan {
namespace {

[[noreturn]] void wrongDType(std::string_view op, std::string_view argument, const std::string& expected,
                             DType actual) {
  throw Error(Code::DType, concat(op, ": ", argument, " must be ", expected, ", got ", nameOf(actual)))
      .with("op", std::string(op))
      .with("argument", std::string(argument))
      .with("expected", expected)
      .with("actual", nameOf(actual));
}

}  // namespace

void requireDType(std::string_view op, std::string_view argument, const Tensor& tensor,
                  std::initializer_list<DType> allowed) {
  std::string names;
  for (DType dtype : allowed) {
    if (dtype == tensor.dtype) return;
    names += (names.empty() ? "" : " or ") + std::string(nameOf(dtype));
  }
  wrongDType(op, argument, names, tensor.dtype);
}

void requireSameDType(std::string_view op, std::string_view argument, const Tensor& tensor, std::string_view like,
                      DType dtype) {
  if (tensor.dtype != dtype) wrongDType(op, argument, concat(nameOf(dtype), " like ", like), tensor.dtype);
}

void badArgument(std::string_view op, std::string_view argument, const std::string& message) {
  throw Error(Code::Argument, concat(op, ": ", message))
      .with("op", std::string(op))
      .with("argument", std::string(argument));
}

void requireFinite(std::string_view op, std::string_view argument, double value) {
  if (!std::isfinite(value)) badArgument(op, argument, concat(argument, " must be a finite number, got ", value));
}

}  // namespace longspan
