// The key/value cache of one layer, in lane layout (one decode step reads it as one ascending stream).
// Keys are kept in blocks of 32, each K block followed by its V block; a slab holds keysPerSlab keys of every KV head:
//   slab: [numKVHeads][keysPerSlab / 32][K block | V block]
//   K block: float32 [2][headDim][16 keys]            bfloat16 [2][headDim / 2][16 keys][2]
//   V block: float32 [valueDim / 16][32 keys][16]-like, see cpu/kv_cache.inl, which alone reads and writes it
#pragma once
#include "dtype.h"

namespace longspan {

struct KVCacheView {
  static constexpr int keysPerBlock = 32;
  static constexpr int keysPerSlab = 1024;
  void* const* slabs = nullptr;  // [ceil(length / keysPerSlab)]
  DType dtype = DType::Float32;  // float32 or bfloat16
  int numKVHeads = 0, headDim = 0, valueDim = 0;
  int64_t length = 0;  // keys present (after the append, for attention)
};

}  // namespace longspan
