// Views: new shapes and strides over the same storage.
#include <algorithm>

#include "../core/shape.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {
namespace {

int64_t checkedAxis(const char* op, const char* argument, const Tensor& tensor, int64_t axis) {
  int64_t rank = tensor.rank();
  if (axis < -rank || axis >= rank)
    badArgument(op, argument,
                concat(argument, " must be in [", -rank, ", ", rank, ") for a tensor of shape ", toString(tensor.shape),
                       ", got ", axis));
  return axis < 0 ? axis + rank : axis;
}

// The wanted shape with its one −1 filled in.
Shape resolvedShape(const Tensor& tensor, const Shape& shape) {
  Shape resolved = shape;
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open < 0)
      open = int64_t(i);
    else if (shape[i] < 0)
      badArgument("reshape", "shape",
                  concat("shape may hold one -1 and no other negative number, got ", toString(shape)));
    else if (__builtin_mul_overflow(known, shape[i], &known))
      badArgument("reshape", "shape", concat("shape ", toString(shape), " is too large"));
  }
  if (open >= 0 && known > 0) resolved[open] = tensor.size() / known;
  int64_t total = open >= 0 ? known * std::max<int64_t>(0, resolved[open]) : known;
  if (open >= 0 && known == 0)
    badArgument("reshape", "shape",
                concat("beside an extent of 0, -1 may be anything: give its number in ", toString(shape)));
  if (total != tensor.size())
    throw Error(Code::Shape, concat("reshape: shape ", toString(shape), " has ", total, " elements, the tensor ",
                                    toString(tensor.shape), " has ", tensor.size()))
        .with("op", "reshape")
        .with("argument", "shape")
        .with("expected", concat(tensor.size(), " elements"))
        .with("actual", toString(shape));
  return resolved;
}

// Strides of `shape` over the tensor's memory, or false where the tensor must be copied first.
bool viewStrides(const Tensor& tensor, const Shape& shape, Shape& strides) {
  if (tensor.isContiguous()) {
    strides = contiguousStrides(shape);
    return true;
  }
  Shape from, step;
  for (int i = 0; i < tensor.rank(); ++i)
    if (tensor.shape[i] != 1) {
      from.push_back(tensor.shape[i]);
      step.push_back(tensor.strides[i]);
    }
  strides.assign(shape.size(), 1);
  size_t i = from.size();
  int64_t left = 0, at = 0;  // elements left of the merged axis, stride of the next inner element
  for (size_t j = shape.size(); j-- > 0;) {
    if (shape[j] == 1) continue;
    if (left <= 1) {
      if (i == 0) return false;
      --i;
      left = from[i];
      at = step[i];
      while (i > 0 && step[i - 1] == step[i] * from[i]) left *= from[--i];
    }
    if (left % shape[j]) return false;
    strides[j] = at;
    at *= shape[j];
    left /= shape[j];
  }
  return true;
}

}  // namespace

Tensor reshape(const Tensor& tensor, const std::vector<int64_t>& shape) {
  Shape resolved = resolvedShape(tensor, shape), strides;
  if (resolved.size() > maxRank)
    badArgument("reshape", "shape", concat("a tensor has at most ", maxRank, " axes, got ", toString(shape)));
  Tensor view = viewStrides(tensor, resolved, strides) ? tensor : contiguous(tensor);
  if (view.storage != tensor.storage) strides = contiguousStrides(resolved);
  view.shape = resolved;
  view.strides = strides;
  return view;
}

Tensor transpose(const Tensor& tensor, int64_t a, int64_t b) {
  a = checkedAxis("transpose", "a", tensor, a);
  b = checkedAxis("transpose", "b", tensor, b);
  Tensor view = tensor;
  std::swap(view.shape[a], view.shape[b]);
  std::swap(view.strides[a], view.strides[b]);
  return view;
}

Tensor narrow(const Tensor& tensor, int64_t axis, int64_t start, int64_t length) {
  axis = checkedAxis("narrow", "axis", tensor, axis);
  int64_t extent = tensor.shape[axis];
  if (start < 0 || length < 0 || start > extent || length > extent - start)
    badArgument("narrow", start < 0 || start > extent ? "start" : "length",
                concat("[start, start + length) must lie in [0, ", extent, ") of axis ", axis, ", got start ", start,
                       ", length ", length));
  Tensor view = tensor;
  view.shape[axis] = length;
  view.offset += start * tensor.strides[axis];
  return view;
}

Tensor slice(const Tensor& tensor, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends) {
  if (starts.size() > size_t(tensor.rank()) || ends.size() > size_t(tensor.rank()))
    badArgument("slice", starts.size() > size_t(tensor.rank()) ? "starts" : "ends",
                concat("slice takes at most one start and end per axis of ", toString(tensor.shape)));
  Tensor view = tensor;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    int64_t extent = tensor.shape[axis];
    auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + extent : at, 0, extent); };
    int64_t start = size_t(axis) < starts.size() ? clamp(starts[axis]) : 0;
    int64_t end = size_t(axis) < ends.size() ? clamp(ends[axis]) : extent;
    view = narrow(view, axis, start, std::max<int64_t>(0, end - start));
  }
  return view;
}

namespace {

std::string lowered(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

DType parseDType(const std::string& name, const char* op) {
  static const std::pair<const char*, DType> aliases[] = {
      {"f32", DType::Float32},   {"fp32", DType::Float32}, {"f16", DType::Float16}, {"fp16", DType::Float16},
      {"bf16", DType::BFloat16}, {"i8", DType::Int8},      {"u8", DType::UInt8},    {"i32", DType::Int32},
      {"i64", DType::Int64},     {"half", DType::Float16}};
  std::string lower = lowered(name), known;
  for (const auto& [alias, dtype] : aliases)
    if (lower == alias) return dtype;
  for (const DTypeInfo& row : dtypes) {
    if (row.blockSize > 1) continue;
    if (lower == row.name) return row.dtype;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(Code::DType, concat(op, ": unknown dtype \"", name, "\"; known: ", known))
      .with("op", op)
      .with("argument", "dtype")
      .with("expected", known)
      .with("actual", name);
}

DType parsePackedDType(const std::string& name, const char* op) {
  std::string quantised;
  for (const DTypeInfo& row : dtypes) {
    if (row.blockSize == 1) continue;
    if (lowered(name) == row.name) return row.dtype;
    quantised += concat(", ", row.name);
  }
  DType dtype = parseDType(name, op);
  if (!info(dtype).isFloat) badArgument(op, "dtype", concat("dtype must be float32, float16, bfloat16", quantised));
  return dtype;
}

Tensor toDevice(const Tensor& tensor, const std::string& device) { return onDevice(tensor, parseDevice(device, "to")); }

Tensor cast(const Tensor& tensor, const std::string& dtype) { return converted(tensor, parseDType(dtype, "to")); }

}  // namespace longspan
