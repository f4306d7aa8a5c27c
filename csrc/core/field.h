// Options are structs that list their fields: one list reads them, checks them and prints their TypeScript type.
#pragma once
#include <tuple>

namespace longspan {

template <class S, class T>
struct Field {
  const char* name;
  T S::*member;
  const char* doc;
};
template <class S, class T>
constexpr Field<S, T> field(const char* name, T S::*member, const char* doc) {
  return {name, member, doc};
}

template <class T>
concept HasFields = requires {
  T::fields;
};

}  // namespace longspan
