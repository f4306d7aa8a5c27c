// Q4_0: the value furthest from 0 becomes −8, so that one end has a level more than the other, up to 7.
#pragma once
#include "block.h"

namespace longspan {

struct Q4_0 {
  static constexpr DType dtype = DType::Q4_0;
  static constexpr int bits = 4;
  LONGSPAN_HD static float scaleOf(float extreme) { return extreme / -8; }
  // to nearest, halves up; of a NaN 0
  LONGSPAN_HD static int levelOf(float wanted) {
    const float shifted = wanted + 8.5f, raised = shifted >= 0 ? shifted : wanted < 0 ? 0 : 8;
    return int(raised < 15 ? raised : 15) - 8;
  }
};

}  // namespace longspan
