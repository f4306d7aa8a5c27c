#include "formats.h"

#include "js_types.h"

namespace longspan::node {

template <>
struct Js<SafetensorsFile> : JsHandle<SafetensorsFile> {
  static Napi::Value to(Napi::Env env, SafetensorsFile file) { return attach(env, std::move(file), 0); }
};

namespace {

SafetensorsFile openSafetensors(const std::string& path) { return {Safetensors::open(path)}; }

Tensor safetensorsTensor(const SafetensorsFile& file, const std::string& name) { return file.storage->tensor(name); }

Napi::Value safetensorsFacts(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Safetensors& file = *Js<SafetensorsFile>::from(info[0], {"safetensorsFacts", "file"}).storage;
  auto tensors = Napi::Array::New(env), metadata = Napi::Array::New(env);
  for (const auto& [name, entry] : file.entries()) {
    auto facts = Napi::Object::New(env);
    facts.Set("name", name);
    facts.Set("dtype", entry.dtype);
    facts.Set("shape", Js<Shape>::to(env, entry.shape));
    tensors.Set(tensors.Length(), facts);
  }
  for (const auto& [key, value] : file.metadata()) {
    auto pair = Napi::Object::New(env);
    pair.Set("key", key);
    pair.Set("value", value);
    metadata.Set(metadata.Length(), pair);
  }
  auto facts = Napi::Object::New(env);
  facts.Set("tensors", tensors);
  facts.Set("metadata", metadata);
  return facts;
}

}  // namespace

void defineFormats(Exports& exports) {
  exports.define<openSafetensors>("openSafetensors", {"path"}, "Maps a safetensors file and checks its header.");
  exports.raw(
      "safetensorsFacts", safetensorsFacts,
      "(file: SafetensorsFile): { tensors: { name: string; dtype: string; shape: number[] }[]; metadata: { key: "
      "string; value: string }[] }",
      "What the file's header says.");
  exports.define<safetensorsTensor>("safetensorsTensor", {"file", "name"},
                                    "A tensor as a view on the mapped file, which it keeps open.");
}

}  // namespace longspan::node
