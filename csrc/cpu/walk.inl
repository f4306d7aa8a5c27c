// Several tensors of one shape walked together: axes of length 1 dropped, axes that are one run in every tensor merged,
// and the whole cut into spans along the innermost axis. Every kernel of single elements is a loop over spans.

constexpr int64_t spanLength = 1024;        // elements: buffers of a span stay in L1
constexpr int64_t elementsPerItem = 32768;  // of parallel work: some 10 µs

LONGSPAN_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <int N>
struct Walk {
  int rank = 0;
  int64_t count = 1;  // of elements
  int64_t shape[maxRank];
  int64_t strides[maxRank][N];
};

// a place in the walk, advanced like an odometer over the first `axes` axes
template <int N>
struct Place {
  int64_t index[maxRank];
  int64_t at[N];  // offset in elements, per tensor
};

template <int N>
void moveTo(Place<N>& place, const Walk<N>& walk, int axes, int64_t row) {
  for (int t = 0; t < N; ++t) place.at[t] = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    place.index[axis] = row % walk.shape[axis];
    row /= walk.shape[axis];
    for (int t = 0; t < N; ++t) place.at[t] += place.index[axis] * walk.strides[axis][t];
  }
}

template <int N>
LONGSPAN_INLINE void advance(Place<N>& place, const Walk<N>& walk, int axes) {
  for (int axis = axes - 1; axis >= 0; --axis) {
    for (int t = 0; t < N; ++t) place.at[t] += walk.strides[axis][t];
    if (++place.index[axis] < walk.shape[axis]) return;
    for (int t = 0; t < N; ++t) place.at[t] -= walk.shape[axis] * walk.strides[axis][t];
    place.index[axis] = 0;
  }
}

template <int N>
void appendAxis(Walk<N>& walk, int64_t length, const int64_t (&strides)[N]) {
  walk.count *= length;
  if (length == 1) return;
  bool mergeable = walk.rank > 0;
  for (int t = 0; mergeable && t < N; ++t) mergeable = walk.strides[walk.rank - 1][t] == strides[t] * length;
  if (mergeable) {
    walk.shape[walk.rank - 1] *= length;
  } else {
    walk.shape[walk.rank++] = length;
  }
  for (int t = 0; t < N; ++t) walk.strides[walk.rank - 1][t] = strides[t];
}

// The first `axes` axes of the views, the last view giving the shape; an absent view stands still.
template <int N>
Walk<N> makeWalk(const TensorView* const (&views)[N], int axes) {
  Walk<N> walk;
  for (int axis = 0; axis < axes; ++axis) {
    int64_t strides[N];
    for (int t = 0; t < N; ++t) strides[t] = *views[t] ? views[t]->strides[axis] : 0;
    appendAxis(walk, views[N - 1]->shape[axis], strides);
  }
  return walk;
}

// f(index, thread) for every index, `perItem` of them to an item
template <class F>
LONGSPAN_INLINE void parallelGroups(Parallel& parallel, int64_t count, int64_t perItem, const F& f) {
  parallelFor(parallel, ceilDiv(count, perItem), [&](int64_t item, int thread) {
    for (int64_t i = item * perItem, end = min(count, i + perItem); i < end; ++i) f(i, thread);
  });
}

// f(at, strides, n): all elements, in spans of n <= longest
template <int N, class F>
LONGSPAN_INLINE void forSpans(const Walk<N>& walk, int64_t longest, Parallel& parallel, const F& f) {
  if (walk.count == 0) return;
  const int64_t still[N] = {};
  const int outer = walk.rank > 0 ? walk.rank - 1 : 0;
  const int64_t n = walk.rank > 0 ? walk.shape[outer] : 1;
  const int64_t(&strides)[N] = walk.rank > 0 ? walk.strides[outer] : still;
  const int64_t pieces = ceilDiv(n, longest), spans = walk.count / n * pieces;
  const int64_t perItem = max(int64_t(1), elementsPerItem / min(n, longest));
  parallelFor(parallel, ceilDiv(spans, perItem), [&](int64_t item, int) {
    int64_t span = item * perItem, end = min(spans, span + perItem), piece = span % pieces;
    Place<N> row;
    moveTo(row, walk, outer, span / pieces);
    for (; span < end; ++span) {
      int64_t first = piece * longest, at[N];
      for (int t = 0; t < N; ++t) at[t] = row.at[t] + first * strides[t];
      f(at, strides, min(longest, n - first));
      if (++piece == pieces) {
        piece = 0;
        advance(row, walk, outer);
      }
    }
  });
}

// f(at, thread): every row of the leading axes; `length` says how much work one row is
template <int N, class F>
LONGSPAN_INLINE void forRows(const Walk<N>& walk, int64_t length, Parallel& parallel, const F& f) {
  if (walk.count == 0) return;
  const int64_t perItem = max(int64_t(1), elementsPerItem / max(int64_t(1), length));
  parallelFor(parallel, ceilDiv(walk.count, perItem), [&](int64_t item, int thread) {
    int64_t i = item * perItem, end = min(walk.count, i + perItem);
    Place<N> row;
    moveTo(row, walk, walk.rank, i);
    for (; i < end; ++i) {
      f(row.at, thread);
      advance(row, walk, walk.rank);
    }
  });
}
