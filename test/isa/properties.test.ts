// What must hold for any shape: random cases, merging of disjoint parts, and the same bits for any number of threads.
import { expect, it } from "vitest";
import {
  flashAttention,
  matmul,
  mergeAttention,
  patterns,
  rmsNorm,
  setThreads,
  softmax,
  type Tensor,
} from "../../lib/index.js";
import { type AttentionCase, allows, options } from "../cases/attention.mjs";
import { attention } from "../reference/attention.js";
import { topK as topKReference } from "../reference/ops.js";
import { argmax, topK } from "../../lib/index.js";
import { judge } from "../support/compare.js";
import { type FloatDType, floatDTypes, round } from "../support/numbers.js";
import { integer, pick, type Random, random } from "../support/random.js";
import { layouts, randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

function randomCase(next: Random): AttentionCase {
  const numKVHeads = integer(next, 1, 3);
  const mask = integer(next, 0, 4);
  return {
    name: "random",
    batch: integer(next, 1, 2),
    seqLenQ: pick(next, [1, 2, 7, 16, 33, 64, integer(next, 1, 120)]),
    seqLenKV: pick(next, [1, 15, 32, 65, 128, integer(next, 1, 200)]),
    numKVHeads,
    numHeads: numKVHeads * integer(next, 1, 4),
    headDim: pick(next, [16, 32, 64, integer(next, 1, 100)]),
    valueDim: pick(next, [16, 32, 64, integer(next, 1, 100)]),
    layout: pick(next, layouts),
    ...(mask === 1 ? { causal: true } : {}),
    ...(mask === 2 ? { causal: true, window: integer(next, 0, 40) } : {}),
    ...(mask === 3 ? { window: { before: integer(next, 0, 60), after: integer(next, 0, 60) } } : {}),
    ...(mask === 4 ? { sinks: { tokens: integer(next, 0, 40), window: integer(next, 0, 40) } } : {}),
    ...(next() < 0.2 ? { softcap: 1 + 5 * next() } : {}),
  };
}
function inputs(c: AttentionCase, next: Random, dtype: FloatDType): [Values, Values, Values] {
  return [
    randomValues(next, [c.batch, c.seqLenQ, c.numHeads, c.headDim], dtype),
    randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.headDim], dtype),
    randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.valueDim], dtype),
  ];
}

