// Model files in JavaScript: a handle on an open file, and its tensors.
#pragma once
#include "../formats/safetensors.h"
#include "handle.h"

namespace longspan::node {

struct SafetensorsFile {
  std::shared_ptr<Safetensors> storage;
};

template <>
struct HandleTag<SafetensorsFile> {
  static constexpr const char* name = "SafetensorsFile";
  static constexpr napi_type_tag tag{0x6c6f6e677370616e, 0x7361666574650001};
};

void defineFormats(Exports& exports);

}  // namespace longspan::node
