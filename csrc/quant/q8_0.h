// Q8_0: the largest magnitude of a block becomes ±127.
#pragma once
#include "block.h"

namespace longspan {

struct Q8_0 {
  static constexpr DType dtype = DType::Q8_0;
  static constexpr int bits = 8;
  LONGSPAN_HD static float scaleOf(float extreme) { return magnitude(extreme) / 127; }
  // to nearest, halves away from 0; of a NaN 0
  LONGSPAN_HD static int levelOf(float wanted) {
    const float most = wanted < -127 ? -127 : wanted < 127 ? wanted : wanted >= 127 ? 127 : 0;
    return int(most + (most < 0 ? -0.5f : 0.5f));
  }
};

}  // namespace longspan