describeOnIsa(`properties on ${isa}`, () => {
  for (let seed = 1; seed <= 40; seed++)
    it(`attention of random shape ${seed}`, async () => {
      const next = random(seed);
      const c = randomCase(next);
      const dtype = pick(next, floatDTypes);
      const [q, k, v] = inputs(c, next, dtype);
      const [a, b, d] = [q, k, v].map((x) => tensorOf(x, dtype, c.layout)) as [Tensor, Tensor, Tensor];
      const { out, lse } = flashAttention(a, b, d, { ...options(c, patterns), returnLse: true });
      const reference = {
        allows: allows(c),
        scale: Math.fround(c.headDim ** -0.5),
        ...(c.softcap ? { softcap: Math.fround(c.softcap) } : {}),
      };
      const exact = attention(q, k, v, reference);
      const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
      const verdict = judge(await read(out), exact.out, naive.out, dtype);
      expect(verdict.error, JSON.stringify({ c, dtype, verdict })).toBeLessThanOrEqual(verdict.allowed);
      const other = judge(await read(lse), exact.lse, naive.lse, "float32", 4);
      expect(other.error, JSON.stringify({ c, dtype, other })).toBeLessThanOrEqual(other.allowed);
    });

  for (const dtype of floatDTypes)
    it(`attention of disjoint parts merges to the whole, ${dtype}`, async () => {
      const next = random(5);
      const c = { ...randomCase(next), batch: 2, seqLenQ: 19, seqLenKV: 100, numHeads: 4, numKVHeads: 2, headDim: 40 };
      const [q, k, v] = inputs(c, next, dtype);
      const [a, b, d] = [q, k, v].map((x) => tensorOf(x, dtype)) as [Tensor, Tensor, Tensor];
      const cuts = [0, 1, 34, 34, 100];
      const parts = cuts.slice(1).map((end, i) => {
        const [start, length] = [cuts[i] as number, end - (cuts[i] as number)];
        return flashAttention(a, b.narrow(1, start, length), d.narrow(1, start, length), { returnLse: true });
      });
      const merged = mergeAttention(parts);
      const reference = { allows: () => true, scale: Math.fround(40 ** -0.5) };
      const exact = attention(q, k, v, reference);
      const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
      expect(merged.out.shape).toEqual([2, 19, 4, c.valueDim]);
      expect(merged.out.dtype).toBe(dtype);
      const verdict = judge(await read(merged.out), exact.out, naive.out, dtype);
      expect(verdict.error).toBeLessThanOrEqual(verdict.allowed);
      const lse = judge(await read(merged.lse), exact.lse, naive.lse, "float32", 4);
      expect(lse.error).toBeLessThanOrEqual(lse.allowed);
    });

  it("parts that saw nothing leave nothing behind", async () => {
    const q = tensorOf(randomValues(random(1), [1, 3, 2, 8], "float32"), "float32");
    const none = flashAttention(q, q.narrow(1, 0, 0), q.narrow(1, 0, 0), { returnLse: true });
    const one = flashAttention(q, q, q, { returnLse: true });
    expect(await read(mergeAttention([none, one, none]).out)).toEqual(await read(one.out));
    const nothing = mergeAttention([none, none]);
    expect(await read(nothing.out)).toEqual(new Float64Array(48));
    expect(await read(nothing.lse)).toEqual(new Float64Array(6).fill(Number.NEGATIVE_INFINITY));
  });

  for (const dtype of floatDTypes)
    it(`the same bits for 1, 2 and 3 threads, ${dtype}`, async () => {
      const next = random(11);
      const wide = tensorOf(randomValues(next, [2, 150, 4, 64], dtype), dtype);
      const keys = tensorOf(randomValues(next, [1, 700, 1, 64], dtype), dtype);
      const one = tensorOf(randomValues(next, [1, 1, 3, 64], dtype), dtype);
      const x = tensorOf(randomValues(next, [90, 260], dtype), dtype);
      const w = tensorOf(randomValues(next, [260, 130], dtype), dtype);
      const runs: Tensor[][] = [];
      for (const threads of [1, 2, 3]) {
        setThreads(threads);
        runs.push([
          flashAttention(wide, wide, wide, { causal: true }),
          flashAttention(one, keys, keys),
          matmul(x, w),
          matmul(x.narrow(0, 3, 1), w),
          rmsNorm(x),
          softmax(x),
        ]);
        await Promise.all(runs.flat().map((t) => t.data()));
      }
      setThreads(0);
      const [first, ...others] = await Promise.all(runs.map((run) => Promise.all(run.map((t) => t.data()))));
      for (const other of others) expect(other).toEqual(first);
    });

  for (const dtype of floatDTypes)
    for (const [rows, n, k] of [
      [1, 1, 1],
      [3, 50, 5],
      [4, 50, 50],
      [2, 5000, 40],
      [1, 70000, 3],
    ] as const)
      it(`topK ${k} of [${rows}, ${n}] with ties, infinities and NaN, ${dtype}`, async () => {
        const next = random(n + k);
        const x = randomValues(next, [rows, n], dtype);
        for (let i = 0; i < x.data.length; i += 3) x.data[i] = Math.round((x.data[i] as number) * 2);
        if (n > 40) {
          x.data[7] = Number.NaN;
          x.data[20] = Number.NEGATIVE_INFINITY;
          x.data[33] = Number.POSITIVE_INFINITY;
        }
        const expected = topKReference(x, k);
        for (const layout of ["dense", "sliced", "columns"] as const) {
          const tensor = tensorOf(x, dtype, layout);
          const { values, indices } = topK(tensor, { k });
          expect(values.shape).toEqual([rows, k]);
          expect(indices.dtype).toBe("int32");
          expect(await read(indices)).toEqual(expected.indices);
          expect(await read(values)).toEqual(expected.values);
          expect(await read(argmax(tensor))).toEqual(expected.indices.filter((_, i) => i % k === 0));
        }
      });
});
