// Landmark attention of one query row over the blocks that are open to it: each earlier block is attended by itself,
// its output then weighed by its landmark's share of the row. Few rows (decoding) and chosen blocks (topK) come here;
// keys and values are read where they lie.

template <class T>
struct LandmarkRow {
  const LandmarkArgs& args;
  HeadRows<const T> keys, values;
  alignas(64) float query[256 + 16], out[256 + 16], scores[maxLandmarkBlock + 16];
  float maximum, sum;

  void begin(const T* q, float factor) {
    const int64_t dim = args.q.shape[3];
    for (int64_t d = 0; d < dim; d += lanes) store(query + d, loadUpTo(q + d, dim - d) * factor);
    __builtin_memset(out, 0, sizeof out);
    maximum = lowestScore;
    sum = 0;
  }
  // `weight` · softmax of the scores goes to out, `weight` to the sum; the weight is 2^logit, or without it the sum of
  // the scores' powers of 2
  void add(int64_t first, int64_t count, float highest, const float* logit) {
    const float top = wholeAbove(broadcast(max(maximum, logit ? *logit : highest)))[0];
    const float total = exponentiateRow(scores, count, logit ? highest : top);
    const float weight = logit ? exp2NonPositive(broadcast(*logit - top))[0] : total;
    const Vec shrink = exp2NonPositive(broadcast(maximum - top)), share = broadcast(weight / total);
    const int64_t dim = args.v.shape[3];
    for (int64_t d = 0; d < dim; d += lanes) store(out + d, load(out + d) * shrink);
    for (int64_t i = 0; i < count; i += lanes) store(scores + i, load(scores + i) * share);
    addWeightedRows(out, scores, values[first], values.stride, count, dim);
    sum = sum * shrink[0] + weight;
    maximum = top;
  }
  LONGSPAN_INLINE void score(int64_t first, int64_t count) {
    scoreKeys(query, keys[first], keys.stride, count, args.q.shape[3], scores);
  }
  void addBlock(int64_t block) {
    const int64_t size = args.blockSize, first = block * size;
    score(first, size);
    const float logit = scores[size - 1];
    add(first, size - 1, maxOf(scores, size - 1), &logit);
  }
  // the own block's tokens up to the position; its landmark is no key
  void addOwn(int64_t position) {
    const int64_t size = args.blockSize, first = position / size * size, count = min(position - first + 1, size - 1);
    score(first, count);
    add(first, count, maxOf(scores, count), nullptr);
  }
  void finish(T* to) {
    const int64_t dim = args.out.shape[3];
    const float share = sum == 0 ? 0 : 1 / sum;
    for (int64_t d = 0; d < dim; d += lanes) storeUpTo(to + d, load(out + d) * share, dim - d);
  }
};
