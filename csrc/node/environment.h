// What one JavaScript environment (the main thread, or a worker) keeps: its Tensor class, its way back from the stream
// thread, its errors. Its end drops its queued work (stream.h).
#pragma once
#include <napi.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "../core/tensor.h"

namespace longspan::node {

class Environment {
 public:
  static Environment& of(napi_env env);
  static void start(Napi::Env env);

  // From any thread: `callback` runs on this environment's JavaScript thread, or never if it has ended.
  void post(std::function<void(Napi::Env)> callback);
  // JavaScript thread only: the event loop stays alive while promises are open.
  void promiseOpened();
  void promiseSettled();

  Napi::FunctionReference tensorClass, packedMatrixClass, kvCacheClass, errorFactory;
  Napi::FunctionReference notice;  // (op, device): the op was computed on the CPU instead
  std::optional<Tensor> result;    // of an op, on its way into the Tensor object that is being made
  std::map<double, std::shared_ptr<Completion>> reads;  // in progress, by the number JavaScript gave them
  std::shared_ptr<Environment> self;                    // stream callbacks hold it

 private:
  void end();
  Napi::Env env_{nullptr};
  napi_threadsafe_function wake_ = nullptr;
  std::mutex mutex_;
  std::deque<std::function<void(Napi::Env)>> callbacks_;
  bool ended_ = false;
  int openPromises_ = 0;
};

// The JavaScript error of api.md for a native one.
Napi::Value toJs(Napi::Env env, const Error& error);
const char* codeName(Code code);

}  // namespace longspan::node
