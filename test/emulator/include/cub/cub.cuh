// The calls of CUB that our sources make, by stable sorts and sums of the C++ library.
#pragma once
#include "../cuda_runtime.h"

namespace cub {

namespace emulated {

// The first call asks for the size of the scratch memory; the second gets garbage there, so that nobody relies on it.
template <class N>
bool onlyAsks(void* scratch, size_t& bytes, N n, size_t each, cudaError_t& status) {
  const size_t needed = 256 + size_t(n) * each;
  status = cudaSuccess;
  if (!scratch) {
    bytes = needed;
    return true;
  }
  if (bytes < needed) status = cudaErrorInvalidValue;
  return status != cudaSuccess || (status = cudaMemset(scratch, 0xff, needed)) != cudaSuccess;
}

template <class Key, class Value, class N>
cudaError_t sort(void* scratch, size_t& bytes, const Key* keysIn, Key* keysOut, const Value* valuesIn, Value* valuesOut,
                 N n, int beginBit, int endBit, bool descending) {
  static_assert(std::is_integral_v<Key>);
  cudaError_t status;
  if (onlyAsks(scratch, bytes, n, sizeof(Key) + sizeof(Value), status)) return status;
  if (beginBit < 0 || endBit > int(8 * sizeof(Key)) || beginBit > endBit) return cudaErrorInvalidValue;
  using Bits = std::make_unsigned_t<Key>;
  const auto digits = [&](Key key) {
    Bits bits = Bits(key);
    if (std::is_signed_v<Key>) bits ^= Bits(Bits(1) << (8 * sizeof(Key) - 1));
    if (endBit < int(8 * sizeof(Key))) bits &= Bits((Bits(1) << endBit) - 1);
    return beginBit < int(8 * sizeof(Key)) ? Bits(bits >> beginBit) : Bits(0);
  };
  std::vector<size_t> order(size_t(n), 0);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return descending ? digits(keysIn[b]) < digits(keysIn[a]) : digits(keysIn[a]) < digits(keysIn[b]);
  });
  const std::vector<Key> keys(keysIn, keysIn + size_t(n));
  for (size_t i = 0; i < order.size(); ++i) keysOut[i] = keys[order[i]];
  if (!valuesIn) return cudaSuccess;
  const std::vector<Value> values(valuesIn, valuesIn + size_t(n));
  for (size_t i = 0; i < order.size(); ++i) valuesOut[i] = values[order[i]];
  return cudaSuccess;
}

}  // namespace emulated

struct DeviceRadixSort {
  template <class Key, class Value, class N>
  static cudaError_t SortPairs(void* scratch, size_t& bytes, const Key* keysIn, Key* keysOut, const Value* valuesIn,
                               Value* valuesOut, N n, int beginBit = 0, int endBit = 8 * sizeof(Key),
                               cudaStream_t = nullptr) {
    return emulated::sort(scratch, bytes, keysIn, keysOut, valuesIn, valuesOut, n, beginBit, endBit, false);
  }
  template <class Key, class Value, class N>
  static cudaError_t SortPairsDescending(void* scratch, size_t& bytes, const Key* keysIn, Key* keysOut,
                                         const Value* valuesIn, Value* valuesOut, N n, int beginBit = 0,
                                         int endBit = 8 * sizeof(Key), cudaStream_t = nullptr) {
    return emulated::sort(scratch, bytes, keysIn, keysOut, valuesIn, valuesOut, n, beginBit, endBit, true);
  }
  template <class Key, class N>
  static cudaError_t SortKeys(void* scratch, size_t& bytes, const Key* keysIn, Key* keysOut, N n, int beginBit = 0,
                              int endBit = 8 * sizeof(Key), cudaStream_t = nullptr) {
    const char* none = nullptr;
    return emulated::sort(scratch, bytes, keysIn, keysOut, none, static_cast<char*>(nullptr), n, beginBit, endBit,
                          false);
  }
  template <class Key, class N>
  static cudaError_t SortKeysDescending(void* scratch, size_t& bytes, const Key* keysIn, Key* keysOut, N n,
                                        int beginBit = 0, int endBit = 8 * sizeof(Key), cudaStream_t = nullptr) {
    const char* none = nullptr;
    return emulated::sort(scratch, bytes, keysIn, keysOut, none, static_cast<char*>(nullptr), n, beginBit, endBit,
                          true);
  }
};

struct DeviceScan {
  template <class In, class Out, class N>
  static cudaError_t ExclusiveSum(void* scratch, size_t& bytes, const In* in, Out* out, N n, cudaStream_t = nullptr) {
    cudaError_t status;
    if (emulated::onlyAsks(scratch, bytes, n, sizeof(In), status)) return status;
    In sum{};
    for (N i = 0; i < n; ++i) {
      const In value = in[i];  // out may be in
      out[i] = Out(sum);
      sum += value;
    }
    return cudaSuccess;
  }
  template <class In, class Out, class N>
  static cudaError_t InclusiveSum(void* scratch, size_t& bytes, const In* in, Out* out, N n, cudaStream_t = nullptr) {
    cudaError_t status;
    if (emulated::onlyAsks(scratch, bytes, n, sizeof(In), status)) return status;
    In sum{};
    for (N i = 0; i < n; ++i) out[i] = Out(sum += in[i]);
    return cudaSuccess;
  }
};

}  // namespace cub
