#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../core/error.h"

namespace longspan {

void failFormat(const std::string& file, uint64_t offset, const std::string& reason) {
  throw Error(Code::ModelFormat, concat(file, ": ", reason, " (at byte ", offset, ")"))
      .with("file", file)
      .with("offset", double(offset))
      .with("reason", reason);
}

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->descriptor_ < 0) failFormat(path, 0, concat("cannot be opened: ", std::strerror(errno)));
  struct stat status;
  if (fstat(file->descriptor_, &status) != 0) failFormat(path, 0, concat("cannot be read: ", std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) failFormat(path, 0, "is not a regular file");
  if (status.st_size == 0) failFormat(path, 0, "is empty");
  file->size_ = uint64_t(status.st_size);
  void* data = mmap(nullptr, file->size_, PROT_READ, MAP_SHARED, file->descriptor_, 0);
  if (data == MAP_FAILED) failFormat(path, 0, concat("cannot be mapped: ", std::strerror(errno)));
  file->data_ = static_cast<unsigned char*>(data);
  return file;
}

MappedFile::~MappedFile() {
  if (data_) munmap(data_, size_);
  if (descriptor_ >= 0) close(descriptor_);
}

void MappedFile::requireWhole() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || uint64_t(status.st_size) < size_)
    failFormat(path_, uint64_t(status.st_size),
               concat("has become shorter since it was opened, ", size_, " bytes then"));
}

}  // namespace longspan
