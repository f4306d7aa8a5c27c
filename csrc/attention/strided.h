// Patterns over every rate-th position: LongNet's branches and dilated windows. Their tiles hold strided rows, so that
// no lane is spent on a key that nobody sees.
#pragma once
#include "rows.h"

namespace longspan {

// One branch of dilated attention (Ding et al. 2023, LongNet): positions are cut in segments; in each, the positions
// s + phase, s + phase + rate, … see each other, the rest sees nothing.
struct Dilated : Contiguous {
  static constexpr const char* name = "dilated";
  static constexpr bool hasRanges = false, everyQuery = false, contiguous = false;
  int segment, rate, phase;
  bool causal;
  bool zeroPadding;  // segments are filled up to whole segments and rates with keys of zeros, which are not masked
  LONGSPAN_HD bool allows(int q, int kv) const {
    int p = q + start;
    if (p < 0 || p / segment != kv / segment || (causal && kv > p)) return false;
    return p % segment % rate == phase && kv % segment % rate == phase;
  }
  // How many keys of zeros a query of the branch sees besides (torchscale); those of a causal query would be later
  // ones.
  LONGSPAN_HD int zeroKeys(int q) const {
    int p = q + start, width = minOf(segment, seqLenKV);
    if (!zeroPadding || causal || p < 0 || width < 1) return 0;
    int begin = p / width * width, end = minOf(begin + width, seqLenKV);
    int present = end - begin > phase ? ceilDiv(end - begin - phase, rate) : 0;
    return ceilDiv(width, rate) - present;
  }
  LONGSPAN_HD int firstSegment() const { return maxOf(start, 0) / segment; }
  LONGSPAN_HD int perSegment(int length, int tile) const {
    return maxOf(ceilDiv(ceilDiv(minOf(segment, length), rate) + 1, tile), 1);
  }
  LONGSPAN_HD int numQueryTiles(int tile) const {
    if (seqLenQ + start <= 0) return 0;
    return ((seqLenQ + start - 1) / segment - firstSegment() + 1) * perSegment(seqLenQ, tile);
  }
  LONGSPAN_HD Rows queryRows(int t, int tile) const {
    int64_t begin = int64_t(firstSegment() + t / perSegment(seqLenQ, tile)) * segment;
    int end = int(minOf64(begin + segment, seqLenQ + start)), first = maxOf(int(begin), start);
    int skipped = int(first - begin - phase);  // of the branch's rows before the first query
    int64_t at = begin + phase + int64_t(skipped > 0 ? ceilDiv(skipped, rate) : 0) * rate +
                 int64_t(t % perSegment(seqLenQ, tile)) * tile * rate;
    int count = at < end ? minOf(tile, ceilDiv(int(end - at), rate)) : 0;
    return {count ? int(at) - start : 0, count, rate};
  }
  LONGSPAN_HD int keysPerSegment(int tile) const { return perSegment(seqLenKV, tile); }
  LONGSPAN_HD Rows keyRows(int t, int tile) const {
    int64_t begin = int64_t(t / keysPerSegment(tile)) * segment;
    int64_t at = begin + phase + int64_t(t % keysPerSegment(tile)) * tile * rate;
    int end = int(minOf64(begin + segment, seqLenKV));
    return {at < end ? int(at) : 0, at < end ? minOf(tile, ceilDiv(int(end - at), rate)) : 0, rate};
  }
  LONGSPAN_HD int nextKeyTile(const Rows& q, int t, int tile) const {
    int own = (q[0] + start) / segment, per = keysPerSegment(tile);
    int64_t begin = int64_t(own) * segment;
    int64_t last = causal ? q[q.count - 1] + start : minOf64(begin + segment, seqLenKV) - 1;
    t = maxOf(t, own * per);
    return t < (own + 1) * per && begin + phase + int64_t(t - own * per) * tile * rate <= last ? t : -1;
  }
  LONGSPAN_HD int endKeyTile(const Rows& q, int tile) const {
    return ((q[0] + start) / segment + 1) * keysPerSegment(tile);
  }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    for (int i = 0; i < q.count; ++i) {  // for walks over runs of keys: a union with other patterns
      int p = q[i] + start, end = p < 0    ? 0
                                  : causal ? p + 1
                                           : int(minOf64(int64_t(p / segment + 1) * segment, seqLenKV));
      if (kv < minOf(end, seqLenKV)) return maxOf(kv, p / segment * segment);
    }
    return -1;
  }
  LONGSPAN_HD bool holdsRow(int p, int own) const {
    return p >= 0 && p / segment == own && p % segment % rate == phase;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    int first = kv[0], last = kv[kv.count - 1], a = q[0] + start, b = q[q.count - 1] + start, own = first / segment;
    bool tiled = (q.stride == rate || q.count == 1) && (kv.stride == rate || kv.count == 1) && !kv.index && !q.index;
    if (!tiled || !holdsRow(a, own) || !holdsRow(b, own) || !holdsRow(first, own) || !holdsRow(last, own))
      return Cover::Partial;
    if (!causal || last <= a) return Cover::Full;
    return first <= b ? Cover::Partial : Cover::None;
  }
  LONGSPAN_HD static int64_t minOf64(int64_t a, int64_t b) { return a < b ? a : b; }
};

