// safetensors: a little-endian u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes.
// Hostile input ends here: whatever open() returns lies inside the file, without overlap, with the right byte counts.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "../core/tensor.h"
#include "mapped_file.h"

namespace longspan {

struct SafetensorsEntry {
  std::string dtype;  // as the file spells it: F32, BF16, …
  Shape shape;
  uint64_t begin = 0, end = 0;  // in the file
};

class Safetensors {
 public:
  static constexpr uint64_t maxHeaderBytes = 100'000'000;  // the limit of the reference implementation

  // Throws Error{ModelFormat} with file, offset and reason.
  static std::shared_ptr<Safetensors> open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const std::map<std::string, SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // A view on the mapping, which it keeps alive (a copy where the file leaves the data unaligned).
  // Throws Error{ModelFormat} for an unknown name, Error{Unsupported} for a dtype that tensors do not have.
  Tensor tensor(const std::string& name) const;

 private:
  void parseHeader(uint64_t headerBytes);
  SafetensorsEntry parseEntry(class JsonReader& json, const std::string& name, uint64_t dataStart);
  void checkTiling(uint64_t dataStart) const;

  std::shared_ptr<MappedFile> file_;
  std::map<std::string, SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace longspan
