// Named dimensions. One text is the check, the error message and the documentation:
//   Dims dims("flashAttention");
//   auto [batch, seqLenQ, numHeads, headDim] = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
#pragma once
#include <array>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "tensor.h"

namespace longspan {

class Dims {
 public:
  explicit Dims(std::string_view op) : op_(op) {}

  template <size_t rank>
  std::array<int64_t, rank> bind(const Tensor& tensor, std::string_view argument, std::string_view spec) {
    if (tensor.shape.size() != rank) mismatch(argument, std::string(spec), tensor.shape);
    std::array<int64_t, rank> sizes;
    size_t at = 1;
    for (size_t i = 0; i < rank; ++i) {
      size_t end = spec.find_first_of(",]", at);
      std::string name(spec.substr(at, end - at));
      at = end + 2;
      auto [known, isNew] = bound_.try_emplace(name, Bound{tensor.shape[i], std::string(argument)});
      if (!isNew && known->second.size != tensor.shape[i])
        mismatch(argument,
                 concat(spec, " with ", name, " = ", known->second.size, " (from ", known->second.argument, ")"),
                 tensor.shape);
      sizes[i] = tensor.shape[i];
    }
    return sizes;
  }

  [[noreturn]] void mismatch(std::string_view argument, const std::string& expected, const Shape& actual) const {
    throw Error(Code::Shape, concat(op_, ": ", argument, " must be ", expected, ", got ", toString(actual)))
        .with("op", op_)
        .with("argument", std::string(argument))
        .with("expected", expected)
        .with("actual", toString(actual));
  }
  // A condition between named sizes that a spec cannot say.
  void require(bool holds, std::string_view argument, const std::string& expected, const std::string& actual) const {
    if (holds) return;
    throw Error(Code::Shape, concat(op_, ": ", expected, ", got ", actual))
        .with("op", op_)
        .with("argument", std::string(argument))
        .with("expected", expected)
        .with("actual", actual);
  }

 private:
  struct Bound {
    int64_t size;
    std::string argument;
  };
  std::string op_;
  std::map<std::string, Bound> bound_;
};

// dtype must be one of `allowed`.
void requireDType(std::string_view op, std::string_view argument, const Tensor& tensor,
                  std::initializer_list<DType> allowed);
void requireSameDType(std::string_view op, std::string_view argument, const Tensor& tensor, std::string_view like,
                      DType dtype);
[[noreturn]] void badArgument(std::string_view op, std::string_view argument, const std::string& message);
void requireFinite(std::string_view op, std::string_view argument, double value);

inline constexpr std::initializer_list<DType> floatDTypes = {DType::Float32, DType::Float16, DType::BFloat16};

}  // namespace longspan
