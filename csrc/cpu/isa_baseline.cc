#include <immintrin.h>
#include <time.h>

#include "../core/backend.h"
#include "../quant/quantised.h"

namespace longspan {
namespace {
#define LONGSPAN_LANES 4
#include "vec.h"
constexpr const char* isaName = "baseline";
bool isSupported() { return true; }
#include "table.inl"
}  // namespace
extern const Backend baselineBackend;
const Backend baselineBackend = table;
}  // namespace longspan
