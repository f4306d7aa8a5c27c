// JavaScript <-> C++ by the types of a C++ signature. One specialisation of Js<T> per type (js_types.h), none per op;
// the same traits print lib/native.d.ts (scripts/types.mjs).
#pragma once
#include <napi.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/field.h"
#include "../core/shape.h"
#include "../ops/enqueue.h"
#include "../ops/for_tensors.h"
#include "environment.h"

namespace longspan::node {

// from(value, where) -> T;  to(env, T) -> napi value;  ts() -> its TypeScript name
template <class T>
struct Js;

struct Where {
  const char* op;
  std::string argument;
};

std::string describe(const Napi::Value& value);
[[noreturn]] void mismatch(const Napi::Value& value, const Where& where, const std::string& expected);
// "did you mean" for an option that is none of `known`
[[noreturn]] void unknownOption(const Where& where, const std::string& given, const std::vector<std::string>& known);

template <>
struct Js<bool> {
  static bool from(const Napi::Value& v, const Where& where) {
    if (!v.IsBoolean()) mismatch(v, where, ts());
    return v.As<Napi::Boolean>();
  }
  static Napi::Value to(Napi::Env env, bool v) { return Napi::Boolean::New(env, v); }
  static std::string ts() { return "boolean"; }
};
template <class T>
requires std::is_arithmetic_v<T>
struct Js<T> {
  static T from(const Napi::Value& v, const Where& where) {
    if (!v.IsNumber()) mismatch(v, where, ts());
    double number = v.As<Napi::Number>();
    if constexpr (std::is_integral_v<T>) {
      if (!(number >= -0x1p53 && number <= 0x1p53) || number != double(int64_t(number)))
        badArgument(where.op, where.argument, concat("expected an integer for ", where.argument, ", got ", number));
    }
    return T(number);
  }
  static Napi::Value to(Napi::Env env, T v) { return Napi::Number::New(env, double(v)); }
  static std::string ts() { return "number"; }
};
template <>
struct Js<std::string> {
  static std::string from(const Napi::Value& v, const Where& where) {
    if (!v.IsString()) mismatch(v, where, ts());
    return v.As<Napi::String>();
  }
  static Napi::Value to(Napi::Env env, const std::string& v) { return Napi::String::New(env, v); }
  static std::string ts() { return "string"; }
};
template <class T>
struct Js<std::optional<T>> {
  static std::optional<T> from(const Napi::Value& v, const Where& where) {
    if (v.IsUndefined() || v.IsNull()) return std::nullopt;
    return Js<T>::from(v, where);
  }
  static Napi::Value to(Napi::Env env, const std::optional<T>& v) { return v ? Js<T>::to(env, *v) : env.Undefined(); }
  static std::string ts() { return Js<T>::ts(); }
};
template <class T>
struct Js<std::vector<T>> {
  static std::vector<T> from(const Napi::Value& v, const Where& where) {
    if (!v.IsArray()) mismatch(v, where, ts());
    auto array = v.As<Napi::Array>();
    std::vector<T> items;
    for (uint32_t i = 0; i < array.Length(); ++i)
      items.push_back(Js<T>::from(array.Get(i), {where.op, concat(where.argument, "[", i, "]")}));
    return items;
  }
  static Napi::Value to(Napi::Env env, const std::vector<T>& items) {
    auto array = Napi::Array::New(env, items.size());
    for (size_t i = 0; i < items.size(); ++i) array.Set(uint32_t(i), Js<T>::to(env, items[i]));
    return array;
  }
  static std::string ts() { return Js<T>::ts() + "[]"; }
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// A struct with fields: an options object (all keys optional, unknown ones refused), or a result.
template <HasFields T>
struct Js<T> {
  static T from(const Napi::Value& v, const Where& where) {
    T options;
    if (v.IsUndefined()) return options;
    if (!v.IsObject() || v.IsArray() || v.IsFunction()) mismatch(v, where, "an object { " + names() + " }");
    auto object = v.As<Napi::Object>();
    std::apply([&](const auto&... f) { (read(object, where, options, f), ...); }, T::fields);
    rejectUnknown(object, where);
    return options;
  }
  static Napi::Value to(Napi::Env env, const T& result) {
    auto object = Napi::Object::New(env);
    std::apply([&](const auto&... f) { (write(env, object, result, f), ...); }, T::fields);
    return object;
  }
  // Types with a name are declared once and may hold themselves.
  static std::string ts() {
    if constexpr (requires { T::typeName; })
      return T::typeName;
    else
      return declaration();
  }
  static std::string declaration() {
    std::string text = "{ ";
    std::apply(
        [&](const auto&... f) {
          ((text +=
            std::string("/** ") + f.doc + " */ " + f.name + (isRequired(f) ? ": " : "?: ") + memberTs(f) + "; "),
           ...);
        },
        T::fields);
    return text + "}";
  }
  static std::string resultTs() {
    std::string text = "{ ";
    std::apply(
        [&](const auto&... f) {
          ((text += std::string("/** ") + f.doc + " */ " + f.name + ": " + memberTs(f) + "; "), ...);
        },
        T::fields);
    return text + "}";
  }

