// A call of attention as its kernels get it: one description for the kernel of tiles, the one that brings parts of the
// keys together, and those that prepare. Made by attention.cu; instantiated per dtype by attention_*.cu.
#pragma once
#include "kernels.h"

namespace longspan::cuda {

struct DeviceTensor {
  void* data = nullptr;
  int64_t strides[4] = {};  // in elements
  DType dtype = DType::Float32;
  LONGSPAN_HD explicit operator bool() const { return data != nullptr; }
  template <class T>
  LONGSPAN_HD T* as() const {
    return static_cast<T*>(data);
  }
};

// How a block is made of warps: each owns 16 rows of queries; with several `keyWarps`, all of them own the same rows
// and each takes its own tiles of keys.
struct TileShape {
  int rowWarps, keyWarps, tileKV, stages;
  LONGSPAN_HD constexpr int rows() const { return 16 * rowWarps; }
  LONGSPAN_HD constexpr int threads() const { return 32 * rowWarps * keyWarps; }
};
inline constexpr int paddedDims[] = {64, 96, 128, 192, 256};
inline constexpr size_t sharedLimit = 101376;  // of a block on every GPU since sm_80

constexpr TileShape tileShape(bool isFloat32, bool fewRows, int dim) {
  if (fewRows) return {1, dim <= 128 ? 4 : 2, isFloat32 ? 16 : 32, dim <= 64 && !isFloat32 ? 2 : 1};
  if (isFloat32) return {dim <= 128 ? 4 : 2, 1, 32, dim <= 64 ? 2 : 1};
  return {dim <= 128 ? 8 : 4, 1, 64, dim <= 128 ? 2 : 1};
}

// Rows of K or V. Row `key` of a sequence lies in a page (pages of the caller, or the slabs of a cache) or behind the
// others.
struct KeyRows {
  const unsigned char* data;
  int64_t origin, batchStride, headStride, pageStride, rowStride, dimStride;  // in bytes
  int elementBytes;
  int dims;  // values of a row that are there
  DType dtype;
  bool copies;  // 16 bytes at a time, as they are
  KVCoding coding;
  int64_t scales;  // of coded rows: where those of head 0 begin in a slab
};

struct AttentionLaunch {
  static constexpr int slabsInside = 512;
  DeviceTensor q, out, lse, alibiSlopes, bias, sinkLogits, queryScale, distanceBias, expireSpans;
  KeyRows keys, values;
  Pattern pattern;
  float scale, softcap, selfScore, expireRamp;
  int firstDistance, numDistances, offset, pageSize;
  bool bent;            // scores are more than scale · q k: natural logarithms before they are masked
  float exponentScale;  // from scores to powers of two
  float scoreScale;     // from scores to natural logarithms
  bool copiesQueries, accumulate, isCached;
  int batch, seqLenQ, seqLenKV, numHeads, numKVHeads, group, headDim, valueDim;
  const float* keyNorms;  // [batch][numKVHeads][seqLenKV] 1 / |k|, or null
  const SequenceView* sequences;
  void* const* slabs;  // or in slabsOfCall
  void* slabsOfCall[slabsInside];

  int pack, headChunks;   // query heads of a block, and blocks for the heads of a group
  int tileQ;              // queries of a block
  int numTiles;           // of queries, over all patterns
  int numParts;           // of the keys of a tile of queries
  int unitsPerSection;    // (batch, KV head, chunk of heads) that run side by side
  int rowsPerBlock, dim;  // of the kernel: rows, padded values of a row
  float* partOuts;        // [slot][part][rowsPerBlock][dim], not divided yet
  float* partStates;      // [slot][part][rowsPerBlock][2]: maximum, sum

  LONGSPAN_HD int numUnits() const { return batch * numKVHeads * headChunks; }
  LONGSPAN_HD int64_t numSlots() const { return int64_t(numUnits()) * numTiles; }
};
static_assert(sizeof(AttentionLaunch) <= 32764, "the parameters of a launch since CUDA 12.1");

// The kernel of tiles for T, in attention_*.cu
bool attendFloat(const AttentionLaunch& description, bool fewRows);
bool attendHalf(const AttentionLaunch& description, bool fewRows);
bool attendBFloat16(const AttentionLaunch& description, bool fewRows);

}  // namespace longspan::cuda
