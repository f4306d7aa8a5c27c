// The choice that all selections share: forced blocks come first, forbidden ones never; then the highest scores, of
// equal ones the lower block; listed in ascending order, −1 behind.

struct Choice {
  int64_t begin, end;              // blocks that may be chosen, but for the forced ones
  int64_t initial;                 // [0, initial) is forced; initial ≤ begin
  int64_t forcedBegin, forcedEnd;  // within [begin, end]
  int64_t k;                       // blocks in all
  LONGSPAN_INLINE int64_t count() const { return initial + end - begin; }
  LONGSPAN_INLINE bool whole() const { return count() <= k; }
};

constexpr int32_t forcedOrder = 0x7fffffff;  // above that of infinity

void offerForced(Kept& kept, const Choice& choice) {
  for (int64_t i = 0; i < choice.initial; ++i) kept.offer(rank(forcedOrder, i));
  for (int64_t i = choice.forcedBegin; i < choice.forcedEnd; ++i) kept.offer(rank(forcedOrder, i));
}

// scores[i] is that of block first + i
void offerScores(Kept& kept, const Choice& choice, const float* scores, int64_t first, int64_t count) {
  const int64_t bounds[2][2] = {{choice.begin, choice.forcedBegin}, {choice.forcedEnd, choice.end}};
  for (const auto& [begin, end] : bounds) {
    const int64_t from = max(begin, first), to = min(end, first + count);
    if (from < to) keepBest(kept, scores + (from - first), to - from, from);
  }
}

LONGSPAN_INLINE void heapify(Kept& kept) {
  for (int64_t place = kept.size / 2 - 1; place >= 0; --place) kept.sink(place, kept.heap[place], kept.size);
}

// The kept blocks in ascending order: of equal values a rank is the higher the lower its index
void writeChosen(Kept& kept, int32_t* list, int64_t perRow) {
  for (int64_t i = 0; i < kept.size; ++i) kept.heap[i] = rank(0, indexOf(kept.heap[i]));
  heapify(kept);
  kept.sortDescending();
  for (int64_t i = 0; i < perRow; ++i) list[i] = i < kept.size ? int32_t(indexOf(kept.heap[i])) : -1;
}
void writeWhole(const Choice& choice, int32_t* list, int64_t perRow) {
  int64_t n = 0;
  for (int64_t i = 0; i < choice.initial; ++i) list[n++] = int32_t(i);
  for (int64_t i = choice.begin; i < choice.end; ++i) list[n++] = int32_t(i);
  while (n < perRow) list[n++] = -1;
}

// sums[rows][64] (+)= x[rows, depth] times a panel
void multiplyPanel(int64_t rows, const float* x, int64_t xStride, const float* panel, int64_t depth, float* sums,
                   bool first) {
  using Product = Widened<Float32Panel>;
  for (int64_t row = 0; row < rows; row += blockRows)
    multiplyRows<Product>(min(int64_t(blockRows), rows - row), x + row * xStride, xStride,
                          reinterpret_cast<const char*>(panel), depth, sums + row * panelWidth, first);
}

// Scratch of a thread, cut into pieces of whole cache lines. Without memory it only measures.
struct Pieces {
  unsigned char* memory;
  size_t used = 0;
  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(memory + used);
    used += (size_t(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
};
