// A file mapped read-only. Tensors on it hold a share of the mapping. If another process truncates the file, touching
// the lost pages is fatal to any program that maps it; so its size is checked again before each tensor is handed out,
// and models copy what they keep.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace longspan {

class MappedFile {
 public:
  // Throws Error{ModelFormat} when the file cannot be opened, is not a regular file or is empty.
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const unsigned char* data() const { return data_; }
  uint64_t size() const { return size_; }
  // Throws Error{ModelFormat} when the file has become shorter since it was opened.
  void requireWhole() const;

 private:
  MappedFile() = default;
  std::string path_;
  int descriptor_ = -1;
  unsigned char* data_ = nullptr;
  uint64_t size_ = 0;
};

// Error{ModelFormat} with the fields of api.md; the message names the file and, where it means something, the offset.
[[noreturn]] void failFormat(const std::string& file, uint64_t offset, const std::string& reason);

}  // namespace longspan
