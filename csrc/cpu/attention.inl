// The `attention` row of the table: few rows, or keys in a cache, are bound by memory and go to decode.

void attention(const AttentionArgs& args, Parallel& parallel) {
  int64_t numKVHeads = args.cache.slabs ? args.cache.numKVHeads : args.k.shape[2];
  int64_t rows = numKVHeads ? args.q.shape[1] * (args.q.shape[2] / numKVHeads) : 0;
  if (args.cache.slabs || rows <= decodeMaxRows)
    decodeAttention(args, parallel);
  else
    flashAttention(args, parallel);
}
