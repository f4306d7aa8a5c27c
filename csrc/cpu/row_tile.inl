// Attention of a tile of query rows, one row a lane, for softmaxes that are not flash attention's (hierarchical,
// landmark): keys and values lie as rows of float32, scores as [key][row], output as [dim][row], so that whatever a
// softmax does per row it does for `lanes` rows at once, and no key is ever transposed.

constexpr int64_t maxTileWidth = 512;  // rows
constexpr int64_t rowsPerTile = 64;    // where their number is free: as many as fill the registers of a product

// a[row * rowStride + k * depthStride]
struct StridedRows {
  const float* data;
  int64_t rowStride, depthStride;
};

template <int vecs, int rows>
LONGSPAN_INLINE void productBlock(const StridedRows& a, const float* b, int64_t width, int64_t depth, float* c,
                                  bool first) {
  Vec sums[rows][vecs];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) sums[i][j] = first ? Vec{} : load(c + i * width + j * lanes);
  const float* x = a.data;
  for (int64_t k = 0; k < depth; ++k, x += a.depthStride, b += width) {
    Vec w[vecs];
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) w[j] = load(b + j * lanes);
    addProducts(sums, w, x, a.rowStride);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) store(c + i * width + j * lanes, sums[i][j]);
}

template <int vecs, int rows>
void productRows(int64_t count, StridedRows a, const float* b, int64_t width, int64_t depth, float* c, bool first) {
  for (; count >= rows; count -= rows) {
    productBlock<vecs, rows>(a, b, width, depth, c, first);
    a.data += rows * a.rowStride;
    c += rows * width;
  }
  if constexpr (rows > 1)
    if (count > 0) productRows<vecs, rows / 2>(count, a, b, width, depth, c, first);
}

// c[count][width] (+)= a[count][depth] times b[depth][width]; width in whole vectors
void product(int64_t count, const StridedRows& a, const float* b, int64_t width, int64_t depth, float* c, bool first) {
  int64_t column = 0;
  for (; column + blockVecs * lanes <= width; column += blockVecs * lanes)
    productRows<blockVecs, blockRows>(count, a, b + column, width, depth, c + column, first);
  for (; column < width; column += lanes)
    productRows<1, blockRows * blockVecs / 2>(count, a, b + column, width, depth, c + column, first);
}

// Rows as float32 [count][roundUp(dim, lanes)], their ends zero
template <class T>
void copyRows(const T* rows, int64_t stride, int64_t count, int64_t dim, float* out) {
  for (int64_t i = 0; i < count; ++i, rows += stride)
    for (int64_t d = 0; d < dim; d += lanes, out += lanes) store(out, loadUpTo(rows + d, dim - d));
}

struct FloatRows {
  const float* data;
  int64_t stride;
};
// Rows as float32: where they are, or copied to `buffer`
template <class T>
LONGSPAN_INLINE FloatRows floatRows(const T* rows, int64_t stride, int64_t count, int64_t dim, float* buffer) {
  if constexpr (isSame<T, float>) return {rows, stride};
  copyRows(rows, stride, count, dim, buffer);
  return {buffer, roundUp(dim, lanes)};
}

// out[d][r] = factor · rowAt(r)[d], 0 for r ≥ count
template <class RowAt>
void packColumns(int64_t count, int64_t dim, float factor, const RowAt& rowAt, float* out, int64_t width) {
  for (int64_t r = 0; r < width; r += lanes)
    for (int64_t d = 0; d < dim; d += lanes) {
      Vec block[lanes];
      for (int i = 0; i < lanes; ++i) block[i] = r + i < count ? loadUpTo(rowAt(r + i) + d, dim - d) * factor : Vec{};
      transpose(block);
      for (int64_t i = 0, n = min(int64_t(lanes), dim - d); i < n; ++i) store(out + (d + i) * width + r, block[i]);
    }
}

struct RowTile {
  int64_t width;  // rows, in whole vectors
  int64_t headDim, valueDim;
  float* queries;        // [headDim][width], times scale · log2 e
  float* out;            // [valueDim][width]
  float *maximum, *sum;  // [width], in powers of 2
  float* scores;         // [keys][width]
};

void beginTile(const RowTile& tile) {
  __builtin_memset(tile.out, 0, size_t(tile.valueDim * tile.width * 4));
  for (int64_t r = 0; r < tile.width; r += lanes) {
    store(tile.maximum + r, broadcast(lowestScore));
    store(tile.sum + r, Vec{});
  }
}

// Scores are powers of 2, so that a running maximum may be any whole number not below them: then what was summed before
// is scaled by a whole power of 2, without an error, however often the maximum grows.
LONGSPAN_INLINE Vec wholeAbove(Vec x) {
  constexpr float toNearest = 0x1.8p23f;
  Vec nearest = (x + toNearest) - toNearest;
  nearest = nearest < x ? nearest + 1.f : nearest;
  return absolute(x) < 0x1p22f ? nearest : x;
}
LONGSPAN_INLINE float powersOf2(float scale) { return float(double(scale) * 1.4426950408889634); }

