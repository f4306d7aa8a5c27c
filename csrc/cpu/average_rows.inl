// The mean of the rows that belong to a query: a token that several clusters chose (Roy et al. 2021, Routing
// Transformer).

template <class T>
void averageRow(const AverageRowsArgs& args, const float* base, const int* rows, int count, T* out) {
  const TensorView& from = args.rows;
  int64_t valueDim = args.out.shape[3];
  for (int64_t d = 0; d < valueDim; d += lanes) {
    Vec sum = {};
    for (int i = 0; i < count; ++i) sum += loadUpTo(base + rows[i] * from.strides[1] + d, valueDim - d);
    storeUpTo(out + d, count ? sum / float(count) : sum, valueDim - d);
  }
}

void averageRows(const AverageRowsArgs& args, Parallel& parallel) {
  const TensorView &rows = args.rows, &out = args.out;
  int64_t seqLen = out.shape[1], numHeads = out.shape[2], numRows = rows.shape[1];
  parallelGroups(parallel, out.shape[0] * seqLen, 64, [&](int64_t index, int) {
    int64_t b = index / seqLen, q = index % seqLen;
    for (int64_t h = 0; h < numHeads; ++h) {
      const int* begin = args.begin + (b * numHeads + h) * (seqLen + 1) + q;
      const int* list = args.lists + (b * numHeads + h) * numRows + begin[0];
      const float* base = rows.as<float>() + b * rows.strides[0] + h * rows.strides[2];
      withDType<Float32Products>(out.dtype, [&]<class T>(T*) {
        averageRow(args, base, list, begin[1] - begin[0],
                   out.as<T>() + b * out.strides[0] + q * out.strides[1] + h * out.strides[2]);
      });
    }
  });
}
