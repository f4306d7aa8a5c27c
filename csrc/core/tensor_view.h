// What a kernel sees of a tensor: an address, a dtype, a shape and strides in elements. Plain data: it crosses
// the C boundary to every ISA file and to the CUDA plugin.
#pragma once
#include "dtype.h"

namespace longspan {

inline constexpr int maxRank = 8;

struct TensorView {
  void* data = nullptr;  // null: the tensor is absent
  DType dtype = DType::Float32;
  int rank = 0;
  int64_t shape[maxRank] = {};
  int64_t strides[maxRank] = {};  // in elements

  [[gnu::always_inline]] explicit operator bool() const { return data != nullptr; }
  template <class T>
  [[gnu::always_inline]] T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace longspan
