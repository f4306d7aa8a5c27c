// What a subtile of flash attention sees where rows are gathered into groups (attention/buckets.h): the vectors behind
// Buckets::allows. A subtile's rows are neighbours in the sorted list, so most have one span of keys; positions and
// earlier rounds are compared key by key, a vector of queries at once.

// ranges: the span of key rows of a row of the list, and the last position it sees
LONGSPAN_INLINE void bucketRanges(const Buckets& pattern, int listRow, int64_t row, FlashRows& rows) {
  KeySpan span = pattern.spanOf(listRow);
  rows.ranges[0][row] = span.begin;
  rows.ranges[1][row] = span.end;
  rows.ranges[2][row] = int(min(pattern.lastPosition(rows.position[row]), int64_t(Buckets::unbounded)));
  if (pattern.outputPerRow) rows.target[row] = listRow;
}

struct SubtileSpan {
  int begin, end;            // what some row sees
  int innerBegin, innerEnd;  // what all see
};
LONGSPAN_INLINE SubtileSpan subtileSpan(const FlashRows& rows, int64_t firstRow) {
  SubtileSpan span = {Buckets::unbounded, 0, 0, Buckets::unbounded};
  for (int64_t r = firstRow; r < firstRow + subtileRows; ++r) {
    int begin = rows.ranges[0][r], end = rows.ranges[1][r];
    span.begin = longspan::minOf(span.begin, begin);
    span.end = longspan::maxOf(span.end, end);
    span.innerBegin = longspan::maxOf(span.innerBegin, begin);
    span.innerEnd = longspan::minOf(span.innerEnd, end);
  }
  return span;
}

LONGSPAN_INLINE VecInt loadInts(const int* p) { return *(const UnalignedVecInt*)p; }

// Spans and positions; selves: where the key is the row's own, if asked for
LONGSPAN_INLINE void wordsFromSpans(const FlashRows& rows, int64_t firstRow, const Rows& keys, bool selves,
                                    FlashScratch& s) {
  SubtileSpan span = subtileSpan(rows, firstRow);
  for (int k = 0; k < keys.count; ++k) {
    int row = keys.start + k;
    s.words[k] = s.selves[k] = 0;
    if (row < span.begin || row >= span.end) continue;
    bool inside = row >= span.innerBegin && row < span.innerEnd;
    int key = keys[k];
#pragma GCC unroll 4
    for (int j = 0; j < subtileColumns; ++j) {
      const int64_t at = firstRow + j * lanes;
      uint32_t bits = lessBits(broadcast(key - 1), loadInts(rows.ranges[2] + at));
      if (!inside)
        bits &= lessBits(broadcast(row), loadInts(rows.ranges[1] + at)) &
                ~lessBits(broadcast(row), loadInts(rows.ranges[0] + at));
      s.words[k] |= uint64_t(bits) << j * lanes;
      if (!selves) continue;
      VecInt position = loadInts(rows.position + at);
      bits &= lessBits(broadcast(key - 1), position) & ~lessBits(broadcast(key), position);
      s.selves[k] |= uint64_t(bits) << j * lanes;
    }
  }
}

// bit i: row i of the vector and the key see each other by the relation
LONGSPAN_INLINE uint32_t relationBits(const GroupRelation& relation, VecInt query, int key) {
  typedef uint32_t VecUInt __attribute__((vector_size(lanes * 4)));
  constexpr uint32_t signBit = 1u << 31;  // unsigned order by a signed comparison
  VecUInt distance = (VecUInt)(query - key), around = distance + uint32_t(relation.ring);
  distance = around < distance ? around : distance;
  around = (VecUInt)(query - key) - uint32_t(relation.ring);
  distance = around < distance ? around : distance;
  return lessBits((VecInt)(distance ^ signBit), broadcast(int32_t((uint32_t(relation.span) + 1) ^ signBit)));
}

// Without the pairs that `relation` shows
LONGSPAN_INLINE void hidePairs(const GroupRelation& relation, const int* position, const Rows& keys, uint64_t* words) {
  alignas(64) int query[subtileRows], bucket[subtileRows];
  for (int r = 0; r < subtileRows; ++r) {
    query[r] = relation.query[position[r]] + relation.shift;
    bucket[r] = relation.bucket ? relation.bucket[position[r]] : 0;
  }
  for (int k = 0; k < keys.count; ++k) {
    if (!words[k]) continue;
    int token = keys[k], key = relation.key[token], own = relation.bucket ? relation.bucket[token] : 0;
    uint64_t seen = 0;
#pragma GCC unroll 4
    for (int j = 0; j < subtileColumns; ++j) {
      uint32_t bits = relationBits(relation, loadInts(query + j * lanes), key);
      VecInt buckets = loadInts(bucket + j * lanes);
      if (relation.bucket) bits &= ~lessBits(buckets, broadcast(own)) & ~lessBits(broadcast(own), buckets);
      seen |= uint64_t(bits) << j * lanes;
    }
    words[k] &= ~seen;
  }
}

// Only pairs of one bucket
LONGSPAN_INLINE void keepBucket(const int* bucket, const int* position, const Rows& keys, uint64_t* words) {
  alignas(64) int query[subtileRows];
  for (int r = 0; r < subtileRows; ++r) query[r] = bucket[position[r]];
  for (int k = 0; k < keys.count; ++k) {
    VecInt own = broadcast(bucket[keys[k]]);
    uint64_t other = 0;
    for (int j = 0; j < subtileColumns; ++j) {
      VecInt buckets = loadInts(query + j * lanes);
      other |= uint64_t(lessBits(buckets, own) | lessBits(own, buckets)) << j * lanes;
    }
    words[k] &= ~other;
  }
}

void coverBuckets(const Buckets& pattern, bool selves, int64_t firstRow, const Rows& keys, FlashScratch& s,
                  FlashCover& cover) {
  const int* position = s.rows.position + firstRow;
  int numBlocks = longspan::ceilDiv(keys.count, keysPerBlock);
  wordsFromSpans(s.rows, firstRow, keys, selves, s);
  if (pattern.relation.bucket) keepBucket(pattern.relation.bucket, position, keys, s.words);
  for (int i = 0; i < pattern.numEarlier; ++i) hidePairs(pattern.earlier[i], position, keys, s.words);
  for (int k = keys.count; k < numBlocks * keysPerBlock; ++k) s.words[k] = s.selves[k] = 0;
  coverFromWords(s.words, numBlocks, cover);
  if (!selves) return;
  for (int k = 0; k < keys.count; ++k)
    if (s.selves[k] &= s.words[k]) cover.hasSelf[k / keysPerBlock] = true;
}

// The scores of rows that meet their own key
LONGSPAN_INLINE void setSelfScores(const uint64_t* selves, float score, float* scores) {
  for (int i = 0; i < keysPerBlock; ++i)
    for (uint64_t rest = selves[i]; rest; rest &= rest - 1) scores[i * subtileRows + __builtin_ctzll(rest)] = score;
}