 private:
  static std::string names() {
    std::string text;
    std::apply([&](const auto&... f) { ((text += (text.empty() ? "" : ", ") + std::string(f.name)), ...); }, T::fields);
    return text;
  }
  template <class M>
  static void read(const Napi::Object& object, const Where& where, T& options, const Field<T, M>& f) {
    Napi::Value value = object.Get(f.name);
    if (value.IsUndefined()) {
      if constexpr (std::is_same_v<M, Tensor>)
        badArgument(where.op, f.name, concat(where.argument, " must have ", f.name));
      return;
    }
    options.*f.member = Js<M>::from(value, {where.op, f.name});
  }
  template <class M>
  static void write(Napi::Env env, Napi::Object& object, const T& result, const Field<T, M>& f) {
    object.Set(f.name, Js<M>::to(env, result.*f.member));
  }
  template <class M>
  static std::string memberTs(const Field<T, M>&) {
    return Js<M>::ts();
  }
  template <class M>
  static bool isRequired(const Field<T, M>&) {
    return std::is_same_v<M, Tensor>;
  }
  static void rejectUnknown(const Napi::Object& object, const Where& where) {
    std::vector<std::string> known;
    std::apply([&](const auto&... f) { (known.push_back(f.name), ...); }, T::fields);
    Napi::Array keys = object.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); ++i) {
      std::string key = Napi::Value(keys.Get(i)).ToString();
      if (std::find(known.begin(), known.end(), key) == known.end()) unknownOption(where, key, known);
    }
  }
};

