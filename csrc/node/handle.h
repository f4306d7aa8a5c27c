// A C++ value behind a JavaScript object: wrapped, type-tagged, disposable at once, finalised by the collector else.
// What it holds lies behind its member `storage`.
#pragma once
#include "bind.h"

namespace longspan::node {

template <class T>
struct HandleTag;  // name and napi_type_tag of each wrapped type

template <class T>
struct Handle {
  T value;  // without its memory once disposed
  int64_t reportedBytes = 0;
  bool disposed = false;

  static void attach(Napi::Env env, Napi::Object object, T value, int64_t bytes) {
    auto* handle = new Handle{std::move(value), bytes};
    auto finalize = [](napi_env env, void* data, void*) {
      auto* handle = static_cast<Handle*>(data);
      handle->release(env);
      delete handle;
    };
    if (napi_wrap(env, object, handle, finalize, nullptr, nullptr) != napi_ok) {
      delete handle;
      badArgument(HandleTag<T>::name, "this", "the object already holds a native value");
    }
    napi_type_tag_object(env, object, &HandleTag<T>::tag);
    report(env, bytes);
  }
  // The handle of `value`, or null where it is something else.
  static Handle* of(const Napi::Value& value) {
    if (!value.IsObject()) return nullptr;
    bool ours = false;
    if (napi_check_object_type_tag(value.Env(), value, &HandleTag<T>::tag, &ours) != napi_ok || !ours) return nullptr;
    void* data = nullptr;
    napi_unwrap(value.Env(), value, &data);
    return static_cast<Handle*>(data);
  }
  static const T& get(const Napi::Value& v, const Where& where) {
    Handle* handle = of(v);
    if (!handle) mismatch(v, where, HandleTag<T>::name);
    if (handle->disposed)
      throw Error(Code::Disposed, concat(where.op, ": ", where.argument, " was disposed"))
          .with("object", HandleTag<T>::name);
    return handle->value;
  }
  void release(napi_env env) {
    disposed = true;
    value.storage.reset();
    if (reportedBytes) report(env, -reportedBytes);
    reportedBytes = 0;
  }

 private:
  static void report(napi_env env, int64_t bytes) {
    int64_t total;
    if (bytes) napi_adjust_external_memory(env, bytes, &total);
  }
};

}  // namespace longspan::node
