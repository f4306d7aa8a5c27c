// Between the two products: which columns of a subtile see which keys, changes of the scores (softcap, ALiBi, bias),
// the mask, and the online softmax in powers of 2 (Milakov and Gimelshein 2018).

constexpr uint64_t everyRow = subtileRows == 64 ? ~uint64_t(0) : (uint64_t(1) << (subtileRows % 64)) - 1;
constexpr uint64_t everyLane = (uint64_t(1) << lanes) - 1;

LONGSPAN_INLINE void appendBlock(FlashCover& cover, int block, int first, int end) {
  FlashSegment* last = cover.numSegments ? &cover.segments[cover.numSegments - 1] : nullptr;
  if (last && last->endBlock == block && last->firstColumn == first && last->endColumn == end) {
    last->endBlock = block + 1;
  } else {
    cover.segments[cover.numSegments++] = {block, block + 1, first, end};
  }
}

// The groups of 8 keys that hold the segment's blocks, as bits
LONGSPAN_INLINE uint32_t groupsOf(const FlashSegment& segment) {
  int first = segment.firstBlock * keysPerBlock / keysPerGroup;
  int end = longspan::ceilDiv(segment.endBlock * keysPerBlock, keysPerGroup);
  return uint32_t((uint64_t(1) << end) - (uint64_t(1) << first));
}

// From words (bit i: row i of the subtile sees the key), to the end of the last block
void coverFromWords(const uint64_t* words, int numBlocks, FlashCover& cover) {
  cover.numSegments = 0;
  for (int block = 0; block < numBlocks; ++block) {
    uint64_t any = 0, all = everyRow;
    for (int i = 0; i < keysPerBlock; ++i) {
      any |= words[block * keysPerBlock + i];
      all &= words[block * keysPerBlock + i];
    }
    cover.masked[block] = all != everyRow;
    if (!any) continue;
    int first = 0, end = subtileColumns;
    while (!(any >> first * lanes & everyLane)) ++first;
    while (!(any >> (end - 1) * lanes & everyLane)) --end;
    uint64_t seen = end * lanes == 64 ? ~uint64_t(0) : (uint64_t(1) << end * lanes % 64) - 1;
    seen = seen >> first * lanes << first * lanes;
    cover.masked[block] = (all & seen) != seen;
    appendBlock(cover, block, first, end);
  }
}

// All of a tile of `count` keys: only the pads of the last block are masked
void coverWhole(uint64_t* words, int count, FlashCover& cover) {
  int numBlocks = ceilDiv(count, keysPerBlock), whole = count / keysPerBlock;
  for (int block = 0; block < numBlocks; ++block) cover.masked[block] = block >= whole;
  for (int i = whole * keysPerBlock; i < numBlocks * keysPerBlock; ++i) words[i] = i < count ? everyRow : 0;
  cover.segments[0] = {0, numBlocks, 0, subtileColumns};
  cover.numSegments = 1;
}

// Words of a subtile whose rows see ranges of keys
void wordsFromRanges(const FlashRows& rows, int64_t firstRow, const Rows& keys, uint64_t* words) {
  VecInt range[4][subtileColumns];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < subtileColumns; ++j)
      range[i][j] = *(const UnalignedVecInt*)(rows.ranges[i] + firstRow + j * lanes);
  for (int k = 0; k < keys.count; ++k) {
    VecInt key = broadcast(int32_t(keys[k]));
    uint64_t word = 0;
#pragma GCC unroll 4
    for (int j = 0; j < subtileColumns; ++j) {
      uint32_t bits = (~lessBits(key, range[0][j]) & lessBits(key, range[1][j])) |
                      (~lessBits(key, range[2][j]) & lessBits(key, range[3][j]));
      word |= uint64_t(bits) << j * lanes;
    }
    words[k] = word;
  }
}