template <class F>
struct Signature;
template <class R, class... As>
struct Signature<R (*)(As...)> {
  static constexpr size_t arity = sizeof...(As);
  using Result = R;
  template <auto fn, size_t... i>
  static R call(const Napi::CallbackInfo& info, [[maybe_unused]] const char* op,
                [[maybe_unused]] const std::vector<const char*>& names, std::index_sequence<i...>) {
    std::tuple<std::decay_t<As>...> arguments{Js<std::decay_t<As>>::from(info[i], Where{op, names[i]})...};
    try {
      return std::apply(fn, arguments);
    } catch (const NoKernel& missing) {
      return onCpu<fn>(info.Env(), op, arguments, missing.device);
    }
  }
  // What has no kernel on a device is computed on the CPU; JavaScript is told, and gets the result on the device.
  template <auto fn>
  static R onCpu(Napi::Env env, const char* op, std::tuple<std::decay_t<As>...>& arguments, const Device& device) {
    auto move = [](const Device& to) { return [to](Tensor& tensor) { tensor = onDevice(tensor, to); }; };
    std::apply([&](auto&... argument) { (forTensors(argument, move(Device{})), ...); }, arguments);
    Environment::of(env).notice.Call({Napi::String::New(env, op), Napi::String::New(env, device.name())});
    if constexpr (std::is_void_v<R>) {
      std::apply(fn, arguments);
    } else {
      R result = std::apply(fn, arguments);
      forTensors(result, move(device));
      return result;
    }
  }
  template <class A>
  static std::string parameter(const char* name, bool optional) {
    return std::string(name) + (optional ? "?: " : ": ") + Js<A>::ts() + (IsOptional<A>::value ? " | null" : "");
  }
  static std::string resultTs() {
    if constexpr (std::is_void_v<R>)
      return "void";
    else if constexpr (HasFields<R>)
      return Js<R>::resultTs();
    else
      return Js<R>::ts();
  }
  static std::string ts(const std::string& op, const std::vector<const char*>& names) {
    std::string text = "export function " + op + "(";
    [[maybe_unused]] const bool mayBeAbsent[] = {
        (HasFields<std::decay_t<As>> || IsOptional<std::decay_t<As>>::value)..., true};
    [[maybe_unused]] auto optional = [&](size_t i) {
      return std::all_of(mayBeAbsent + i, std::end(mayBeAbsent), std::identity());
    };
    size_t i = 0;
    ((text += (i ? ", " : "") + parameter<std::decay_t<As>>(names[i], optional(i)), ++i), ...);
    return text + "): " + resultTs() + ";";
  }
};

// Runs `body`; a native error becomes the JavaScript one, thrown at the caller.
template <class Body>
Napi::Value guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Error& e) {
    throw Napi::Error(env, toJs(env, e));
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env, toJs(env, Error(Code::OutOfMemory, "out of memory").with("device", "cpu")));
  } catch (const std::exception& e) {
    throw Napi::Error(env, toJs(env, Error(Code::Execution, e.what())));
  }
}

class Exports {
 public:
  Exports(Napi::Env env, Napi::Object target) : env_(env), target_(target) {}
  const std::string& signatures() const { return signatures_; }
  // Types that the signatures name.
  void declare(const char* text) { signatures_ += std::string(text) + "\n"; }

  template <auto fn, size_t n>
  void define(const char* name, const char* const (&names)[n], const char* doc) {
    static_assert(Signature<decltype(fn)>::arity == n, "as many names as parameters");
    defineNamed<fn>(name, {names, names + n}, doc);
  }
  template <auto fn>
  void define(const char* name, const char* doc) {
    defineNamed<fn>(name, {}, doc);
  }
  // A function that needs the JavaScript world itself; its signature is given.
  void raw(const char* name, Napi::Value (*function)(const Napi::CallbackInfo&), const char* signature,
           const char* doc) {
    target_.Set(name, Napi::Function::New(
                          env_,
                          [function](const Napi::CallbackInfo& info) {
                            return guarded(info.Env(), [&] { return function(info); });
                          },
                          name));
    print(doc, std::string("export function ") + name + signature + ";");
  }

 private:
  template <auto fn>
  void defineNamed(const char* name, std::vector<const char*> names, const char* doc) {
    using S = Signature<decltype(fn)>;
    auto invoke = [name, names](const Napi::CallbackInfo& info) -> Napi::Value {
      return guarded(info.Env(), [&]() -> Napi::Value {
        auto indices = std::make_index_sequence<S::arity>{};
        if constexpr (std::is_void_v<typename S::Result>) {
          S::template call<fn>(info, name, names, indices);
          return info.Env().Undefined();
        } else {
          return Js<typename S::Result>::to(info.Env(), S::template call<fn>(info, name, names, indices));
        }
      });
    };
    target_.Set(name, Napi::Function::New(env_, invoke, name));
    print(doc, S::ts(name, names));
  }
  void print(const char* doc, const std::string& signature) {
    signatures_ += std::string("/** ") + doc + " */\n" + signature + "\n";
  }

  Napi::Env env_;
  Napi::Object target_;
  std::string signatures_;
};

}  // namespace longspan::node
