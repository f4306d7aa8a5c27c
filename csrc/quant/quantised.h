// The list of quantised dtypes: a new one is its header and one word here, beside its row in core/dtype.h.
#pragma once
#include "q4_0.h"
#include "q8_0.h"

namespace longspan {

template <class T>
inline constexpr bool isQuantised = requires {
  T::scaleOf(0.f);
};

template <class Format>
inline constexpr bool fits = info(Format::dtype).blockSize == quantisedBlock&& sizeOf(Format::dtype) ==
                             2 + Format::bits* int(sizeof(uint32_t));
static_assert(fits<Q8_0> && fits<Q4_0>);

// f(Format{}) of `dtype`; false where it is none of them
template <class F>
[[gnu::always_inline]] inline bool forQuantised(DType dtype, const F& f) {
  switch (dtype) {
    case DType::Q8_0:
      f(Q8_0{});
      return true;
    case DType::Q4_0:
      f(Q4_0{});
      return true;
    default:
      return false;
  }
}

}  // namespace longspan
