// Lists that a call points to, brought to the device in one piece: patterns with all that they refer to, sequences and
// their pages, slabs of a cache. Everything is added twice: first to know the size, then, with the memory there, to get
// the pointers that hold on the device.
#pragma once
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "kernels.h"

namespace longspan::cuda {

class Upload {
 public:
  Upload() = default;                                          // measures
  explicit Upload(unsigned char* device) : device_(device) {}  // keeps what is added, for `device`
  size_t size() const { return size_; }
  const void* data() const { return bytes_.data(); }

  // The same list is there once
  template <class T>
  const T* add(const T* list, int64_t count) {
    if (!list || count <= 0) return nullptr;
    const size_t bytes = size_t(count) * sizeof(T);
    const auto [known, isNew] = known_.try_emplace({list, bytes}, size_);
    if (isNew) append(list, bytes);
    return at<T>(known->second);
  }
  // A list made for this call
  template <class T>
  const T* addOwn(const std::vector<T>& list) {
    const size_t place = size_;
    append(list.data(), list.size() * sizeof(T));
    return at<T>(place);
  }

 private:
  template <class T>
  const T* at(size_t place) const {
    return reinterpret_cast<const T*>(device_ + place);
  }
  void append(const void* from, size_t bytes) {
    size_ += (bytes + 15) / 16 * 16;
    if (!device_) return;
    const size_t begin = bytes_.size();
    bytes_.resize(size_);
    if (bytes) memcpy(bytes_.data() + begin, from, bytes);
  }

  unsigned char* device_ = nullptr;
  size_t size_ = 0;
  std::vector<unsigned char> bytes_;
  std::map<std::pair<const void*, size_t>, size_t> known_;
};

// The pattern with pointers to what was added
Pattern addPattern(Upload& upload, const Pattern& pattern);
// How deep its unions and intersections are nested: 0 where it is none
int compositeDepthOf(const Pattern& pattern);

}  // namespace longspan::cuda
