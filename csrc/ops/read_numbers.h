// Numbers given as values or as a tensor, as float64 when the op runs.
#pragma once
#include <cmath>
#include <vector>

#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

inline void requireNumbers(const char* op, const char* argument, const Numbers& numbers) {
  if (numbers.tensor) {
    if (numbers.tensor->rank() != 1)
      throw Error(Code::Shape, concat(op, ": ", argument, " must have one axis, got ", toString(numbers.tensor->shape)))
          .with("op", op)
          .with("argument", argument)
          .with("expected", "[n]")
          .with("actual", toString(numbers.tensor->shape));
    requireDType(op, argument, *numbers.tensor, floatDTypes);
  }
  for (double value : numbers.values) requireFinite(op, argument, value);
}

inline std::vector<double> readNumbers(const Numbers& numbers, const Backend& table, Parallel& parallel) {
  if (!numbers.tensor) return numbers.values;
  std::vector<float> values(numbers.size());
  TensorView out = numbers.tensor->view();
  out.data = values.data();
  out.dtype = DType::Float32;
  out.strides[0] = 1;
  table.copy({numbers.tensor->view(), out}, parallel);
  return std::vector<double>(values.begin(), values.end());
}

}  // namespace longspan
