// What the Tensor class of lib/tensor.ts needs: birth, facts, reading, disposal; and waiting for the stream.
#include "tensor_class.h"

#include <cstring>
#include <utility>

#include "../core/settings.h"
#include "../core/stream.h"
#include "../ops/enqueue.h"
#include "formats.h"
#include "js_types.h"

namespace longspan::node {
namespace {

constexpr int64_t smallBytes = 1 << 16;         // copied into JavaScript's own memory
constexpr double maxArrayBytes = 4294967296.0;  // V8's ArrayBuffer limit on Node 20

Napi::Value initTensor(const Napi::CallbackInfo& info) {
  attachTensor(info.Env(), info[0].As<Napi::Object>(),
               tensorFrom({"new Tensor", "data"}, info[1], info[2], info[3], info[4]));
  return info.Env().Undefined();
}

Napi::Value initView(const Napi::CallbackInfo& info) {
  attachTensor(info.Env(), info[0].As<Napi::Object>(), tensorView({"Tensor.view", "array"}, info[1], info[2], info[3]));
  return info.Env().Undefined();
}

Napi::Value takeResult(const Napi::CallbackInfo& info) {
  std::optional<Tensor> result = std::exchange(Environment::of(info.Env()).result, std::nullopt);
  if (result) attachTensor(info.Env(), info[0].As<Napi::Object>(), std::move(*result));
  return Napi::Boolean::New(info.Env(), result.has_value());
}

const Tensor& factsOf(const Napi::CallbackInfo& info, const char* what) {
  auto* handle = Handle<Tensor>::of(info[0]);
  if (!handle) mismatch(info[0], {what, "this"}, "Tensor");
  return handle->value;  // also of a tensor that was disposed
}
Napi::Value dtypeOf(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), nameOf(factsOf(info, "dtype").dtype));
}
Napi::Value shapeOf(const Napi::CallbackInfo& info) { return Js<Shape>::to(info.Env(), factsOf(info, "shape").shape); }

Napi::Value deviceOf(const Napi::CallbackInfo& info) {
  const Tensor& tensor = factsOf(info, "device");
  return Napi::String::New(info.Env(), (tensor.storage ? tensor.device() : Device{}).name());
}

Napi::Value typedArray(Napi::Env env, DType dtype, Napi::ArrayBuffer buffer) {
  static constexpr napi_typedarray_type types[] = {napi_float32_array, napi_uint16_array, napi_uint16_array,
                                                   napi_int8_array,    napi_uint8_array,  napi_int32_array,
                                                   napi_bigint64_array};
  napi_value array;
  napi_status status = napi_create_typedarray(env, types[static_cast<int>(dtype)], buffer.ByteLength() / sizeOf(dtype),
                                              buffer, 0, &array);
  if (status != napi_ok) throw Napi::Error::New(env);
  return Napi::Value(env, array);
}

// The memory of a contiguous tensor as an ArrayBuffer: its own where it is large and the host allows it.
Napi::Value arrayOf(Napi::Env env, const Tensor& tensor) {
  size_t bytes = size_t(tensor.bytes());
  if (bytes > size_t(smallBytes)) {
    auto* kept = new std::shared_ptr<Storage>(tensor.storage);
    napi_value external;
    napi_status status = napi_create_external_arraybuffer(
        env, tensor.data(), bytes,
        [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Storage>*>(hint); }, kept, &external);
    if (status == napi_ok) return typedArray(env, tensor.dtype, Napi::ArrayBuffer(env, external));
    delete kept;
  }
  auto buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes) std::memcpy(buffer.Data(), tensor.data(), bytes);
  return typedArray(env, tensor.dtype, buffer);
}

// A promise that is settled from the stream thread.
struct Waiting {
  Napi::Promise::Deferred deferred;
  std::shared_ptr<Environment> environment;
  explicit Waiting(Napi::Env env)
      : deferred(Napi::Promise::Deferred::New(env)), environment(Environment::of(env).self) {
    environment->promiseOpened();
  }
};
using Settle = std::function<Napi::Value(Napi::Env)>;  // the value, or throws Error

void settleLater(const std::shared_ptr<Waiting>& waiting, Settle settle) {
  waiting->environment->post([waiting, settle = std::move(settle)](Napi::Env env) {
    waiting->environment->promiseSettled();
    try {
      waiting->deferred.Resolve(settle(env));
    } catch (const Error& e) {
      waiting->deferred.Reject(toJs(env, e));
    } catch (const Napi::Error& e) {
      waiting->deferred.Reject(e.Value());
    } catch (const std::exception& e) {
      waiting->deferred.Reject(toJs(env, Error(Code::Execution, e.what()).with("op", "data")));
    }
  });
}

bool isDone(const Tensor& tensor) {
  const auto& writer = tensor.storage->writer;
  return !writer || writer->state.load(std::memory_order_acquire) == Completion::State::Done;
}

Tensor copyOf(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.dtype, tensor.shape, "data");
  enqueue("data", {&tensor}, {&copy}, [tensor, copy](const Backend& table, Parallel& parallel) {
    table.copy({tensor.view(), copy.view()}, parallel);
  });
  return copy;
}

