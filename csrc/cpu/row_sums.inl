// Sums over rows that lie as they are in a tensor, for one query at a time: scores, weighted sums of values, and the
// exponentials of a row of scores.

// scores[i] = q · key i; q has zeros to the end of its last vector
template <class T>
void scoreKeys(const float* q, const T* keys, int64_t stride, int64_t count, int64_t dim, float* scores) {
  for (int64_t first = 0; first < count; first += lanes) {
    Vec sums[lanes] = {};
    const T* rows[lanes];
    for (int i = 0; i < lanes; ++i) rows[i] = keys + min(first + i, count - 1) * stride;
    int64_t d = 0;
    for (; d + lanes <= dim; d += lanes) {
      Vec x = load(q + d);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) sums[i] += x * load(rows[i] + d);
    }
    if (d < dim)
      for (int i = 0; i < lanes; ++i) sums[i] += load(q + d) * loadPart(rows[i] + d, int(dim - d));
    store(scores + first, sumEach(sums));
  }
}

template <class T, int vecs>
LONGSPAN_INLINE void addWeighted(float* out, const float* weights, const T* values, int64_t stride, int64_t count) {
  Vec sums[vecs];
#pragma GCC unroll 4
  for (int j = 0; j < vecs; ++j) sums[j] = load(out + j * lanes);
  for (int64_t i = 0; i < count; ++i, values += stride) {
    Vec weight = broadcast(weights[i]);
#pragma GCC unroll 4
    for (int j = 0; j < vecs; ++j) sums[j] += weight * load(values + j * lanes);
  }
#pragma GCC unroll 4
  for (int j = 0; j < vecs; ++j) store(out + j * lanes, sums[j]);
}
// out += Σ weights[i] · value i; out has whole vectors
template <class T>
void addWeightedRows(float* out, const float* weights, const T* values, int64_t stride, int64_t count, int64_t dim) {
  int64_t d = 0;
  for (; d + 4 * lanes <= dim; d += 4 * lanes) addWeighted<T, 4>(out + d, weights, values + d, stride, count);
  for (; d + lanes <= dim; d += lanes) addWeighted<T, 1>(out + d, weights, values + d, stride, count);
  if (d == dim) return;
  Vec total = load(out + d);
  for (int64_t i = 0; i < count; ++i) total += weights[i] * loadPart(values + i * stride + d, int(dim - d));
  store(out + d, total);
}

// scores[count] become powers of 2 of (score − highest); gives their sum
LONGSPAN_INLINE float exponentiateRow(float* scores, int64_t count, float highest) {
  Vec total = {};
  for (int64_t i = 0; i < count; i += lanes) {
    Vec x = loadUpTo(scores + i, count - i, -__builtin_inff());
    Vec p = exp2NonPositive(x - highest);
    total += p;
    storeUpTo(scores + i, p, count - i);
  }
  return sum(total);
}
