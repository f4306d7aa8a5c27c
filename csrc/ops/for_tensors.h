// f(tensor) for every tensor inside a value of ops.h: an argument, an options struct, a result.
#pragma once
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../core/field.h"
#include "../core/tensor.h"

namespace longspan {

template <class T, class F>
void forTensors(T& value, const F& f);

namespace each {

template <class T, class F>
void tensorOf(std::optional<T>& value, const F& f) {
  if (value) forTensors(*value, f);
}
template <class T, class F>
void tensorOf(std::vector<T>& values, const F& f) {
  for (T& value : values) forTensors(value, f);
}

}  // namespace each

template <class T, class F>
void forTensors(T& value, const F& f) {
  if constexpr (std::is_same_v<T, Tensor>) {
    f(value);
  } else if constexpr (requires { each::tensorOf(value, f); }) {
    each::tensorOf(value, f);
  } else if constexpr (HasFields<T>) {
    std::apply([&](const auto&... field) { (forTensors(value.*field.member, f), ...); }, T::fields);
  } else {
    if constexpr (requires { value.tensor; }) forTensors(value.tensor, f);
    if constexpr (requires { value.out; }) forTensors(value.out, f);
    if constexpr (requires { value.lse; }) forTensors(value.lse, f);
    if constexpr (requires { value.buckets; }) forTensors(value.buckets, f);
    if constexpr (requires { value.extra; }) forTensors(value.extra, f);
    if constexpr (requires { value.state; }) forTensors(value.state, f);
  }
}

}  // namespace longspan
