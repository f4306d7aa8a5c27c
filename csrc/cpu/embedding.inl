// Rows of the embedding table by token id. Ids lie in a tensor that may have been pending when the op was called, so
// they are checked here: the lowest place of a wrong one is reported, its row is zero.

// keeps the lowest row seen by any thread; −1: none yet
LONGSPAN_INLINE void keepLowest(int64_t* kept, int64_t row) {
  int64_t seen = __atomic_load_n(kept, __ATOMIC_RELAXED);
  while ((seen < 0 || row < seen) &&
         !__atomic_compare_exchange_n(kept, &seen, row, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

void embedding(const EmbeddingArgs& args, Parallel& parallel) {
  const TensorView &weight = args.weight, &out = args.out;
  const int64_t n = out.shape[1], vocabSize = weight.shape[0];
  const RowConverter copyRow = rowConverter(weight.dtype, out.dtype);
  parallelGroups(parallel, out.shape[0], max(int64_t(1), elementsPerItem / max(int64_t(1), n)), [&](int64_t row, int) {
    const int64_t id = args.ids.as<const int32_t>()[row * args.ids.strides[0]];
    unsigned char* to = out.as<unsigned char>() + row * out.strides[0] * bytesOf(out.dtype);
    if (id < 0 || id >= vocabSize) {
      keepLowest(args.badIndex, row);
      const int64_t zero = 0;
      rowConverter(DType::Int64, out.dtype)(&zero, 0, to, out.strides[1], n);
      return;
    }
    copyRow(weight.as<const unsigned char>() + id * weight.strides[0] * bytesOf(weight.dtype), weight.strides[1], to,
            out.strides[1], n);
  });
}
