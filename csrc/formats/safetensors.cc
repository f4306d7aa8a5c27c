#include "safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "../core/error.h"
#include "json_reader.h"

namespace longspan {

namespace {

struct FileDType {
  const char* name;
  int bits;
  std::optional<DType> dtype;  // of our tensors; none: read by nobody here
};
constexpr FileDType fileDTypes[] = {
    {"F32", 32, DType::Float32},
    {"F16", 16, DType::Float16},
    {"BF16", 16, DType::BFloat16},
    {"I8", 8, DType::Int8},
    {"U8", 8, DType::UInt8},
    {"I32", 32, DType::Int32},
    {"I64", 64, DType::Int64},
    {"F64", 64, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"U32", 32, {}},
    {"U64", 64, {}},
    {"BOOL", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
    {"C64", 64, {}},
};

const FileDType* findDType(const std::string& name) {
  for (const FileDType& known : fileDTypes)
    if (name == known.name) return &known;
  return nullptr;
}

std::string supportedDTypes() {
  std::string names;
  for (const FileDType& known : fileDTypes)
    if (known.dtype) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

// Bytes of shape × dtype; none when it overflows or is no whole number of bytes.
std::optional<uint64_t> byteCount(const Shape& shape, int bits) {
  uint64_t total = uint64_t(bits);
  for (int64_t extent : shape)
    if (__builtin_mul_overflow(total, uint64_t(extent), &total)) return {};
  if (total % 8 || total / 8 > uint64_t(INT64_MAX)) return {};
  return total / 8;
}

}  // namespace

std::shared_ptr<Safetensors> Safetensors::open(const std::string& path) {
  std::shared_ptr<Safetensors> result(new Safetensors);
  result->file_ = MappedFile::open(path);
  const MappedFile& file = *result->file_;
  if (file.size() < 8)
    failFormat(path, 0, concat("is not a safetensors file: it has ", file.size(), " bytes, expected at least 8"));
  uint64_t headerBytes;
  std::memcpy(&headerBytes, file.data(), 8);
  if (headerBytes > maxHeaderBytes)
    failFormat(path, 0,
               concat("is not a safetensors file: its header claims ", headerBytes, " bytes, expected at most ",
                      maxHeaderBytes));
  if (headerBytes > file.size() - 8)
    failFormat(path, 0,
               concat("is truncated: its header claims ", headerBytes, " bytes, the file has ", file.size() - 8,
                      " after the length"));
  result->parseHeader(headerBytes);
  return result;
}

void Safetensors::parseHeader(uint64_t headerBytes) {
  std::string_view header(reinterpret_cast<const char*>(file_->data()) + 8, headerBytes);
  if (header.empty() || header[0] != '{') failFormat(path(), 8, "expected the header to begin with '{'");
  if (size_t at = findInvalidUtf8(header); at != header.npos) failFormat(path(), 8 + at, "the header is not UTF-8");
  JsonReader json(header, [&](size_t offset, const std::string& reason) { failFormat(path(), 8 + offset, reason); });
  json.object([&](const std::string& name) {
    if (name == "__metadata__") {
      json.object([&](const std::string& key) { metadata_[key] = json.string(); });
      return;
    }
    if (entries_.count(name)) json.fail(concat("tensor \"", name, "\" is there twice"));
    entries_[name] = parseEntry(json, name, 8 + headerBytes);
  });
  json.end();
  checkTiling(8 + headerBytes);
}

SafetensorsEntry Safetensors::parseEntry(JsonReader& json, const std::string& name, uint64_t dataStart) {
  SafetensorsEntry entry;
  std::optional<std::string> dtype;
  std::vector<uint64_t> offsets;
  bool hasShape = false, hasOffsets = false;
  auto wrong = [&](const std::string& reason) { json.fail(concat("tensor \"", name, "\": ", reason)); };
  auto once = [&](bool seen, const char* field) {
    if (seen) wrong(concat("\"", field, "\" is there twice"));
  };
  json.object([&](const std::string& field) {
    if (field == "dtype") {
      once(dtype.has_value(), "dtype");
      dtype = json.string();
    } else if (field == "shape") {
      once(hasShape, "shape");
      hasShape = true;
      json.array([&] {
        uint64_t extent = json.unsignedInteger();
        if (extent > uint64_t(INT64_MAX)) wrong("a dimension does not fit in 63 bits");
        if (entry.shape.size() == maxRank) wrong(concat("expected at most ", maxRank, " dimensions"));
        entry.shape.push_back(int64_t(extent));
      });
    } else if (field == "data_offsets") {
      once(hasOffsets, "data_offsets");
      hasOffsets = true;
      json.array([&] {
        if (offsets.size() == 2) wrong("expected two data_offsets");
        offsets.push_back(json.unsignedInteger());
      });
    } else {
      json.skip();
    }
  });
  if (!dtype) wrong("\"dtype\" is missing");
  if (!hasShape) wrong("\"shape\" is missing");
  if (offsets.size() != 2) wrong("expected two data_offsets");
  entry.dtype = *dtype;
  const FileDType* known = findDType(*dtype);
  if (!known) wrong(concat("unknown dtype \"", *dtype, "\""));
  uint64_t dataBytes = file_->size() - dataStart;
  if (offsets[0] > offsets[1]) wrong(concat("data_offsets [", offsets[0], ", ", offsets[1], "] run backwards"));
  if (offsets[1] > dataBytes)
    wrong(concat("data_offsets end at ", offsets[1], ", but the file has ", dataBytes,
                 " bytes of data: it is truncated"));
  auto bytes = byteCount(entry.shape, known->bits);
  if (!bytes) wrong(concat("shape ", toString(entry.shape), " of ", *dtype, " is no possible number of bytes"));
  if (*bytes != offsets[1] - offsets[0])
    wrong(concat("shape ", toString(entry.shape), " of ", *dtype, " is ", *bytes, " bytes, but data_offsets give ",
                 offsets[1] - offsets[0]));
  entry.begin = dataStart + offsets[0];
  entry.end = dataStart + offsets[1];
  return entry;
}

// Tensors must lie one after the other from the header's end to the file's end, as the format says.
void Safetensors::checkTiling(uint64_t dataStart) const {
  using Named = std::pair<const std::string, SafetensorsEntry>;
  std::vector<const Named*> sorted;
  for (const Named& named : entries_) sorted.push_back(&named);
  std::sort(sorted.begin(), sorted.end(), [](const Named* a, const Named* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t at = dataStart;
  for (const Named* named : sorted) {
    const SafetensorsEntry& entry = named->second;
    if (entry.begin < at)
      failFormat(path(), entry.begin, concat("tensor \"", named->first, "\" overlaps another tensor"));
    if (entry.begin > at)
      failFormat(path(), at,
                 concat(entry.begin - at, " bytes before tensor \"", named->first, "\" belong to no tensor"));
    at = entry.end;
  }
  if (at != file_->size()) failFormat(path(), at, concat(file_->size() - at, " bytes follow the last tensor"));
}

Tensor Safetensors::tensor(const std::string& name) const {
  auto found = entries_.find(name);
  if (found == entries_.end()) failFormat(path(), 0, concat("has no tensor \"", name, "\""));
  const SafetensorsEntry& entry = found->second;
  const FileDType* known = findDType(entry.dtype);
  if (!known->dtype)
    throw Error(Code::Unsupported,
                concat(path(), ": tensor \"", name, "\" is ", entry.dtype, ", expected one of ", supportedDTypes()))
        .with("feature", "dtype " + entry.dtype)
        .with("known", supportedDTypes());
  file_->requireWhole();
  unsigned char* data = const_cast<unsigned char*>(file_->data()) + entry.begin;
  Tensor tensor;
  if (reinterpret_cast<uintptr_t>(data) % uintptr_t(sizeOf(*known->dtype))) {
    tensor = Tensor::empty(*known->dtype, entry.shape, "safetensors");
    std::memcpy(tensor.data(), data, entry.end - entry.begin);
    return tensor;
  }
  tensor.storage = std::make_shared<Storage>();
  tensor.storage->memory = std::shared_ptr<void>(file_, data);
  tensor.storage->bytes = entry.end - entry.begin;
  tensor.dtype = *known->dtype;
  tensor.shape = entry.shape;
  tensor.strides = contiguousStrides(entry.shape);
  return tensor;
}

}  // namespace longspan
