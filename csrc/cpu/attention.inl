// The `attention` row of the table: few rows of a KV head are bound by memory and go to decode, many by arithmetic.

void attention(const AttentionArgs& args, Parallel& parallel) {
  int64_t numKVHeads = args.cache.slabs ? args.cache.numKVHeads : args.k.shape[2];
  int64_t rows = numKVHeads ? args.q.shape[1] * (args.q.shape[2] / numKVHeads) : 0;
  if (rows <= decodeMaxRows)
    decodeAttention(args, parallel);
  else
    flashAttention(args, parallel);
}
