// Attention of float16 queries.
#include "attention_kernel.cuh"

namespace longspan::cuda {

bool attendHalf(const AttentionLaunch& description, bool fewRows) {
  return fewRows ? launchTilesOf<__half, true>(description) : launchTilesOf<__half, false>(description);
}

}  // namespace longspan::cuda
