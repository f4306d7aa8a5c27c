#include "js_types.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "../core/host_convert.h"
#include "../ops/machine.h"

namespace longspan::node {
namespace {

constexpr auto float16Array = napi_typedarray_type(11);      // newer than our Node-API
constexpr auto unknownArray = napi_typedarray_type(0x7fff);  // what this Node does not tell

// What a typed array holds bit for bit.
bool holdsBits(napi_typedarray_type type, DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return type == napi_float32_array;
    case DType::Float16:
      return type == napi_uint16_array || type == float16Array;
    case DType::BFloat16:
      return type == napi_uint16_array;
    case DType::Int8:
      return type == napi_int8_array;
    case DType::UInt8:
      return type == napi_uint8_array || type == napi_uint8_clamped_array;
    case DType::Int32:
      return type == napi_int32_array;
    case DType::Int64:
      return type == napi_bigint64_array;
    default:  // of packed weights
      return false;
  }
}

const char* arrayName(napi_typedarray_type type) {
  static const char* names[] = {"Int8Array",    "Uint8Array",    "Uint8ClampedArray", "Int16Array",
                                "Uint16Array",  "Int32Array",    "Uint32Array",       "Float32Array",
                                "Float64Array", "BigInt64Array", "BigUint64Array",    "Float16Array"};
  return size_t(type) < std::size(names) ? names[type] : "a typed array";
}

struct ArrayView {
  napi_typedarray_type type;
  size_t length;
  const void* data;
};
ArrayView arrayView(const Napi::Value& v) {
  ArrayView view{unknownArray, 0, nullptr};
  size_t offset;
  napi_value buffer;
  napi_get_typedarray_info(v.Env(), v, &view.type, &view.length, const_cast<void**>(&view.data), &buffer, &offset);
  return view;
}

// Numbers of any JavaScript array as doubles; int64 keeps its bits through BigInt64Array above.
double numberAt(const ArrayView& view, size_t i) {
  switch (view.type) {
    case napi_float32_array:
      return static_cast<const float*>(view.data)[i];
    case napi_float64_array:
      return static_cast<const double*>(view.data)[i];
    case napi_int8_array:
      return static_cast<const int8_t*>(view.data)[i];
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return static_cast<const uint8_t*>(view.data)[i];
    case napi_int16_array:
      return static_cast<const int16_t*>(view.data)[i];
    case napi_uint16_array:
      return static_cast<const uint16_t*>(view.data)[i];
    case napi_int32_array:
      return static_cast<const int32_t*>(view.data)[i];
    case napi_uint32_array:
      return static_cast<const uint32_t*>(view.data)[i];
    case napi_bigint64_array:
      return double(static_cast<const int64_t*>(view.data)[i]);
    case napi_biguint64_array:
      return double(static_cast<const uint64_t*>(view.data)[i]);
    default:
      return 0;
  }
}

void checkLength(const Where& where, const Shape& shape, double length) {
  double size = 1;
  for (int64_t extent : shape) size *= double(extent);
  if (size == length) return;
  throw Error(Code::Shape, concat(where.op, ": data must have as many elements as shape ", toString(shape), " says, ",
                                  size, ", got ", length))
      .with("op", where.op)
      .with("argument", "data")
      .with("expected", concat(size, " elements"))
      .with("actual", concat(length, " elements"));
}

void fillFromArray(const Where& where, Tensor& tensor, const Napi::Array& array) {
  for (uint32_t i = 0, size = uint32_t(tensor.size()); i < size; ++i) {  // getters may change the array's length
    Napi::Value item = array.Get(i);
    if (item.IsBigInt() && tensor.dtype == DType::Int64) {
      bool lossless;
      static_cast<int64_t*>(tensor.data())[i] = item.As<Napi::BigInt>().Int64Value(&lossless);
      if (!lossless) mismatch(item, {where.op, concat("data[", i, "]")}, "a 64-bit integer");
    } else if (item.IsNumber()) {
      storeNumber(tensor.data(), tensor.dtype, i, item.As<Napi::Number>());
    } else {
      mismatch(item, {where.op, concat("data[", i, "]")}, "a number");
    }
  }
}

void fillFromTyped(const Where& where, Tensor& tensor, const ArrayView& view) {
  if (holdsBits(view.type, tensor.dtype)) {
    if (view.length) std::memcpy(tensor.data(), view.data, view.length * sizeOf(tensor.dtype));
    return;
  }
  if (tensor.dtype == DType::Int64 && view.type == napi_biguint64_array) {
    for (size_t i = 0; i < view.length; ++i)
      static_cast<int64_t*>(tensor.data())[i] =
          int64_t(std::min<uint64_t>(static_cast<const uint64_t*>(view.data)[i], ~0ull >> 1));
    return;
  }
  bool reals = view.type == napi_float32_array || view.type == napi_float64_array;
  bool integers = !info(tensor.dtype).isFloat && !reals;
  if (!(info(tensor.dtype).isFloat && reals) && !integers)
    throw Error(Code::DType,
                concat(where.op, ": a ", nameOf(tensor.dtype), " tensor cannot take ", arrayName(view.type)))
        .with("op", where.op)
        .with("argument", "data")
        .with("expected", nameOf(tensor.dtype))
        .with("actual", arrayName(view.type));
  for (size_t i = 0; i < view.length; ++i) storeNumber(tensor.data(), tensor.dtype, i, numberAt(view, i));
}

Tensor ownedTensor(DType dtype, Shape shape, const char* what) { return Tensor::empty(dtype, std::move(shape), what); }

}  // namespace

