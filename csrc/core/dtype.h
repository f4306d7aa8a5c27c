// The dtype list. A new dtype is one row here.
#pragma once
#include <cstddef>
#include <cstdint>

namespace longspan {

enum class DType : uint8_t { Float32, Float16, BFloat16, Int8, UInt8, Int32, Int64 };

struct DTypeInfo {
  DType dtype;
  const char* name;  // as api.md spells it
  int bytes;
  bool isFloat;
};
inline constexpr DTypeInfo dtypes[] = {
    {DType::Float32, "float32", 4, true}, {DType::Float16, "float16", 2, true}, {DType::BFloat16, "bfloat16", 2, true},
    {DType::Int8, "int8", 1, false},      {DType::UInt8, "uint8", 1, false},    {DType::Int32, "int32", 4, false},
    {DType::Int64, "int64", 8, false},
};
constexpr const DTypeInfo& info(DType d) { return dtypes[static_cast<int>(d)]; }
constexpr int sizeOf(DType d) { return info(d).bytes; }
constexpr const char* nameOf(DType d) { return info(d).name; }

}  // namespace longspan
