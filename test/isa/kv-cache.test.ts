// Attention over the cache of keys and values, in each dtype of the queries and of the cache: what the cache rounds is
// rounded before the call; the attention itself is as exact as its queries are.
import { expect, it } from "vitest";
import { KVCache, type Tensor } from "../../lib/index.js";
import { cacheDTypes, cacheSizes } from "../cases/kv-cache.mjs";
import { attention } from "../reference/attention.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

async function check(
  dtype: FloatDType,
  cached: "float32" | "bfloat16",
  seqLenQ: number,
  seqLenKV: number,
  dim: number,
) {
  const [numHeads, numKVHeads, next] = [6, 2, random(seqLenKV + dim)];
  const q = randomValues(next, [1, seqLenQ, numHeads, dim], dtype);
  const [k, v] = [0, 1].map(() => randomValues(next, [1, seqLenKV, numKVHeads, dim], cached)) as [typeof q, typeof q];
  const cache = new KVCache({ numLayers: 1, numKVHeads, headDim: dim, dtype: cached });
  for (const [start, end] of [
    [0, Math.ceil(seqLenKV / 3)],
    [Math.ceil(seqLenKV / 3), seqLenKV],
  ] as const) {
    const part = ({ data, shape }: typeof k): Tensor => tensorOf({ data, shape }, cached).narrow(1, start, end - start);
    cache.append(0, part(k), part(v));
  }
  const out = cache.attend(0, tensorOf(q, dtype), { causal: true });
  cache.dispose();
  const reference = {
    allows: (i: number, j: number) => j <= i + seqLenKV - seqLenQ,
    scale: Math.fround(dim ** -0.5),
  };
  const exact = attention(q, k, v, reference);
  const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
  expect(out.dtype).toBe(dtype);
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`the cache on ${isa}`, () => {
  for (const { queries, dtype: cached } of cacheDTypes)
    for (const { seqLenQ, seqLenKV, headDim } of cacheSizes)
      it(`${queries} queries, ${cached} keys: ${seqLenQ} over ${seqLenKV}, headDim ${headDim}`, () =>
        check(queries, cached, seqLenQ, seqLenKV, headDim));
});