Shape shapeFrom(const Where& where, const Napi::Value& value) {
  if (!value.IsArray() && !value.IsTypedArray()) mismatch(value, where, "number[]");
  auto object = value.As<Napi::Object>();
  uint32_t rank = object.Get("length").ToNumber();
  if (rank > maxRank)
    badArgument(where.op, where.argument, concat("a tensor has at most ", maxRank, " axes, got ", rank));
  Shape shape;
  for (uint32_t i = 0; i < rank; ++i) {
    Napi::Value item = object.Get(i);
    int64_t extent = item.IsBigInt() ? item.As<Napi::BigInt>().ToNumber().Int64Value()
                                     : Js<int64_t>::from(item, {where.op, concat(where.argument, "[", i, "]")});
    if (extent < 0)
      badArgument(where.op, where.argument, concat("extents must not be negative, got ", extent, " at axis ", i));
    shape.push_back(extent);
  }
  return shape;
}

Tensor tensorFrom(const Where& where, const Napi::Value& dtype, const Napi::Value& data, const Napi::Value& shapeValue,
                  const Napi::Value& device) {
  const std::string place = requireDevice(where.op, Js<std::optional<std::string>>::from(device, {where.op, "device"}));
  DType type = parseDType(Js<std::string>::from(dtype, {where.op, "dtype"}), where.op);
  Shape shape = shapeFrom({where.op, "shape"}, shapeValue);
  if (!data.IsArray() && !data.IsTypedArray())
    mismatch(data, {where.op, "data"}, "a typed array or an array of numbers");
  checkLength(where, shape, data.IsArray() ? data.As<Napi::Array>().Length() : arrayView(data).length);
  Tensor tensor = ownedTensor(type, std::move(shape), where.op);
  if (data.IsArray())
    fillFromArray(where, tensor, data.As<Napi::Array>());
  else
    fillFromTyped(where, tensor, arrayView(data));
  return toDevice(tensor, place);
}

Tensor tensorView(const Where& where, const Napi::Value& array, const Napi::Value& shapeValue,
                  const Napi::Value& dtype) {
  if (!array.IsTypedArray()) mismatch(array, {where.op, "array"}, "a typed array");
  ArrayView view = arrayView(array);
  static const std::pair<napi_typedarray_type, DType> natural[] = {{napi_float32_array, DType::Float32},
                                                                   {napi_int8_array, DType::Int8},
                                                                   {napi_uint8_array, DType::UInt8},
                                                                   {napi_int32_array, DType::Int32},
                                                                   {napi_bigint64_array, DType::Int64}};
  std::optional<DType> type;
  if (!dtype.IsUndefined())
    type = parseDType(Js<std::string>::from(dtype, {where.op, "dtype"}), where.op);
  else
    for (const auto& [kind, natural] : natural)
      if (kind == view.type) type = natural;
  if (!type || !holdsBits(view.type, *type))
    throw Error(Code::DType, concat(where.op, ": ", arrayName(view.type), " does not hold ",
                                    type ? nameOf(*type) : "a known dtype; give {dtype}"))
        .with("op", where.op)
        .with("argument", "array")
        .with("expected", type ? nameOf(*type) : "a dtype")
        .with("actual", arrayName(view.type));
  Shape shape = shapeFrom({where.op, "shape"}, shapeValue);
  checkLength(where, shape, double(view.length));
  auto* keep = new Napi::ObjectReference(Napi::Persistent(array.As<Napi::Object>()));
  auto environment = Environment::of(array.Env()).self;
  Tensor tensor;
  tensor.dtype = *type;
  tensor.strides = contiguousStrides(shape);
  tensor.shape = std::move(shape);
  tensor.storage = std::make_shared<Storage>();
  tensor.storage->memory = std::shared_ptr<void>(const_cast<void*>(view.data), [keep, environment](void*) {
    environment->post([keep](Napi::Env) { delete keep; });  // JavaScript references end on its own thread
  });
  return tensor;
}

void attachTensor(Napi::Env env, Napi::Object object, Tensor tensor) {
  int64_t bytes = tensor.storage->reported ? 0 : int64_t(tensor.storage->bytes);
  tensor.storage->reported = true;
  Handle<Tensor>::attach(env, object, std::move(tensor), bytes);
}

