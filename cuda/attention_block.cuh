// What a block of attention works on: a tile of queries of some heads that share a KV head, over a part of the keys.
#pragma once
#include "attention.h"
#include "numbers.cuh"
#include "pattern_walk.cuh"

namespace longspan::cuda {

struct AttentionBlock {
  const AttentionLaunch* launch;
  const Pattern* pattern;
  const int* pages;
  int64_t q, out, lse;   // where the sequence begins, in elements
  int64_t keys, values;  // where the KV head of the sequence begins, in bytes
  int64_t slot;          // of the parts of this tile
  int batch, kvHead, firstHead, numHeads, part, offset;
  Rows queries;

  __device__ __forceinline__ int numRows() const { return queries.count * launch->pack; }
};

// One row of a block. Those behind the last are it again: their results go nowhere.
struct AttentionRow {
  int place;  // in the tile's queries
  int query, head;
  bool exists;
};
__device__ __forceinline__ AttentionRow rowOf(const AttentionBlock& block, int row) {
  const int pack = block.launch->pack, place = row / pack, head = row - place * pack;
  AttentionRow r;
  r.exists = place < block.queries.count && head < block.numHeads;
  r.place = minOf(place, block.queries.count - 1);
  r.query = block.queries[r.place];
  r.head = block.firstHead + minOf(head, block.numHeads - 1);
  return r;
}

// Blocks beside each other share keys: all the heads of a section, tile by tile of queries, the last tile first, which
// has the most to do where the past is seen.
__device__ __noinline__ inline AttentionBlock blockOf(const AttentionLaunch& launch, int64_t slot, int part) {
  AttentionBlock block;
  const int units = launch.numUnits(), perSection = launch.unitsPerSection;
  const int section = int(slot / (int64_t(perSection) * launch.numTiles));
  const int here = minOf(perSection, units - section * perSection);
  const int64_t rest = slot - int64_t(section) * perSection * launch.numTiles;
  const int unit = section * perSection + int(rest % here), tile = launch.numTiles - 1 - int(rest / here);
  const int chunk = unit % launch.headChunks, kvUnit = unit / launch.headChunks;
  block.launch = &launch;
  block.slot = slot;
  block.part = part;
  block.kvHead = kvUnit % launch.numKVHeads;
  block.batch = kvUnit / launch.numKVHeads;
  block.firstHead = block.kvHead * launch.group + chunk * launch.pack;
  block.numHeads = minOf(launch.pack, launch.group - chunk * launch.pack);
  block.pattern = &launch.pattern.of(block.batch, block.firstHead);
  block.queries = queryRowsOf(*block.pattern, tile, launch.tileQ);
  block.keys = launch.keys.origin + block.kvHead * launch.keys.headStride;
  block.values = launch.values.origin + block.kvHead * launch.values.headStride;
  block.offset = launch.offset;
  block.pages = nullptr;
  if (launch.sequences) {
    const SequenceView& sequence = launch.sequences[block.batch];
    block.q = sequence.q;
    block.out = sequence.out;
    block.lse = sequence.lse;
    block.offset = sequence.offset;
    block.pages = sequence.pages;
    if (!launch.isCached) {
      block.keys += sequence.k * launch.keys.elementBytes;
      block.values += sequence.v * launch.values.elementBytes;
    }
  } else {
    block.q = block.batch * launch.q.strides[0];
    block.out = block.batch * launch.out.strides[0];
    block.lse = block.batch * launch.lse.strides[0];
    block.keys += block.batch * launch.keys.batchStride;
    block.values += block.batch * launch.values.batchStride;
  }
  return block;
}

// How many keys lie one behind the other, row by row: those of a page, of a slab of the cache, or all
__device__ __forceinline__ int keysTogether(const AttentionBlock& block) {
  if (block.launch->isCached) return KVCacheView::keysPerSlab;
  return block.pages ? block.launch->pageSize : 0x7fffffff;
}
// Row `key` of K or V, whose KV head begins at `begin`
__device__ __forceinline__ const unsigned char* rowAt(const AttentionBlock& block, const KeyRows& rows, int64_t begin,
                                                      int key) {
  const AttentionLaunch& launch = *block.launch;
  if (launch.isCached) {
    void* const* slabs = launch.slabs ? launch.slabs : launch.slabsOfCall;
    return static_cast<const unsigned char*>(slabs[key / KVCacheView::keysPerSlab]) + begin +
           key % KVCacheView::keysPerSlab * rows.rowStride;
  }
  if (block.pages) {
    const int page = key / launch.pageSize;
    return rows.data + begin + block.pages[page] * rows.pageStride + (key - page * launch.pageSize) * rows.rowStride;
  }
  return rows.data + begin + key * rows.rowStride;
}
// The scale of a coded row of the block's KV head
__device__ __forceinline__ float scaleAt(const AttentionBlock& block, const KeyRows& rows, int key) {
  void* const* slabs = block.launch->slabs ? block.launch->slabs : block.launch->slabsOfCall;
  const auto* slab = static_cast<const unsigned char*>(slabs[key / KVCacheView::keysPerSlab]);
  return reinterpret_cast<const float*>(
      slab + rows.scales)[block.kvHead * KVCacheView::keysPerSlab + key % KVCacheView::keysPerSlab];
}

}  // namespace longspan::cuda
