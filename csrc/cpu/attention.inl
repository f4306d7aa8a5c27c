// The `attention` row of the table: few rows of a KV head are bound by memory and go to decode, many by arithmetic.

LONGSPAN_INLINE bool runsOfKeys(const Pattern& pattern) {
  bool runs = true;
  for (int i = 0; i < (pattern.each ? pattern.eachBatch * pattern.eachHead : 1); ++i)
    runs = runs && walkOf(pattern.each ? pattern.each[i] : pattern).contiguous;
  return runs;
}

LONGSPAN_INLINE bool isDecode(const AttentionArgs& args) {
  int64_t numKVHeads = args.cache.slabs ? args.cache.numKVHeads : args.k.shape[2];
  int64_t rows = numKVHeads ? args.q.shape[1] * (args.q.shape[2] / numKVHeads) : 0;
  return rows <= decodeMaxRows && !args.accumulate && !args.sequences && runsOfKeys(*args.pattern);
}

void attention(const AttentionArgs& args, Parallel& parallel) {
  if (isDecode(args))
    decodeAttention(args, parallel);
  else
    flashAttention(args, parallel);
}

template <class Products>
void planFlashAttention(const AttentionArgs& args, AttentionPlan& plan) {
  FlashPlan flash = planFlash<Products>(args);
  plan = {"flash attention",
          Products::perUnit == 2 ? "bfloat16" : "float32",
          flash.tileQ,
          flash.headsPerItem,
          tileKV,
          flash.numItems(),
          flash.numParts,
          layOutFlash(flash, nullptr).bytes};
}

void planAttention(const AttentionArgs& args, AttentionPlan& plan) {
  DType keys = args.cache.slabs ? args.cache.dtype : args.k.dtype;
  bool pairs = nativeBFloat16 && args.q.dtype == DType::BFloat16 && keys == DType::BFloat16;
  if (isDecode(args)) {
    DecodePlan decode = planDecode(args);
    plan = {"decode attention", pairs ? "bfloat16" : "float32",
            decode.seqLenQ,     decode.headsInside ? decode.numKVHeads * decode.group : decode.group,
            cacheKeys,          decode.chunks * args.q.shape[0] * (decode.headsInside ? 1 : decode.numKVHeads),
            decode.chunks,      decode.threadBytes()};
    return;
  }
#ifdef __AVX512BF16__
  if (pairs) return planFlashAttention<BFloat16Products>(args, plan);
#endif
  planFlashAttention<Float32Products>(args, plan);
}
