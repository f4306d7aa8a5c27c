// Tiles of rows in shared memory: where an element lies, and how rows of q, k and v come there.
#pragma once
#include "attention_block.cuh"
#include "cache_coding.cuh"
#include "ptx.cuh"

namespace longspan::cuda {

// Eight rows at one column are read at once. Rows of 16-bit values lie in pieces of 16 bytes that swap places by row;
// rows of float32 are 16 bytes longer than their values.
template <class T, int Dim>
struct TileLayout {
  static constexpr bool isFloat32 = sizeof(T) == 4;
  static constexpr int piece = 16 / int(sizeof(T));  // values of 16 bytes
  static constexpr int rowLength = isFloat32 ? Dim + 4 : Dim;
  __device__ __forceinline__ static int at(int row, int column) {
    if constexpr (isFloat32) return row * rowLength + column;
    const int turn = Dim % 64 == 0 ? row & 7 : row >> 1 & 3;
    return row * rowLength + ((column / piece ^ turn) * piece | column % piece);
  }
  static constexpr size_t bytes(int rows) { return size_t(rows) * rowLength * sizeof(T); }
};

// 16 values of a coded row, from 16 bytes: column is a multiple of 16
template <class T, int Dim, KVCoding coding>
__device__ __forceinline__ void storeDecoded(T* tile, int row, int column, const uint4& codes, float scale) {
  using Layout = TileLayout<T, Dim>;
  constexpr int piece = Layout::piece;
  struct alignas(16) Piece {
    T values[piece];
  };
  const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
  for (int at = 0; at < 16; at += piece) {
    Piece decoded;
#pragma unroll
    for (int n = 0; n < piece; ++n)
      decoded.values[n] = fromFloat<T>(decodeOne<coding>(words[(at + n) / 4], n % 4) * scale);
    *reinterpret_cast<Piece*>(tile + Layout::at(row, column + at)) = decoded;
  }
}

// Coded rows of a cache, several loads of a thread under way at once
template <class T, int Dim, int TileKV, int Threads>
__device__ __noinline__ void loadCodedRows(T* tile, const AttentionBlock& block, const KeyRows& rows, int64_t begin,
                                           const Rows& keys, int thread) {
  constexpr int perRow = Dim / 16, count = TileKV * perRow, ahead = count >= 4 * Threads ? 4 : 2;
#pragma unroll 1
  for (int first = thread; first < count; first += ahead * Threads) {
    uint4 codes[ahead];
    float scales[ahead];
#pragma unroll
    for (int n = 0; n < ahead; ++n) {
      const int i = first + n * Threads, row = i / perRow, column = i % perRow * 16;
      codes[n] = make_uint4(0, 0, 0, 0);
      scales[n] = 0;
      if (i >= count || row >= keys.count || column >= rows.dims) continue;
      const int key = keys[row];
      codes[n] = *reinterpret_cast<const uint4*>(rowAt(block, rows, begin, key) + column);
      scales[n] = scaleAt(block, rows, key);
    }
#pragma unroll
    for (int n = 0; n < ahead; ++n) {
      const int i = first + n * Threads, row = i / perRow, column = i % perRow * 16;
      if (i >= count) continue;
      if (rows.coding == KVCoding::Int8)
        storeDecoded<T, Dim, KVCoding::Int8>(tile, row, column, codes[n], scales[n]);
      else
        storeDecoded<T, Dim, KVCoding::Float8>(tile, row, column, codes[n], scales[n]);
    }
  }
}

// Rows that are not one behind the other: element by element where they need be converted, or are of odd widths and
// strides, else by copies
template <class T, int Dim, int TileKV, int Threads>
__device__ __noinline__ void loadScatteredRows(T* tile, const AttentionBlock& block, const KeyRows& rows, int64_t begin,
                                               const Rows& keys, int thread) {
  using Layout = TileLayout<T, Dim>;
  if (rows.coding != KVCoding::Plain)
    return loadCodedRows<T, Dim, TileKV, Threads>(tile, block, rows, begin, keys, thread);
  constexpr int values = 4, piece = Layout::piece;
  for (int i = thread; i < TileKV * (Dim / piece) && rows.copies; i += Threads) {
    const int row = i / (Dim / piece), column = i % (Dim / piece) * piece;
    const bool valid = row < keys.count && column < rows.dims;
    const unsigned char* from = valid ? rowAt(block, rows, begin, keys[row]) + column * sizeof(T) : nullptr;
    copyAsync16(tile + Layout::at(row, column), from, valid);
  }
  for (int i = thread; i < TileKV * (Dim / values) && !rows.copies; i += Threads) {
    const int row = i / (Dim / values), column = i % (Dim / values) * values;
    const int there = row < keys.count ? rows.dims - column : 0;
    const unsigned char* from = there > 0 ? rowAt(block, rows, begin, keys[row]) + column * rows.dimStride : nullptr;
#pragma unroll
    for (int n = 0; n < values; ++n)
      tile[Layout::at(row, column + n)] =
          fromFloat<T>(n < there ? loadFloat(from + n * rows.dimStride, rows.dtype, 0) : 0);
  }
}

// Rows of K or V into `tile`, by `Threads` threads of which this is `thread`; rows and columns that are not there
// become zeros. Copies are under way until they are waited for.
template <class T, int Dim, int TileKV, int Threads>
__device__ __forceinline__ void loadKeyRows(T* tile, const AttentionBlock& block, const KeyRows& rows, int64_t begin,
                                            const Rows& keys, int thread) {
  using Layout = TileLayout<T, Dim>;
  const int together = keysTogether(block), last = keys.start + (keys.count - 1) * keys.stride;
  if (!rows.copies || keys.index || keys.start / together != last / together)
    return loadScatteredRows<T, Dim, TileKV, Threads>(tile, block, rows, begin, keys, thread);
  constexpr int pieces = Dim / Layout::piece;
  const unsigned char* first = rowAt(block, rows, begin, keys.start);
  const int64_t step = rows.rowStride * keys.stride;
#pragma unroll 4
  for (int i = thread; i < TileKV * pieces; i += Threads) {
    const int row = i / pieces, column = i % pieces * Layout::piece;
    const bool valid = row < keys.count && column < rows.dims;
    copyAsync16(tile + Layout::at(row, column), valid ? first + row * step + column * sizeof(T) : first, valid);
  }
}

// The block's rows of q
template <class T, int Dim, int NumRows, int Threads>
__device__ __forceinline__ void loadQueryRows(T* tile, const AttentionBlock& block, int thread) {
  using Layout = TileLayout<T, Dim>;
  const DeviceTensor& q = block.launch->q;
  const int headDim = block.launch->headDim;
  const bool copies = block.launch->copiesQueries;
  constexpr int pieces = Dim / Layout::piece;
#pragma unroll 1
  for (int i = thread; i < NumRows * pieces; i += Threads) {
    const int row = i / pieces, column = i % pieces * Layout::piece;
    const AttentionRow r = rowOf(block, row);
    const T* from = q.as<const T>() + block.q + r.query * q.strides[1] + r.head * q.strides[2];
    if (copies) {
      const bool valid = r.exists && column < headDim;
      copyAsync16(tile + Layout::at(row, column), valid ? from + column : nullptr, valid);
    } else {
#pragma unroll
      for (int n = 0; n < Layout::piece; ++n) {
        const bool valid = r.exists && column + n < headDim;
        tile[Layout::at(row, column + n)] = valid ? from[(column + n) * q.strides[3]] : fromFloat<T>(0);
      }
    }
  }
}

}  // namespace longspan::cuda
