// Attention of bfloat16 queries.
#include "attention_kernel.cuh"

namespace longspan::cuda {

bool attendBFloat16(const AttentionLaunch& description, bool fewRows) {
  return fewRows ? launchTilesOf<__nv_bfloat16, true>(description) : launchTilesOf<__nv_bfloat16, false>(description);
}

}  // namespace longspan::cuda