// The rows' new maxima: out and sum follow. `maximum` still has the old ones.
void raiseMaximum(const RowTile& tile, const float* raised) {
  for (int64_t r = 0; r < tile.width; r += lanes) {
    Vec next = load(raised + r), last = load(tile.maximum + r);
    if (!anyLane((VecInt)(next > last))) continue;
    Vec factor = exp2NonPositive(last - next);
    store(tile.maximum + r, next);
    store(tile.sum + r, load(tile.sum + r) * factor);
    for (int64_t d = 0; d < tile.valueDim; ++d) {
      float* at = tile.out + d * tile.width + r;
      store(at, load(at) * factor);
    }
  }
}

struct TileKeys {
  FloatRows keys, values;
  int64_t count;
  const float* tokens;      // each key stands for so many; null: for one. Its value is their sum
  const int32_t* endOfRow;  // [width] the keys a row does not see begin here; null: it sees all
};

LONGSPAN_INLINE Vec seenScore(const RowTile& tile, const TileKeys& keys, int64_t key, int64_t r) {
  Vec x = load(tile.scores + key * tile.width + r);
  if (!keys.endOfRow) return x;
  VecInt end = *(const UnalignedVecInt*)(keys.endOfRow + r);
  return broadcast(int32_t(key)) < end ? x : broadcast(-__builtin_inff());
}

// The tile's queries times some keys
void scoreTile(const RowTile& tile, const TileKeys& keys) {
  product(keys.count, {keys.keys.data, keys.keys.stride, 1}, tile.queries, tile.width, tile.headDim, tile.scores, true);
}

// One step of online softmax (Milakov and Gimelshein 2018) over some keys, whose scores are there
void addScored(const RowTile& tile, const TileKeys& keys) {
  float raised[maxTileWidth];
  for (int64_t r = 0; r < tile.width; r += lanes) {
    Vec highest = load(tile.maximum + r);
    for (int64_t key = 0; key < keys.count; ++key) highest = max(seenScore(tile, keys, key, r), highest);
    store(raised + r, wholeAbove(highest));
  }
  raiseMaximum(tile, raised);
  for (int64_t r = 0; r < tile.width; r += lanes) {
    Vec shift = load(tile.maximum + r), total = load(tile.sum + r);
    for (int64_t key = 0; key < keys.count; ++key) {
      Vec p = exp2NonPositive(seenScore(tile, keys, key, r) - shift);
      total += keys.tokens ? p * keys.tokens[key] : p;
      store(tile.scores + key * tile.width + r, p);
    }
    store(tile.sum + r, total);
  }
  product(tile.valueDim, {keys.values.data, 1, keys.values.stride}, tile.scores, tile.width, keys.count, tile.out,
          false);
}

void attendKeys(const RowTile& tile, const TileKeys& keys) {
  scoreTile(tile, keys);
  addScored(tile, keys);
}

// rowAt(r) = out / sum of the first `count` rows; 0 where nothing was seen
template <class RowAt>
void finishTile(const RowTile& tile, int64_t count, const RowAt& rowAt) {
  for (int64_t r = 0; r < count; r += lanes) {
    Vec total = load(tile.sum + r), share = total == 0.f ? Vec{} : 1.f / total;
    for (int64_t d = 0; d < tile.valueDim; d += lanes) {
      Vec block[lanes];
      for (int i = 0; i < lanes; ++i)
        block[i] = d + i < tile.valueDim ? load(tile.out + (d + i) * tile.width + r) * share : Vec{};
      transpose(block);
      for (int64_t i = 0, n = min(int64_t(lanes), count - r); i < n; ++i)
        storeUpTo(rowAt(r + i) + d, block[i], tile.valueDim - d);
    }
  }
}

// Scratch of a thread, taken piece by piece; the last `used` is the size to reserve
struct ScratchPieces {
  unsigned char* base;
  int64_t used = 0;
  template <class T>
  T* take(int64_t count) {
    unsigned char* at = base + used;
    used += roundUp(count * int64_t(sizeof(T)), 64);
    return reinterpret_cast<T*>(at);
  }
  RowTile takeTile(int64_t width, int64_t headDim, int64_t valueDim, int64_t keys) {
    return {width,
            headDim,
            valueDim,
            take<float>(headDim * width),
            take<float>(valueDim * width),
            take<float>(width),
            take<float>(width),
            take<float>(keys * width)};
  }
};

// Where a head's rows lie
template <class T>
struct HeadRows {
  T* data;
  int64_t stride;
  HeadRows(const TensorView& t, int64_t batch, int64_t head)
      : data(t.as<T>() + batch * t.strides[0] + head * t.strides[2]), stride(t.strides[1]) {}
  LONGSPAN_INLINE T* operator[](int64_t position) const { return data + position * stride; }
};

// The query rows of a KV head, (position, head of the group) counted as one
template <class T>
struct GroupRows {
  T* data;
  int64_t positionStride, headStride, group, first;
  GroupRows(const TensorView& t, int64_t batch, int64_t kvHead, int64_t heads, int64_t firstRow)
      : data(t.as<T>() + batch * t.strides[0] + kvHead * heads * t.strides[2]),
        positionStride(t.strides[1]),
        headStride(t.strides[2]),
        group(heads),
        first(firstRow) {}
  LONGSPAN_INLINE T* operator()(int64_t row) const {
    return data + (first + row) / group * positionStride + (first + row) % group * headStride;
  }
};
