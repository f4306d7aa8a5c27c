// Arguments of the kernels that choose blocks of keys by their content (ops/select.h says what each chooses).
#pragma once
#include "tensor_view.h"

namespace longspan {

#define LONGSPAN_PURE [[gnu::always_inline]]

// How lists of blocks lie over queries and keys. Query i stands at position i + seqLenKV − seqLenQ. Row r of the lists
// holds the queries of block firstRow + r of `blockQ` places, counted from position 0 on (or from query 0, where there
// are more queries than keys).
struct SelectGrid {
  int64_t seqLenQ, seqLenKV, blockQ, blockKV;
  bool causal;
  LONGSPAN_PURE int64_t position(int64_t query) const { return query + seqLenKV - seqLenQ; }
  LONGSPAN_PURE int64_t base() const { return seqLenKV > seqLenQ ? seqLenKV - seqLenQ : 0; }
  LONGSPAN_PURE int64_t firstRow() const { return base() / blockQ; }
  LONGSPAN_PURE int64_t rows() const { return seqLenQ ? (base() + seqLenQ - 1) / blockQ + 1 - firstRow() : 0; }
  LONGSPAN_PURE int64_t numBlocks() const { return (seqLenKV + blockKV - 1) / blockKV; }
  LONGSPAN_PURE int64_t firstQuery(int64_t row) const {
    int64_t first = (firstRow() + row) * blockQ - base();
    return first > 0 ? first : 0;
  }
  LONGSPAN_PURE int64_t endQuery(int64_t row) const {
    int64_t end = (firstRow() + row + 1) * blockQ - base();
    return end < seqLenQ ? end : seqLenQ;
  }
  // Behind the last block of which this query may see a key
  LONGSPAN_PURE int64_t endBlock(int64_t query) const {
    if (!causal) return numBlocks();
    return position(query) < 0 ? 0 : position(query) / blockKV + 1;
  }
};

#undef LONGSPAN_PURE

// A vector for each block of keys, in panels of 64 blocks: float32 [batch, numKVHeads, panels, depth, 64].
enum class Summary : uint8_t {
  Mean,            // of the block's keys; depth headDim
  Bounds,          // largest, then smallest of each dim; depth 2 · headDim
  Representatives  // mean of the `representatives` keys that the queries at the next `reach` positions score highest
};
struct SummariseArgs {
  TensorView k;       // [batch, seqLenKV, numKVHeads, headDim]
  TensorView q;       // for Representatives, else absent
  TensorView panels;  // zero behind the last block
  Summary kind;
  int64_t size, stride, numBlocks;  // block b holds the keys [b · stride, b · stride + size) that there are
  int64_t representatives, reach;
};

enum class SelectRule : uint8_t {
  Best,   // nothing is forced
  Own,    // a query's own block is
  Recent  // all blocks that reach beyond `local` keys before the row's first query are, on top of the `topK` others
};
struct SelectBlocksArgs {  // the blocks with the largest products of their vector and the (mean) query
  TensorView q, k;
  TensorView panels;  // absent: the keys themselves, blockKV = 1
  TensorView
      columns;  // [batch, heads, rows, perRow] int32, ascending, −1 behind; a list head sums over its query heads
  SelectGrid grid;
  Summary kind;
  SelectRule rule;
  int64_t topK;
  int64_t wholeKeys;  // rows that see at most so many keys take all
  int64_t initial;    // Recent: blocks within the first so many keys are not chosen
  int64_t local;
};

// Softmax of each sub-row over columns (compressed keys, antidiagonals), summed into blocks. Without panels a sub-row
// is a tile of `stride` queries of a row, and a column a tile of `stride` keys, scored along their antidiagonals; with
// panels the sub-rows are the query heads of a list head, the columns the blocks of the panels.
struct SelectByMassArgs {
  TensorView q, k, panels, columns;
  SelectGrid grid;
  float scale;
  int64_t stride;       // keys from a column to the next
  int64_t reach;        // column c is seen from position c · stride + reach − 1 on
  int64_t columnUnits;  // strides that a column covers: its mass counts for the block of each
  int64_t numColumns;
  int64_t topK;  // 0: the fewest blocks that hold `threshold` of the mass
  double threshold;
  int64_t initialBlocks, localBlocks;  // forced
};

struct SelectLinesArgs {  // columns and diagonals with the largest sums of probabilities of the last queries
  TensorView q, k;
  TensorView sums;                                   // [batch, numHeads, 2, seqLenKV] float32: of columns, of diagonals
  TensorView vertical;                               // [batch, numHeads, 1, count] int32, ascending
  TensorView slash;                                  // the same: offsets, 0 the main diagonal
  int64_t lastQueries, firstColumns, nearDiagonals;  // the latter two forced
  float scale;
};

}  // namespace longspan
