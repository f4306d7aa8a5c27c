// The k largest of a row. A value and its index are packed into one 64-bit key, ordered by value and then by lower
// index, so that any order of insertion gives the same answer. Blocks are scanned with vectors for their largest value;
// only a block that beats the least of the k kept so far is looked at one by one.

typedef uint64_t Ranked;  // high: the value, ordered as an unsigned number, NaN lowest; low: the index, inverted

LONGSPAN_INLINE VecInt orderOf(Vec x) {
  VecInt bits = asInt(x + 0.f);  // −0 becomes 0: they tie
  VecInt order = bits ^ ((bits >> 31) & 0x7fffffff);
  return x == x ? order : broadcast(int32_t(0x80000000));
}
LONGSPAN_INLINE Ranked rank(int32_t order, int64_t index) {
  return Ranked(uint32_t(order) ^ 0x80000000u) << 32 | (0xffffffffu - uint32_t(index));
}
LONGSPAN_INLINE int64_t indexOf(Ranked ranked) { return 0xffffffffu - uint32_t(ranked); }

// the value of a rank, but for the sign of zero; NaN's is some NaN
LONGSPAN_INLINE float valueOf(Ranked ranked) {
  const int32_t order = int32_t(uint32_t(ranked >> 32) ^ 0x80000000u);
  return __builtin_bit_cast(float, order ^ ((order >> 31) & 0x7fffffff));
}

struct Kept {  // a heap of the k best, the least at the root
  Ranked* heap;
  int64_t k, size = 0;

  void sink(int64_t place, Ranked ranked, int64_t end) {
    for (int64_t child; (child = 2 * place + 1) < end; place = child) {
      if (child + 1 < end && heap[child + 1] < heap[child]) ++child;
      if (ranked <= heap[child]) break;
      heap[place] = heap[child];
    }
    heap[place] = ranked;
  }
  LONGSPAN_INLINE void offer(Ranked ranked) {
    if (size < k) {
      heap[size++] = ranked;
      if (size == k) {
        for (int64_t place = k / 2 - 1; place >= 0; --place) sink(place, heap[place], k);
      }
    } else if (ranked > heap[0]) {
      sink(0, ranked, k);
    }
  }
  void sortDescending() {
    for (int64_t end = size - 1; end > 0; --end) {
      Ranked least = heap[0];
      sink(0, heap[end], end);
      heap[end] = least;
    }
  }
};

LONGSPAN_INLINE VecInt larger(VecInt a, VecInt b) { return a > b ? a : b; }

constexpr int64_t scanLength = 256;

// Indices ascend, so a value must be larger than the least one kept to enter. A block whose largest is not is passed
// over; where NaN is among the kept every block is looked at.
void keepBest(Kept& kept, const float* x, int64_t n, int64_t firstIndex) {
  alignas(64) int32_t orders[scanLength];
  for (int64_t first = 0; first < n; first += scanLength) {
    const int64_t count = min(scanLength, n - first);
    if (kept.size == kept.k && !(maxOf(x + first, count) > valueOf(kept.heap[0]))) {
      if (kept.heap[0] >> 32 != 0) continue;
    }
    for (int64_t i = 0; i < count; i += lanes) {
      const int64_t rest = count - i;
      const float* from = x + first + i;
      *(VecInt*)(orders + i) = orderOf(rest >= lanes ? load(from) : loadPart(from, int(rest)));
    }
    for (int64_t i = 0; i < count; ++i) kept.offer(rank(orders[i], firstIndex + first + i));
  }
}

struct TopKRow {
  const FloatSource& source;
  int64_t at, stride, n;
};

// k = 1: the largest order of each lane and where it was seen first
Ranked bestOf(const TopKRow& row, int64_t first, int64_t end) {
  alignas(64) float buffer[spanLength];
  VecInt best = broadcast(int32_t(0x80000000)), at;
  for (int lane = 0; lane < lanes; ++lane) at[lane] = int32_t(first) + lane;
  VecInt here = at;
  for (; first < end; first += spanLength) {
    const int64_t count = min(spanLength, end - first);
    const float* x = row.source.read(row.at + first * row.stride, row.stride, count, buffer);
    for (int64_t i = 0; i < count; i += lanes, here += lanes) {
      const int64_t rest = count - i;
      VecInt order = orderOf(rest >= lanes ? load(x + i) : loadPart(x + i, int(rest), __builtin_nanf("")));
      at = order > best ? here : at;
      best = larger(order, best);
    }
  }
  Ranked ranked = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    const Ranked other = rank(best[lane], at[lane]);
    ranked = other > ranked ? other : ranked;
  }
  return ranked;
}

// the best of [first, end) of a row, unsorted
void keepBestOf(Kept& kept, const TopKRow& row, int64_t first, int64_t end) {
  if (kept.k == 1) return kept.offer(bestOf(row, first, end));
  alignas(64) float buffer[spanLength];
  for (; first < end; first += spanLength) {
    const int64_t count = min(spanLength, end - first);
    keepBest(kept, row.source.read(row.at + first * row.stride, row.stride, count, buffer), count, first);
  }
}

void writeTopK(const TopKArgs& args, Kept& kept, const TopKRow& row, int64_t index) {
  kept.sortDescending();
  int32_t* indices = args.indices.as<int32_t>() + index * args.indices.strides[0];
  for (int64_t i = 0; i < kept.k; ++i) {
    const int64_t best = indexOf(kept.heap[i]);
    indices[i * args.indices.strides[1]] = int32_t(best);
    if (!args.values) continue;
    float buffer;  // the value is read again: the key has lost the sign of zero and the payload of NaN
    const float* value = row.source.read(row.at + best * row.stride, 1, 1, &buffer);
    FloatSink(args.values).write(value, index * args.values.strides[0] + i * args.values.strides[1], 1, 1);
  }
}

void topK(const TopKArgs& args, Parallel& parallel) {
  const TensorView& x = args.x;
  const int64_t rows = x.shape[0], n = x.shape[1], k = args.indices.shape[1];
  if (rows == 0 || k == 0) return;
  const FloatSource source(x);
  // few long rows are cut into segments, each with its own k best, which are then merged
  constexpr int64_t segmentLength = 65536;
  const int64_t segments = rows < 8 && k <= segmentLength / 64 ? max(int64_t(1), n / segmentLength) : 1;
  const size_t bytes = size_t(k) * sizeof(Ranked);
  parallel.reserveScratch(parallel, bytes, segments > 1 ? bytes * size_t(rows * segments) : 0);
  Ranked* shared = segments > 1 ? reinterpret_cast<Ranked*>(parallel.sharedScratch(parallel)) : nullptr;
  auto rowAt = [&](int64_t row) { return TopKRow{source, row * x.strides[0], x.strides[1], n}; };
  if (segments > 1) {
    parallelFor(parallel, rows * segments, [&](int64_t item, int) {
      const int64_t row = item / segments, segment = item % segments;
      Kept kept = {shared + item * k, k};
      keepBestOf(kept, rowAt(row), segment * n / segments, (segment + 1) * n / segments);
    });
    if (parallel.cancelled()) return;
  }
  parallelGroups(parallel, rows, max(int64_t(1), elementsPerItem / n), [&](int64_t row, int thread) {
    Kept kept = {reinterpret_cast<Ranked*>(parallel.threadScratch(parallel, thread)), k};
    if (segments > 1) {
      for (int64_t i = 0; i < segments * k; ++i) kept.offer(shared[row * segments * k + i]);
    } else {
      keepBestOf(kept, rowAt(row), 0, n);
    }
    writeTopK(args, kept, rowAt(row), row);
  });
}
