// What each .cu file of this folder gives to the table in backend.cu, and what kernels share on the host: the stream of
// the device in use, scratch memory, and how a failure is reported.
#pragma once
#include <cuda_runtime.h>

#include "../csrc/core/backend.h"

namespace longspan::cuda {

// Keeps the text for longspanError(); false if this is one. `what` is the call, for the reader of the message.
bool succeeded(cudaError_t status, const char* what);
void keepError(const char* text);

// All work of a device runs on one stream, in the order of the calls.
cudaStream_t stream();
// Streaming multiprocessors of the device in use
int numProcessors();

// Device memory until the end of the scope; kernels enqueued within it may use it. False where there was too little:
// the error is kept then, and the caller returns. Nothing is allocated for 0 bytes.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  explicit operator bool() const { return isThere_; }

 private:
  void* data_ = nullptr;
  bool isThere_ = true;
};
// Host memory to the device; `from` may be used again when it returns. And back: waits for all work before.
bool copyToDevice(void* to, const void* from, size_t bytes);
bool copyToHost(void* to, const void* from, size_t bytes);

void copy(const CopyArgs& args, Parallel& parallel);
void embedding(const EmbeddingArgs& args, Parallel& parallel);
void norm(const NormArgs& args, Parallel& parallel);
void rope(const RopeArgs& args, Parallel& parallel);
void gated(const GatedArgs& args, Parallel& parallel);
void binary(const BinaryArgs& args, Parallel& parallel);
void softmax(const SoftmaxArgs& args, Parallel& parallel);
void nll(const NllArgs& args, Parallel& parallel);
void topK(const TopKArgs& args, Parallel& parallel);
void pack(const PackArgs& args, Parallel& parallel);
void matmul(const MatmulArgs& args, Parallel& parallel);
void attention(const AttentionArgs& args, Parallel& parallel);
void mergeAttention(const MergeArgs& args, Parallel& parallel);
void bucketHash(const BucketHashArgs& args, Parallel& parallel);
void sortTokens(const SortTokensArgs& args, Parallel& parallel);
void cacheAppend(const CacheAppendArgs& args, Parallel& parallel);
void ropeAppend(const RopeAppendArgs& args, Parallel& parallel);

}  // namespace longspan::cuda
