// hashSparseAttention, qkSparseAttention and routingAttention against dense attention with their masks.
import { expect, it } from "vitest";
import {
  hashSparseAttention,
  type HashSparseAttentionOptions,
  qkSparseAttention,
  routingAttention,
  setThreads,
  Tensor,
} from "../../lib/index.js";
import { dtypesOf, groupedShapes, type Sizes } from "../cases/grouped-attention.js";
import { exact, type Precision } from "../reference/attention.js";
import { attentionPerHead, balancedRouting, nearest } from "../reference/grouped-attention.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { integer, random } from "../support/random.js";
import { type Layout, randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

function inputs({ batch = 1, seqLenQ, seqLenKV, heads = [2, 2], dims = [16, 16] }: Sizes, dtype: FloatDType) {
  const next = random(seqLenQ * 5 + seqLenKV);
  return [
    randomValues(next, [batch, seqLenQ, heads[0], dims[0]], dtype),
    randomValues(next, [batch, seqLenKV, heads[1], dims[0]], dtype),
    randomValues(next, [batch, seqLenKV, heads[1], dims[1]], dtype),
  ] as [Values, Values, Values];
}
const naive = (dtype: FloatDType): Precision => ({ dtype: round[dtype], float32: Math.fround });
const tensors = (values: Values[], dtype: FloatDType, layout?: Layout) =>
  values.map((x) => tensorOf(x, dtype, layout)) as [Tensor, Tensor, Tensor];

type Mask = (batch: number, head: number, i: number, j: number) => boolean;
async function compare(actual: { out: Tensor; lse?: Tensor }, given: Values[], mask: Mask, dtype: FloatDType) {
  const [q, k, v] = given as [Values, Values, Values];
  const scale = Math.fround(q.shape[3]! ** -0.5);
  const dense = attentionPerHead(q, k, v, scale, mask);
  const rough = attentionPerHead(q, k, v, scale, mask, naive(dtype));
  expect(actual.out.shape).toEqual([...q.shape.slice(0, 3), v.shape[3]]);
  expect(actual.out.dtype).toBe(dtype);
  const verdict = judge(await read(actual.out), dense.out, rough.out, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
  if (!actual.lse) return;
  const lse = judge(await read(actual.lse), dense.lse, rough.lse, "float32", 4);
  expect(lse.error, `lse: ${JSON.stringify(lse)}`).toBeLessThanOrEqual(lse.allowed);
}

describeOnIsa(`grouped attention on ${isa}`, () => {
  for (const [name, sizes] of groupedShapes)
    for (const dtype of dtypesOf(sizes)) {
      const offset = sizes.seqLenKV - sizes.seqLenQ;
      const [numHeads, numKVHeads] = sizes.heads ?? [2, 2];
      const ids = (length: number, heads: number, choices: number, seed: number): Tensor => {
        const next = random(seed);
        const data = Int32Array.from({ length: (sizes.batch ?? 1) * length * heads }, () =>
          integer(next, 0, choices - 1),
        );
        return new Tensor("int32", data, [sizes.batch ?? 1, length, heads]);
      };
      const lookUp = async (t: Tensor) => {
        const data = await read(t);
        const [, n, heads] = t.shape as [number, number, number];
        return (b: number, h: number, i: number) => data[(b * n + i) * heads + Math.floor((h * heads) / numHeads)];
      };

      it(`given hashes, ${name}, ${dtype}`, async () => {
        const values = inputs(sizes, dtype);
        const [q, k, v] = tensors(values, dtype, sizes.layout);
        const [hashesQ, hashesK] = [ids(sizes.seqLenQ, numHeads, 5, 1), ids(sizes.seqLenKV, numKVHeads, 5, 2)];
        const [a, b] = [await lookUp(hashesQ), await lookUp(hashesK)];
        const options: [HashSparseAttentionOptions, (i: number, j: number) => boolean][] = [
          [{}, (i, j) => j < i + offset],
          [{ includeSelf: true }, (i, j) => j <= i + offset],
          [{ causal: false }, () => true],
        ];
        for (const [option, order] of options) {
          const actual = hashSparseAttention(q, k, v, { hashesQ, hashesK, ...option, returnLse: true });
          await compare(actual, values, (n, h, i, j) => a(n, h, i) === b(n, h, j) && order(i, j), dtype);
        }
      });

      it(`kept queries and keys, ${name}, ${dtype}`, async () => {
        const values = inputs(sizes, dtype);
        const [q, k, v] = tensors(values, dtype, sizes.layout);
        const [keepQ, keepK] = [ids(sizes.seqLenQ, numHeads, 2, 3), ids(sizes.seqLenKV, numKVHeads, 3, 4)];
        const [a, b] = [await lookUp(keepQ), await lookUp(keepK)];
        const causal = (i: number, j: number) => j <= i + offset;
        const both = qkSparseAttention(q, k, v, { keepQ, keepK: keepK.to("uint8"), returnLse: true });
        await compare(both, values, (n, h, i, j) => a(n, h, i) !== 0 && b(n, h, j) !== 0 && causal(i, j), dtype);
        const keys = qkSparseAttention(q, k, v, { keepK, causal: false, returnLse: true });
        await compare(keys, values, (n, h, _, j) => b(n, h, j) !== 0, dtype);
      });

      it(`routing, ${name}, ${dtype}`, async () => {
        const values = inputs(sizes, dtype);
        const given = tensors(values, dtype, sizes.layout);
        const [q, k, v] = values;
        const dim = q.shape[3]!;
        const mu = randomValues(random(7), [numHeads, 4, dim], "float32");
        const centroids = Array.from({ length: numHeads }, (_, h) =>
          Array.from({ length: 4 }, (_, c) => [...mu.data.subarray((h * 4 + c) * dim, (h * 4 + c + 1) * dim)]),
        );
        const options = { centroids: tensorOf(mu, "float32") };
        const [a, b] = [nearest(q, centroids, numHeads, false), nearest(k, centroids, numHeads, false)];
        const mask: Mask = (n, h, i, j) => a(n, h, i) === b(n, h, j);
        const causal = routingAttention(...given, { ...options, causal: true });
        await compare({ out: causal }, values, (n, h, i, j) => j <= i + offset && mask(n, h, i, j), dtype);
        await compare({ out: routingAttention(...given, { ...options, selection: "argmax" }) }, values, mask, dtype);
        const scale = Math.fround(dim ** -0.5);
        for (const [window, isCausal] of [
          [undefined, false],
          [13, true],
        ] as const) {
          const choice = {
            windowQ: Math.min(sizes.seqLenQ, window ?? Math.ceil(sizes.seqLenQ / 4)),
            windowKV: Math.min(sizes.seqLenKV, window ?? Math.ceil(sizes.seqLenKV / 4)),
            causal: isCausal,
            scale,
          };
          const out = routingAttention(...given, {
            ...options,
            ...(window ? { window } : {}),
            causal: isCausal,
            selection: "balanced",
          });
          const wanted = balancedRouting(q, k, v, centroids, choice, exact);
          const rough = balancedRouting(q, k, v, centroids, choice, naive(dtype));
          const verdict = judge(await read(out), wanted, rough, dtype);
          expect(verdict.error, JSON.stringify({ window, verdict })).toBeLessThanOrEqual(verdict.allowed);
        }
      });
    }

  it("hashes by rotations, shared or one for each KV head", async () => {
    const sizes: Sizes = { seqLenQ: 90, seqLenKV: 90, heads: [4, 2] };
    const values = inputs(sizes, "float32");
    const given = tensors(values, "float32");
    for (const heads of [1, 2]) {
      const r = randomValues(random(heads), heads === 1 ? [16, 3] : [heads, 16, 3], "float32");
      const directions = Array.from({ length: heads }, (_, h) =>
        Array.from({ length: 3 }, (_, c) => Array.from({ length: 16 }, (_, d) => r.data[(h * 16 + d) * 3 + c]!)),
      );
      const [a, b] = [nearest(values[0], directions, 4, true), nearest(values[1], directions, 4, true)];
      const actual = hashSparseAttention(...given, { rotations: tensorOf(r, "float32"), returnLse: true });
      await compare(actual, values, (n, h, i, j) => j < i && a(n, h, i) === b(n, h, j), "float32");
    }
  });

  it("one bucket for all is causal attention without the own position; one cluster is dense", async () => {
    const sizes: Sizes = { seqLenQ: 70, seqLenKV: 70 };
    const values = inputs(sizes, "float32");
    const given = tensors(values, "float32");
    const rotations = tensorOf({ data: new Float64Array(64), shape: [16, 4] }, "float32");
    const strict = hashSparseAttention(...given, { rotations, returnLse: true });
    await compare(strict, values, (_, __, i, j) => j < i, "float32");
    const centroids = tensorOf(randomValues(random(1), [2, 1, 16], "float32"), "float32");
    for (const selection of ["argmax", "balanced"] as const) {
      await compare({ out: routingAttention(...given, { centroids, selection }) }, values, () => true, "float32");
      const out = routingAttention(...given, { centroids, selection, causal: true, window: 70 });
      await compare({ out }, values, (_, __, i, j) => j <= i, "float32");
    }
  });

  it("argmax routing lets no later token through; hashing neither", async () => {
    const sizes: Sizes = { seqLenQ: 80, seqLenKV: 80 };
    const values = inputs(sizes, "float32");
    const changed = values.map((x) => ({ ...x, data: x.data.map((y, at) => (at < 50 * 32 ? y : 2 * y + 1)) }));
    const centroids = tensorOf(randomValues(random(1), [2, 4, 16], "float32"), "float32");
    const [a, b] = [tensors(values, "float32"), tensors(changed, "float32")];
    for (const run of [
      (x: typeof a) => routingAttention(...x, { centroids, causal: true }),
      (x: typeof a) => hashSparseAttention(...x, { buckets: 4 }),
    ]) {
      const [first, second] = await Promise.all([read(run(a)), read(run(b))]);
      for (let at = 0; at < 50 * 32; at++) expect(Math.abs(first[at]! - second[at]!)).toBeLessThan(1e-6);
      expect(first).not.toEqual(second);
    }
  });

  it("the same bits for any number of threads", async () => {
    const given = tensors(inputs({ seqLenQ: 700, seqLenKV: 700 }, "float32"), "float32");
    const centroids = tensorOf(randomValues(random(1), [2, 9, 16], "float32"), "float32");
    const runs: Tensor[][] = [];
    for (const threads of [1, 3]) {
      setThreads(threads);
      runs.push([
        hashSparseAttention(...given, { seed: 4 }),
        routingAttention(...given, { centroids }),
        routingAttention(...given, { centroids, causal: true }),
      ]);
      await Promise.all(runs.at(-1)!.map((t) => t.data()));
    }
    setThreads(0);
    const [first, second] = await Promise.all(runs.map((run) => Promise.all(run.map((t) => t.data()))));
    expect(second).toEqual(first);
  });
});
