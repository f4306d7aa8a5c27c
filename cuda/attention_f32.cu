// Attention of float32 queries.
#include "attention_kernel.cuh"

namespace longspan::cuda {

bool attendFloat(const AttentionLaunch& description, bool fewRows) {
  return fewRows ? launchTilesOf<float, true>(description) : launchTilesOf<float, false>(description);
}

}  // namespace longspan::cuda
