// How the types of ops.h look in JavaScript.
#pragma once
#include "../ops/ops.h"
#include "handle.h"

namespace longspan::node {

template <>
struct HandleTag<Tensor> {
  static constexpr const char* name = "Tensor";
  static constexpr napi_type_tag tag{0x6c6f6e677370616e, 0x74656e736f720001};
};
template <>
struct HandleTag<PackedMatrix> {
  static constexpr const char* name = "PackedMatrix";
  static constexpr napi_type_tag tag{0x6c6f6e677370616e, 0x7061636b65640001};
};
template <>
struct HandleTag<KVCache> {
  static constexpr const char* name = "KVCache";
  static constexpr napi_type_tag tag{0x6c6f6e677370616e, 0x6b76636163680001};
};

template <>
struct HandleTag<Recording> {
  static constexpr const char* name = "Recording";
  static constexpr napi_type_tag tag{0x6c6f6e677370616e, 0x7265636f72640001};
};

// dtype, data, shape and device as new Tensor takes them: copies the data.
Tensor tensorFrom(const Where& where, const Napi::Value& dtype, const Napi::Value& data, const Napi::Value& shape,
                  const Napi::Value& device);
// Shares the typed array's memory, which stays alive as long as the storage.
Tensor tensorView(const Where& where, const Napi::Value& array, const Napi::Value& shape, const Napi::Value& dtype);
Shape shapeFrom(const Where& where, const Napi::Value& value);
void attachTensor(Napi::Env env, Napi::Object object, Tensor tensor);

template <>
struct Js<Tensor> {
  // A Tensor, or any object with {dtype or type, data, shape or dims}.
  static Tensor from(const Napi::Value& v, const Where& where);
  static Napi::Value to(Napi::Env env, Tensor tensor);
  static std::string ts() { return "Tensor"; }
};
template <>
struct Js<Integers> {
  static Integers from(const Napi::Value& v, const Where& where);
  static std::string ts() { return "Tensor | Int32Array | BigInt64Array | number[]"; }
};
template <>
struct Js<Numbers> {
  static Numbers from(const Napi::Value& v, const Where& where);
  static std::string ts() { return "Tensor | Float64Array | Float32Array | number[]"; }
};
template <>
struct Js<WindowSpec> {
  static WindowSpec from(const Napi::Value& v, const Where& where);
  static std::string ts() { return "number | { before: number; after?: number }"; }
};
template <>
struct Js<AttentionOutput> {
  static Napi::Value to(Napi::Env env, const AttentionOutput& output);
  static std::string ts() { return "Tensor | { out: Tensor; lse: Tensor }"; }
};
template <>
struct Js<HashedAttentionOutput> {
  static Napi::Value to(Napi::Env env, const HashedAttentionOutput& output);
  static std::string ts() { return "Tensor | { out: Tensor; lse?: Tensor; buckets?: Tensor }"; }
};
template <class State>
struct Js<StatefulOutput<State>> {
  static Napi::Value to(Napi::Env env, const StatefulOutput<State>& output) {
    if (!output.state) return Js<Tensor>::to(env, output.out);
    auto object = Napi::Object::New(env);
    object.Set("out", Js<Tensor>::to(env, output.out));
    object.Set("state", Js<State>::to(env, *output.state));
    return object;
  }
  static std::string ts() { return "Tensor | { out: Tensor; state: " + Js<State>::ts() + " }"; }
};
template <>
struct Js<LunaOutput> {
  static Napi::Value to(Napi::Env env, const LunaOutput& output);
  static std::string ts();
};
template <class T>
struct JsHandle {
  static const T& from(const Napi::Value& v, const Where& where) { return Handle<T>::get(v, where); }
  static Napi::Value attach(Napi::Env env, T value, int64_t bytes) {
    auto object = Napi::Object::New(env);
    Handle<T>::attach(env, object, std::move(value), bytes);
    return object;
  }
  static std::string ts() { return HandleTag<T>::name; }
};
template <>
struct Js<PackedMatrix> : JsHandle<PackedMatrix> {
  static Napi::Value to(Napi::Env env, PackedMatrix matrix) {
    int64_t bytes = int64_t(matrix.storage->bytes);
    return attach(env, std::move(matrix), bytes);
  }
};
template <>
struct Js<KVCache> : JsHandle<KVCache> {
  static Napi::Value to(Napi::Env env, KVCache cache) { return attach(env, std::move(cache), 0); }
};
template <>
struct Js<Recording> : JsHandle<Recording> {
  static Napi::Value to(Napi::Env env, Recording recording) { return attach(env, std::move(recording), 0); }
};

}  // namespace longspan::node
