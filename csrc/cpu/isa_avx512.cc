#include <immintrin.h>
#include <time.h>

#include "../core/backend.h"
#include "../quant/quantised.h"

namespace longspan {
namespace {
#define LONGSPAN_LANES 16
#include "vec.h"
constexpr const char* isaName = "avx512";
bool isSupported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi");
}
#include "table.inl"
}  // namespace
extern const Backend avx512Backend;
const Backend avx512Backend = table;
}  // namespace longspan