// A dilated window (Beltagy et al. 2020, Longformer; Child et al. 2019, the strides of Sparse Transformer): keys at
// distances that are multiples of `rate`, from `skip` to `before` of them back and up to `after` of them ahead.
struct Strided : Contiguous {
  static constexpr const char* name = "dilatedWindow";
  static constexpr bool hasRanges = false, contiguous = false;
  int rate, before, after, skip;
  LONGSPAN_HD bool allows(int q, int kv) const {
    int distance = q + start - kv;
    if (distance % rate) return false;
    distance /= rate;
    return distance <= before && -distance <= after && (distance >= skip || distance < 0);
  }
  LONGSPAN_HD int perClass(int length, int tile) const { return maxOf(ceilDiv(ceilDiv(length, rate), tile), 1); }
  // Tiles of queries: class by class of positions modulo rate, those of the first query first.
  LONGSPAN_HD int numQueryTiles(int tile) const { return seqLenQ ? minOf(rate, seqLenQ) * perClass(seqLenQ, tile) : 0; }
  LONGSPAN_HD Rows queryRows(int t, int tile) const {
    int per = perClass(seqLenQ, tile);
    int64_t at = t / per + int64_t(t % per) * tile * rate;
    return {at < seqLenQ ? int(at) : 0, at < seqLenQ ? minOf(tile, ceilDiv(seqLenQ - int(at), rate)) : 0, rate};
  }
  LONGSPAN_HD Rows keyRows(int t, int tile) const {
    int per = perClass(seqLenKV, tile);
    int64_t at = t / per + int64_t(t % per) * tile * rate;
    return {at < seqLenKV ? int(at) : 0, at < seqLenKV ? minOf(tile, ceilDiv(seqLenKV - int(at), rate)) : 0, rate};
  }
  LONGSPAN_HD int classOf(int q) const {
    int remainder = (q + start) % rate;
    return remainder < 0 ? remainder + rate : remainder;
  }
  LONGSPAN_HD int64_t firstKey(int q) const {
    int64_t first = q + start - int64_t(before) * rate;
    return first >= 0 ? first : classOf(q);
  }
  LONGSPAN_HD int64_t lastKey(int q) const {
    int64_t last = q + start + int64_t(after) * rate;
    if (skip > 0 && after == 0) last = q + start - int64_t(skip) * rate;
    return last < seqLenKV ? last : seqLenKV - 1;
  }
  LONGSPAN_HD int nextKeyTile(const Rows& q, int t, int tile) const {
    int per = perClass(seqLenKV, tile), own = classOf(q[0]);
    if (own >= seqLenKV) return -1;
    t = maxOf(t, own * per + int((firstKey(q[0]) - own) / rate / tile));
    return t < (own + 1) * per && own + int64_t(t - own * per) * tile * rate <= lastKey(q[q.count - 1]) ? t : -1;
  }
  LONGSPAN_HD int endKeyTile(const Rows& q, int tile) const { return (classOf(q[0]) + 1) * perClass(seqLenKV, tile); }
  LONGSPAN_HD int nextKey(const Rows& q, int kv) const {
    int64_t first = q[0] + start - int64_t(before) * rate;
    kv = first > kv ? int(first) : kv;
    return kv <= lastKey(q[q.count - 1]) ? kv : -1;
  }
  LONGSPAN_HD Cover cover(const Rows& q, const Rows& kv) const {
    if (kv.stride != rate || (q.stride != rate && q.count > 1)) return Cover::Partial;
    int64_t first = kv[0], last = kv[kv.count - 1], a = q[0] + start, b = q[q.count - 1] + start;
    if (last < a - int64_t(before) * rate || first > b + int64_t(after) * rate) return Cover::None;
    bool whole = first >= b - int64_t(before) * rate && last <= a + int64_t(after) * rate;
    return whole && (skip == 0 || last <= a - int64_t(skip) * rate) ? Cover::Full : Cover::Partial;
  }
};

}  // namespace longspan
