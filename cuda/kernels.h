// What each .cu file of this folder gives to the table in backend.cu, and how a kernel reports a failure.
#pragma once
#include <cuda_runtime.h>

#include "../csrc/core/backend.h"

namespace longspan::cuda {

// Keeps the text for longspanError(); false if this is one. `what` is the call, for the reader of the message.
bool succeeded(cudaError_t status, const char* what);
void keepError(const char* text);

// Kernels run on the calling thread's own CUDA stream, in the order of the calls.
inline cudaStream_t stream() { return cudaStreamPerThread; }

void rope(const RopeArgs& args, Parallel& parallel);

}  // namespace longspan::cuda
