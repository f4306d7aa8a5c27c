// The layout of a packed weight on the device: see pack.cu.
#pragma once
#include "kernels.h"

namespace longspan::cuda {

inline int64_t packedDepth(int64_t inFeatures, DType dtype) {
  return dtype == DType::BFloat16 ? (inFeatures + 1) / 2 * 2 : inFeatures;
}

}  // namespace longspan::cuda
