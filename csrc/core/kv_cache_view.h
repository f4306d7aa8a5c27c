// The key/value cache of one layer, in lane layout: one decode step reads it as one ascending stream per KV head.
// Keys are kept in blocks of 32, each K block followed by its V block; a slab holds keysPerSlab keys of every KV head:
//   slab     [numKVHeads][keysPerSlab / 32][K block | V block], and behind that, where there are two sets of keys (the
//            same ones turned in two ways), [numKVHeads][keysPerSlab / 32][K block] of the first: far keys are the many
//   K block  float32 [2][keyDim][16 keys]           bfloat16 [2][keyDim / 2][16 keys][2]
//   V block  panels of up to 64 values, one after the other:
//            float32 [32 keys][panel]               bfloat16 [16 key pairs][panel][2]
// keyDim is headDim padded to 4 (to 16 where rows are coded), the values are padded to 16; pads stay zero. The layout
// is the same for every ISA. Slabs are zero when they are new and 64-byte aligned; huge pages help. cpu/kv_cache.inl
// alone reads and writes them; devices have a layout of their own in as many bytes (cuda/cache.cuh), and codings that
// the CPU has not.
#pragma once
#include "dtype.h"

namespace longspan {

// How rows are kept: as they are, in the cache's dtype, or, on devices alone, 8 bits a value with a float32 scale for
// each key row and value row of a head: its largest magnitude is 127, or 448 in float8 (e4m3).
enum class KVCoding : uint8_t { Plain, Int8, Float8 };

struct KVCacheView {
  static constexpr int keysPerBlock = 32;
  static constexpr int keysPerSlab = 1024;
  static constexpr int blocksPerSlab = keysPerSlab / keysPerBlock;
  static constexpr int valuesPerPanel = 64;
  void* const* slabs = nullptr;  // [ceil(length / keysPerSlab)]
  DType dtype = DType::Float32;  // float32 or bfloat16; says nothing where rows are coded
  KVCoding coding = KVCoding::Plain;
  int numKVHeads = 0, headDim = 0, valueDim = 0;
  int keySets = 1, keySet = 0;    // how many sets of keys there are, and which one is read
  int64_t length = 0;             // keys present (after the append, for attention)
  const int* lengthAt = nullptr;  // on a device, recorded: where the keys before the call are counted; `length` is room

  [[gnu::always_inline]] constexpr bool isCoded() const { return coding != KVCoding::Plain; }
  [[gnu::always_inline]] constexpr int keyDim() const {
    return isCoded() ? (headDim + 15) / 16 * 16 : (headDim + 3) / 4 * 4;
  }
  [[gnu::always_inline]] constexpr int paddedValueDim() const { return (valueDim + 15) / 16 * 16; }
  [[gnu::always_inline]] constexpr int elementBytes() const { return isCoded() ? 1 : dtype == DType::Float32 ? 4 : 2; }
  [[gnu::always_inline]] constexpr int scaleBytes() const { return isCoded() ? 4 : 0; }  // of a row
  [[gnu::always_inline]] constexpr int64_t keyBlockBytes() const {
    return int64_t(keysPerBlock) * keyDim() * elementBytes();
  }
  [[gnu::always_inline]] constexpr int64_t valueBlockBytes() const {
    return int64_t(keysPerBlock) * paddedValueDim() * elementBytes();
  }
  [[gnu::always_inline]] constexpr int64_t blockBytes() const { return keyBlockBytes() + valueBlockBytes(); }
  [[gnu::always_inline]] constexpr int64_t slabBytes() const {
    const int64_t scales = int64_t(keysPerBlock) * (keySets + 1) * scaleBytes();
    return (blockBytes() + (keySets - 1) * keyBlockBytes() + scales) * blocksPerSlab * numKVHeads;
  }
  [[gnu::always_inline]] constexpr int64_t numSlabs(int64_t keys) const {
    return (keys + keysPerSlab - 1) / keysPerSlab;
  }
  // the K block and the V block of keys [32 block, 32 block + 32)
  [[gnu::always_inline]] unsigned char* keys(int head, int64_t block) const {
    if (keySet == keySets - 1) return at(head, block);
    return slab(block) + blockBytes() * blocksPerSlab * numKVHeads + place(head, block) * keyBlockBytes();
  }
  [[gnu::always_inline]] unsigned char* values(int head, int64_t block) const {
    return at(head, block) + keyBlockBytes();
  }
  [[gnu::always_inline]] unsigned char* slab(int64_t block) const {
    return static_cast<unsigned char*>(slabs[block / blocksPerSlab]);
  }
  [[gnu::always_inline]] static int64_t place(int head, int64_t block) {
    return int64_t(head) * blocksPerSlab + block % blocksPerSlab;
  }
  [[gnu::always_inline]] unsigned char* at(int head, int64_t block) const {
    return slab(block) + place(head, block) * blockBytes();
  }
};

}  // namespace longspan