Napi::Value readTensor(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Tensor tensor = Handle<Tensor>::get(info[0], {"data", "this"});
  if (double(tensor.bytes()) > maxArrayBytes)
    throw Error(Code::Shape, concat("data: a typed array holds at most 4 GiB, the tensor has ", tensor.bytes(),
                                    " bytes; read it by slices"))
        .with("op", "data")
        .with("argument", "this")
        .with("expected", "at most 4294967296 bytes")
        .with("actual", concat(tensor.bytes(), " bytes"));
  if (tensor.device().isCpu() && isDone(tensor) && tensor.isContiguous() && tensor.bytes() <= smallBytes) {
    auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Resolve(arrayOf(env, tensor));
    return deferred.Promise();
  }
  Tensor copy = tensor.device().isCpu() ? copyOf(tensor) : onDevice(tensor, Device{});
  auto waiting = std::make_shared<Waiting>(env);
  double readId = info[1].ToNumber();
  waiting->environment->reads[readId] = copy.storage->writer;
  Stream::instance().whenReached(waiting->environment.get(), [waiting, copy, readId] {
    settleLater(waiting, [copy, readId](Napi::Env env) -> Napi::Value {
      Environment::of(env).reads.erase(readId);
      if (copy.storage->writer->state.load() == Completion::State::Failed) throw *copy.storage->writer->error;
      return arrayOf(env, copy);
    });
  });
  return waiting->deferred.Promise();
}

Napi::Value cancelTensor(const Napi::CallbackInfo& info) {
  auto* handle = Handle<Tensor>::of(info[0]);
  if (handle && !handle->disposed && handle->value.storage->writer)
    Stream::cancel(handle->value.storage->writer, info[1].ToNumber());
  return info.Env().Undefined();
}

Napi::Value cancelRead(const Napi::CallbackInfo& info) {
  auto& reads = Environment::of(info.Env()).reads;
  if (auto found = reads.find(info[0].ToNumber()); found != reads.end())
    Stream::cancel(found->second, info[1].ToNumber());
  return info.Env().Undefined();
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  if (auto* tensor = Handle<Tensor>::of(info[0]))
    tensor->release(info.Env());
  else if (auto* matrix = Handle<PackedMatrix>::of(info[0]))
    matrix->release(info.Env());
  else if (auto* cache = Handle<KVCache>::of(info[0]))
    cache->release(info.Env());
  else if (auto* recording = Handle<Recording>::of(info[0]))
    recording->release(info.Env());
  else if (auto* file = Handle<SafetensorsFile>::of(info[0]))
    file->release(info.Env());
  return info.Env().Undefined();
}

Napi::Value isDisposed(const Napi::CallbackInfo& info) {
  auto* handle = Handle<Tensor>::of(info[0]);
  return Napi::Boolean::New(info.Env(), !handle || handle->disposed);
}

Napi::Value idle(const Napi::CallbackInfo& info) {
  settings();  // what it throws must come before a promise waits
  auto waiting = std::make_shared<Waiting>(info.Env());
  Stream::instance().whenReached(waiting->environment.get(), [waiting] {
    std::optional<Error> fault;  // of a kernel that ran by itself
    try {
      synchroniseDevices();
    } catch (const Error& error) {
      fault = error;
    }
    settleLater(waiting, [fault](Napi::Env env) -> Napi::Value {
      if (fault) throw *fault;
      return env.Undefined();
    });
  });
  return waiting->deferred.Promise();
}

Napi::Value ready(const Napi::CallbackInfo& info) {
  settings();
  auto waiting = std::make_shared<Waiting>(info.Env());
  Stream::instance().whenReady(waiting->environment.get(), [waiting] {
    settleLater(waiting, [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
  });
  return waiting->deferred.Promise();
}

Napi::Value setClasses(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  environment.tensorClass = Napi::Persistent(info[0].As<Napi::Function>());
  environment.errorFactory = Napi::Persistent(info[1].As<Napi::Function>());
  environment.notice = Napi::Persistent(info[2].As<Napi::Function>());
  return info.Env().Undefined();
}

}  // namespace

void defineTensorClass(Exports& exports) {
  exports.raw(
      "setClasses", setClasses,
      "(tensorClass: unknown, errorFactory: (code: string, message: string, fields: Record<string, unknown>) "
      "=> Error, notice: (op: string, device: string) => void): void",
      "Tells the addon which class results are made of, how its errors become JavaScript ones, and whom to tell "
      "of an op that a device has no kernel for.");
  exports.raw("initTensor", initTensor,
              "(target: object, dtype: string, data: object, shape: readonly number[], device?: string): void",
              "Gives a new Tensor object its memory.");
  exports.raw("initView", initView, "(target: object, array: object, shape: readonly number[], dtype?: string): void",
              "Gives a new Tensor object the memory of a typed array.");
  exports.raw("takeResult", takeResult, "(target: object): boolean",
              "Gives a new Tensor object the result of the op that makes it; false where there is none.");
  exports.raw("dtypeOf", dtypeOf, "(tensor: Tensor): string", "The tensor's dtype.");
  exports.raw("shapeOf", shapeOf, "(tensor: Tensor): number[]", "The tensor's shape.");
  exports.raw("deviceOf", deviceOf, "(tensor: Tensor): string", "Where the tensor's memory is.");
  exports.raw("readTensor", readTensor,
              "(tensor: Tensor, readId: number): Promise<Float32Array | Uint16Array | Int8Array | Uint8Array | "
              "Int32Array | BigInt64Array>",
              "The tensor's values, once they are there.");
  exports.raw("cancelTensor", cancelTensor, "(tensor: Tensor, abortId: number): void",
              "Stops what computes the tensor.");
  exports.raw("cancelRead", cancelRead, "(readId: number, abortId: number): void",
              "Stops what computes the tensor that is being read.");
  exports.raw("dispose", dispose, "(handle: object): void", "Lets go of the native memory behind a handle.");
  exports.raw("isDisposed", isDisposed, "(tensor: Tensor): boolean", "Whether the tensor was disposed.");
  exports.raw("idle", idle, "(): Promise<void>", "Resolves when everything enqueued so far has run.");
  exports.raw("ready", ready, "(): Promise<void>", "Resolves when the queue is at most half full.");
}

}  // namespace longspan::node