Tensor Js<Tensor>::from(const Napi::Value& v, const Where& where) {
  if (Handle<Tensor>::of(v)) return Handle<Tensor>::get(v, where);
  if (v.IsObject() && !v.IsArray() && !v.IsTypedArray() && !v.IsFunction()) {
    auto object = v.As<Napi::Object>();
    Napi::Value dtype = object.Get("dtype"), shape = object.Get("shape");
    if (dtype.IsUndefined()) dtype = object.Get("type");
    if (shape.IsUndefined()) shape = object.Get("dims");
    if (dtype.IsString() && !shape.IsUndefined())
      return tensorFrom(where, dtype, object.Get("data"), shape, v.Env().Undefined());
  }
  mismatch(v, where, "Tensor");
}

Napi::Value Js<Tensor>::to(Napi::Env env, Tensor tensor) {
  Environment& environment = Environment::of(env);
  environment.result = std::move(tensor);
  return environment.tensorClass.New(std::initializer_list<napi_value>{});
}

Integers Js<Integers>::from(const Napi::Value& v, const Where& where) {
  if (v.IsTypedArray() || v.IsArray()) {
    Shape shape = {v.IsArray() ? int64_t(v.As<Napi::Array>().Length()) : int64_t(arrayView(v).length)};
    Tensor tensor = ownedTensor(DType::Int32, shape, where.op);
    for (int64_t i = 0; i < shape[0]; ++i) {
      double number = v.IsArray() ? double(Js<int64_t>::from(v.As<Napi::Array>().Get(uint32_t(i)),
                                                             {where.op, concat(where.argument, "[", i, "]")}))
                                  : numberAt(arrayView(v), i);
      if (number != std::trunc(number) || std::abs(number) > double(std::numeric_limits<int32_t>::max()))
        badArgument(where.op, where.argument,
                    concat("expected 32-bit integers for ", where.argument, ", got ", number, " at place ", i));
      static_cast<int32_t*>(tensor.data())[i] = int32_t(number);
    }
    return {tensor};
  }
  Tensor tensor = Js<Tensor>::from(v, {where.op, where.argument});
  requireDType(where.op, where.argument, tensor, {DType::Int32, DType::Int64});
  return {tensor.dtype == DType::Int32 ? tensor : cast(tensor, "int32")};
}

Numbers Js<Numbers>::from(const Napi::Value& v, const Where& where) {
  Numbers numbers;
  if (v.IsTypedArray()) {
    ArrayView view = arrayView(v);
    for (size_t i = 0; i < view.length; ++i) numbers.values.push_back(numberAt(view, i));
  } else if (v.IsArray()) {
    numbers.values = Js<std::vector<double>>::from(v, where);
  } else {
    numbers.tensor = Js<Tensor>::from(v, where);
  }
  return numbers;
}

WindowSpec Js<WindowSpec>::from(const Napi::Value& v, const Where& where) {
  if (v.IsNumber()) return {Js<int64_t>::from(v, where), std::nullopt};
  if (!v.IsObject() || v.IsArray()) mismatch(v, where, ts());
  auto object = v.As<Napi::Object>();
  Napi::Array keys = object.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    std::string key = Napi::Value(keys.Get(i)).ToString();
    if (key != "before" && key != "after") unknownOption(where, key, {"before", "after"});
  }
  return {Js<int64_t>::from(object.Get("before"), {where.op, where.argument + ".before"}),
          Js<std::optional<int64_t>>::from(object.Get("after"), {where.op, where.argument + ".after"}).value_or(0)};
}

Napi::Value Js<AttentionOutput>::to(Napi::Env env, const AttentionOutput& output) {
  if (!output.lse) return Js<Tensor>::to(env, output.out);
  auto object = Napi::Object::New(env);
  object.Set("out", Js<Tensor>::to(env, output.out));
  object.Set("lse", Js<Tensor>::to(env, *output.lse));
  return object;
}

Napi::Value Js<HashedAttentionOutput>::to(Napi::Env env, const HashedAttentionOutput& output) {
  if (!output.lse && !output.buckets) return Js<Tensor>::to(env, output.out);
  auto object = Napi::Object::New(env);
  object.Set("out", Js<Tensor>::to(env, output.out));
  if (output.lse) object.Set("lse", Js<Tensor>::to(env, *output.lse));
  if (output.buckets) object.Set("buckets", Js<Tensor>::to(env, *output.buckets));
  return object;
}
Napi::Value Js<LunaOutput>::to(Napi::Env env, const LunaOutput& output) {
  if (!output.extra && !output.state) return Js<Tensor>::to(env, output.out);
  auto object = Napi::Object::New(env);
  object.Set("out", Js<Tensor>::to(env, output.out));
  if (output.extra) object.Set("extra", Js<Tensor>::to(env, *output.extra));
  if (output.state) object.Set("state", Js<LunaState>::to(env, *output.state));
  return object;
}
std::string Js<LunaOutput>::ts() {
  return "Tensor | { out: Tensor; extra?: Tensor; state?: " + Js<LunaState>::resultTs() + " }";
}

}  // namespace longspan::node
