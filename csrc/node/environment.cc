#include "environment.h"

#include "../core/stream.h"
#include "../ops/enqueue.h"

namespace longspan::node {

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return **static_cast<std::shared_ptr<Environment>*>(data);
}

void Environment::start(Napi::Env env) {
  auto environment = std::make_shared<Environment>();
  environment->env_ = env;
  environment->self = environment;
  napi_set_instance_data(
      env, new std::shared_ptr<Environment>(environment),
      [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Environment>*>(data); }, nullptr);
  auto callAll = [](napi_env env, napi_value, void* context, void*) {
    if (!env) return;
    auto* environment = static_cast<Environment*>(context);
    std::deque<std::function<void(Napi::Env)>> callbacks;
    {
      std::lock_guard lock(environment->mutex_);
      callbacks.swap(environment->callbacks_);
    }
    for (auto& callback : callbacks) {
      Napi::HandleScope scope(env);
      try {
        callback(env);
      } catch (...) {  // an environment that is ending runs no JavaScript: nobody is left to be told
      }
    }
  };
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "longspan"), 0, 1, nullptr, nullptr,
                                  environment.get(), callAll, &environment->wake_);
  napi_unref_threadsafe_function(env, environment->wake_);
  Stream::instance().addOwner();
  currentOwner() = environment.get();
  napi_add_env_cleanup_hook(
      env, [](void* data) { static_cast<Environment*>(data)->end(); }, environment.get());
}

void Environment::end() {
  std::deque<std::function<void(Napi::Env)>> dropped;  // let go outside the lock: tensors in it may post
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(callbacks_);
  }
  Stream::instance().removeOwner(this);
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  for (auto* reference : {&tensorClass, &packedMatrixClass, &kvCacheClass, &errorFactory, &notice}) reference->Reset();
  self.reset();  // instance data and stream callbacks may still hold it
}

void Environment::post(std::function<void(Napi::Env)> callback) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  callbacks_.push_back(std::move(callback));
  if (callbacks_.size() == 1) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void Environment::promiseOpened() {
  if (openPromises_++ == 0) napi_ref_threadsafe_function(env_, wake_);
}
void Environment::promiseSettled() {
  if (--openPromises_ == 0) napi_unref_threadsafe_function(env_, wake_);
}

const char* codeName(Code code) {
  static const char* names[] = {"SHAPE",          "DTYPE",         "ARGUMENT",   "DEVICE",
                                "UNSUPPORTED",    "OUT_OF_MEMORY", "QUEUE_FULL", "MODEL_FORMAT",
                                "CACHE_MISMATCH", "DISPOSED",      "EXECUTION",  "ABORTED"};
  return names[static_cast<int>(code)];
}

Napi::Value toJs(Napi::Env env, const Error& error) {
  auto fields = Napi::Object::New(env);
  for (const auto& [name, value] : error.fields)
    std::visit([&, key = name](const auto& v) { fields.Set(key, v); }, value);
  auto& factory = Environment::of(env).errorFactory;
  if (factory.IsEmpty()) return Napi::Error::New(env, error.what()).Value();
  return factory.Call({Napi::String::New(env, codeName(error.code)), Napi::String::New(env, error.what()), fields});
}

}  // namespace longspan::node
