// The `attention` row of the table: few rows of a KV head are bound by memory and go to decode, many by arithmetic.

LONGSPAN_INLINE bool runsOfKeys(const Pattern& pattern) {
  bool runs = true;
  for (int i = 0; i < (pattern.each ? pattern.eachBatch * pattern.eachHead : 1); ++i)
    runs = runs && walkOf(pattern.each ? pattern.each[i] : pattern).contiguous;
  return runs;
}

void attention(const AttentionArgs& args, Parallel& parallel) {
  int64_t numKVHeads = args.cache.slabs ? args.cache.numKVHeads : args.k.shape[2];
  int64_t rows = numKVHeads ? args.q.shape[1] * (args.q.shape[2] / numKVHeads) : 0;
  if (rows <= decodeMaxRows && !args.accumulate && !args.sequences && runsOfKeys(*args.pattern))
    decodeAttention(args, parallel);
  else
    flashAttention(args, parallel);
}
