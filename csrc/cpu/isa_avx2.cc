#include <immintrin.h>
#include <time.h>

#include "../core/backend.h"
#include "../quant/quantised.h"

namespace longspan {
namespace {
#define LONGSPAN_LANES 8
#include "vec.h"
constexpr const char* isaName = "avx2";
bool isSupported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#include "table.inl"
}  // namespace
extern const Backend avx2Backend;
const Backend avx2Backend = table;
}  // namespace longspan