// Scores of a block become natural logarithms with everything added that the options ask for.
struct ScoreChange {
  float scale, softcap;
  const float* slopes;  // [subtileRows] or null
  const int* position;  // [subtileRows] of the query, counted as keys are
  TensorView bias;
  const int64_t* biasRow;       // [subtileRows] offsets
  const float* scales;          // [subtileRows] of the queries, or null
  const AttentionArgs* termed;  // the arguments, where they have terms
  int batch;
  const int* heads;  // [subtileRows]
};

template <class T>
LONGSPAN_INLINE void addBias(const ScoreChange& change, int64_t key, float* scores) {
  const T* at = change.bias.as<T>() + key * change.bias.strides[3];
  for (int r = 0; r < subtileRows; ++r) scores[r] += toFloat(at[change.biasRow[r]]);
}

[[gnu::noinline]] void changeScores(const ScoreChange& change, const Rows& keys, int firstKey, float* scores) {
  for (int i = 0; i < keysPerBlock && firstKey + i < keys.count; ++i, scores += subtileRows) {
    int key = keys[firstKey + i];
    for (int j = 0; j < subtileColumns; ++j) {
      Vec x = load(scores + j * lanes) * change.scale;
      if (change.scales) x *= load(change.scales + j * lanes);
      if (change.softcap > 0) x = change.softcap * tanh(x / change.softcap);
      if (change.slopes) {
        Vec distance = __builtin_convertvector(key - *(const UnalignedVecInt*)(change.position + j * lanes), Vec);
        x = x - load(change.slopes + j * lanes) * max(distance, -distance);
      }
      store(scores + j * lanes, x);
    }
    if (change.termed)
      for (int r = 0; r < subtileRows; ++r)
        scores[r] += scoreTerms(*change.termed, change.batch, change.heads[r], change.position[r], key);
    if (!change.bias) continue;
    switch (change.bias.dtype) {
      case DType::Float16:
        addBias<Float16>(change, key, scores);
        break;
      case DType::BFloat16:
        addBias<BFloat16>(change, key, scores);
        break;
      default:
        addBias<float>(change, key, scores);
    }
  }
}

// −inf where a row does not see a key, and the maximum of the rest
[[gnu::noinline]] void maskBlock(const uint64_t* words, int firstColumn, int endColumn, float* scores, float* maximum) {
  Vec minusInfinity = broadcast(-__builtin_inff());
  for (int j = firstColumn; j < endColumn; ++j) {
    Vec m = load(maximum + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < keysPerBlock; ++i) {
      float* at = scores + i * subtileRows + j * lanes;
      Vec x = load(at);
      if (words) {
        x = selectBits(uint32_t(words[i] >> j * lanes & everyLane), x, minusInfinity);
        store(at, x);
      }
      m = max(x, m);
    }
    store(maximum + j * lanes, m);
  }
}

// scores [count][subtileRows] become probabilities [count / perUnit][subtileRows] units, in place at `probabilities`
template <class Products, int First, int Last>
[[gnu::noinline]] void exponentiate(const float* scores, float* probabilities, int count, const float* maximum,
                                    float scale, float* sum) {
  constexpr int columns = Last - First;
  Vec m[columns], total[columns];
#pragma GCC unroll 4
  for (int j = 0; j < columns; ++j) {
    m[j] = load(maximum + (First + j) * lanes);
    total[j] = load(sum + (First + j) * lanes);
  }
  scores += First * lanes;
  probabilities += First * lanes;
  for (int i = 0; i < count; i += Products::perUnit) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      Vec p = exp2NonPositive<Products::expDegree>((load(scores + i * subtileRows + j * lanes) - m[j]) * scale);
      total[j] += p;
#ifdef __AVX512BF16__
      if constexpr (Products::perUnit == 2) {
        Vec next =
            exp2NonPositive<Products::expDegree>((load(scores + (i + 1) * subtileRows + j * lanes) - m[j]) * scale);
        total[j] += next;
        p = asFloat(toPairs(p, next));
      }
#endif
      store(probabilities + i / Products::perUnit * subtileRows + j * lanes, p);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < columns; ++j) store(sum + (First + j) * lanes, total[j]);
}
