#include <arm_neon.h>
#include <time.h>

#include "../core/backend.h"
#include "../quant/quantised.h"

namespace longspan {
namespace {
#define LONGSPAN_LANES 4
#include "vec.h"
constexpr const char* isaName = "neon";
bool isSupported() { return true; }
#include "table.inl"
}  // namespace
extern const Backend neonBackend;
const Backend neonBackend = table;
}  // namespace longspan
