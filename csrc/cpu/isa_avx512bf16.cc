#include <immintrin.h>
#include <time.h>

#include "../core/backend.h"
#include "../quant/quantised.h"

namespace longspan {
namespace {
#define LONGSPAN_LANES 16
#include "vec.h"
constexpr const char* isaName = "avx512bf16";
bool isSupported() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512vbmi2");
}
#include "table.inl"
}  // namespace
extern const Backend avx512bf16Backend;
const Backend avx512bf16Backend = table;
}  // namespace longspan
