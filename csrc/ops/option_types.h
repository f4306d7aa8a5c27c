// Types of options that several ops take.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "../core/field.h"
#include "../core/tensor.h"

namespace longspan {

// Whole numbers from a Tensor (int32, int64), an Int32Array, a BigInt64Array or an array of numbers.
struct Integers {
  Tensor tensor;  // int32
};
// Real numbers from a Tensor, a Float64Array, a Float32Array or an array of numbers.
struct Numbers {
  std::optional<Tensor> tensor;  // read when the op runs
  std::vector<double> values;
  size_t size() const { return tensor ? size_t(tensor->size()) : values.size(); }
};
struct WindowSpec {  // a number n means {before: n, after: causal ? 0 : n}
  int64_t before = 0;
  std::optional<int64_t> after;
};

}  // namespace longspan
