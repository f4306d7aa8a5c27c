// The dtype list. A new dtype is one row here.
#pragma once
#include <cstddef>
#include <cstdint>

namespace longspan {

enum class DType : uint8_t { Float32, Float16, BFloat16, Int8, UInt8, Int32, Int64, Q8_0, Q4_0 };

struct DTypeInfo {
  DType dtype;
  const char* name;  // as api.md spells it
  int bytes;         // of blockSize values
  bool isFloat;
  int blockSize = 1;  // more: of packed weights only (csrc/quant), never of a tensor
};
inline constexpr DTypeInfo dtypes[] = {
    {DType::Float32, "float32", 4, true}, {DType::Float16, "float16", 2, true}, {DType::BFloat16, "bfloat16", 2, true},
    {DType::Int8, "int8", 1, false},      {DType::UInt8, "uint8", 1, false},    {DType::Int32, "int32", 4, false},
    {DType::Int64, "int64", 8, false},    {DType::Q8_0, "q8_0", 34, false, 32}, {DType::Q4_0, "q4_0", 18, false, 32},
};
constexpr const DTypeInfo& info(DType d) { return dtypes[static_cast<int>(d)]; }
constexpr int sizeOf(DType d) { return info(d).bytes; }
constexpr const char* nameOf(DType d) { return info(d).name; }

}  // namespace longspan
