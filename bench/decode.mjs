// One decode step: attention of one query over a long past, caches evicted between runs; share of a plain read.
import { flashAttention, idle } from "../dist/index.js";
import { native } from "../dist/binding.js";
import { evictCaches, median, plainReadSeconds, random } from "./measure.mjs";

const numHeads = 32;
const numKVHeads = 8;
const headDim = 128;

export function cases({ quick }) {
  const list = [];
  for (const [source, dtype, queries = dtype] of [
    ["cache", "bfloat16"],
    ["cache", "bfloat16", "float32"],
    ["cache", "float32"],
    ["tensors", "bfloat16"],
    ["tensors", "float32"],
  ])
    for (const seqLenKV of quick ? [4096, 32768] : [4096, 16384, 65536, 131072])
      list.push({
        op: "decode",
        source,
        dtype,
        queries,
        seqLenKV,
        numHeads,
        numKVHeads,
        headDim,
        target: source === "cache" ? 0.9 : 0.65,
      });
  return list;
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
