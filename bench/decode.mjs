// One decode step: attention of one query over a long past, caches evicted between runs; share of a plain read.
import { flashAttention, idle } from "../dist/index.js";
import { native } from "../dist/binding.js";
import { attentionCases } from "../test/cases/attention.mjs";
import { benchSizes, cacheDTypes } from "../test/cases/kv-cache.mjs";
import { evictCaches, median, plainReadSeconds, random } from "./measure.mjs";

const { numHeads, numKVHeads, headDim, seqLensKV, quick: quickLengths } = benchSizes;

export function cases({ quick }) {
  const cached = cacheDTypes.flatMap(({ dtype, queries, bench }) =>
    bench ? [{ source: "cache", dtype, queries, ...bench }] : [],
  );
  const plain = attentionCases.flatMap(({ decode }) =>
    (decode?.dtypes ?? []).map((dtype) => ({ source: "tensors", dtype, queries: dtype, target: decode.target })),
  );
  return [...cached, ...plain].flatMap(({ target, ...row }) =>
    (quick ? quickLengths : seqLensKV).map((seqLenKV) => ({
      ...{ op: "decode", ...row, seqLenKV, numHeads, numKVHeads, headDim, target },
    })),
  );
}

function fromCache(dtype, seqLenKV) {
  const cache = native.createKVCache({ numLayers: 1, numKVHeads, headDim, dtype });
  const chunk = 4096;
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, chunk, numKVHeads, headDim], seed));
  for (let at = 0; at < seqLenKV; at += chunk) native.cacheAppend(cache, 0, k, v);
  return { run: (q) => native.cacheAttention(q, cache, 0, { causal: true }), drop: () => native.dispose(cache) };
}

function fromTensors(dtype, seqLenKV) {
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLenKV, numKVHeads, headDim], seed));
  return {
    run: (q) => flashAttention(q, k, v, { causal: true }),
    drop: () => {
      k.dispose();
      v.dispose();
    },
  };
}

export async function measure({ source, dtype, queries, seqLenKV }, { budget }) {
  const q = random(queries, [1, 1, numHeads, headDim], 1);
  const past = source === "cache" ? fromCache(dtype, seqLenKV) : fromTensors(dtype, seqLenKV);
  const bytes = 2 * seqLenKV * numKVHeads * headDim * (dtype === "float32" ? 4 : 2);
  await idle();
  const before = await plainReadSeconds(bytes, budget / 2);
  const seconds = await median(
    async () => {
      const out = past.run(q);
      await idle();
      out.dispose();
    },
    { budget, between: evictCaches },
  );
  const after = await plainReadSeconds(bytes, budget / 2);
  past.drop();
  q.dispose();
  const ceiling = (2 * bytes) / (before + after);
  return { seconds, rate: bytes / seconds, unit: "B/s", share: bytes / seconds / ceiling, ceiling };
}
