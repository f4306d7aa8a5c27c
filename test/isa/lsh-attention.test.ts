// lshAttention against dense attention over the pairs that its buckets make visible, and what hashing promises.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { lshAttention, lshDecodeAttention, setThreads, Tensor } from "../../lib/index.js";
import { type LshCase, lshCases, lshDecodeCases } from "../cases/lsh-attention.js";
import { lshAttention as reference, seenPairs } from "../reference/lsh-attention.js";
import { attention, exact as plain } from "../reference/attention.js";
import { distance, judge, largest } from "../support/compare.js";
import { type FloatDType, floatDTypes, round } from "../support/numbers.js";
import { normal, random } from "../support/random.js";
import { randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

function rotations(c: LshCase): Tensor | undefined {
  if (c.perHead === undefined) return undefined;
  const columns = c.options.buckets! <= 32 ? c.options.buckets! / 2 : 8; // 64 is 8 · 8
  const shape = c.perHead ? [c.options.rounds!, c.heads, c.headDim, columns] : [c.options.rounds!, c.headDim, columns];
  return tensorOf(randomValues(random(8), shape, "float32"), "float32");
}

async function check(c: LshCase, dtype: FloatDType): Promise<void> {
  const next = random(c.seqLen * 7 + c.headDim);
  const qk = randomValues(next, [c.batch, c.seqLen, c.heads, c.headDim], dtype, 2);
  const v = randomValues(next, [c.batch, c.seqLen, c.heads, c.valueDim], dtype);
  const given = rotations(c);
  const { out, lse, buckets } = lshAttention(tensorOf(qk, dtype, c.layout), tensorOf(v, dtype, c.layout), {
    ...c.options,
    ...(given ? { rotations: given } : {}),
    returnLse: true,
    returnBuckets: true,
  });
  const rounds = c.options.rounds!;
  expect(out.shape).toEqual([c.batch, c.seqLen, c.heads, c.valueDim]);
  expect(buckets.shape).toEqual([rounds, c.batch, c.heads, c.seqLen]);
  expect(out.dtype).toBe(dtype);
  const ids = await read(buckets);
  const scale = Math.fround(c.options.scale ?? c.headDim ** -0.5);
  const options = { chunk: 8, ...c.options };
  const exact = reference(qk, v, ids, rounds, options, scale);
  const naive = reference(qk, v, ids, rounds, options, scale, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
  const lseVerdict = judge(await read(lse), exact.lse, naive.lse, "float32", 4);
  expect(lseVerdict.error, `lse: ${JSON.stringify(lseVerdict)}`).toBeLessThanOrEqual(lseVerdict.allowed);
}

const golden = JSON.parse(
  readFileSync(new URL("../fixtures/golden-lsh-attention.json", import.meta.url), "utf8"),
) as Record<string, { out: number[][]; buckets: number[][] }>;
const grid = (n: number, f: (i: number, j: number) => number): Values => ({
  shape: [1, n, 1, 4],
  data: Float64Array.from({ length: n * 4 }, (_, at) => f(Math.floor(at / 4), at % 4)),
});

/** The last token over the keys that `count` says, dense. */
function lastRow(qk: Values, v: Values, list: number, count: Float64Array, once: boolean, precision = plain) {
  const [, n, heads, dim] = qk.shape as [number, number, number, number];
  const rows = (x: Values) =>
    Array.from({ length: n }, (_, i) => {
      const at = ((Math.floor(list / heads) * n + i) * heads + (list % heads)) * dim;
      return x.data.subarray(at, at + dim);
    });
  const keys = rows(qk).map((x) => x.map((a) => precision.dtype(a / Math.hypot(...x))));
  const one = (data: Float64Array[]): Values => ({
    data: Float64Array.from(data.flatMap((x) => [...x])),
    shape: [1, data.length, 1, dim],
  });
  const bias = {
    data: count.map((c, j) => (j < n - 1 ? Math.log(once ? Math.min(c, 1) : c) : 0)),
    shape: [1, 1, 1, n],
  };
  // the own score is −50,000: its key is made 0, and the bias all of it
  keys[n - 1]!.fill(0);
  bias.data[n - 1] = -5e4 + (once ? 0 : Math.log(count[n - 1]!));
  const scale = Math.fround(dim ** -0.5);
  return attention(
    one([rows(qk)[n - 1]!]),
    one(keys),
    one(rows(v)),
    { allows: (_, j) => count[j]! > 0, scale, bias },
    precision,
  );
}

/** Unit vectors and others at a given angle from them */
function pairsAt(angle: number, count: number, dim: number): Values {
  const next = random(4);
  const data = new Float64Array(2 * count * dim);
  for (let i = 0; i < count; i++) {
    const x = Float64Array.from({ length: dim }, () => normal(next));
    const y = Float64Array.from({ length: dim }, () => normal(next));
    const unit = (z: Float64Array) => z.map((a) => a / Math.hypot(...z));
    const e = unit(x);
    const dot = y.reduce((s, a, d) => s + a * e[d]!, 0);
    const f = unit(y.map((a, d) => a - dot * e[d]!));
    data.set(e, 2 * i * dim);
    data.set(
      e.map((a, d) => Math.cos(angle) * a + Math.sin(angle) * f[d]!),
      (2 * i + 1) * dim,
    );
  }
  return { data, shape: [1, 2 * count, 1, dim] };
}

describeOnIsa(`lshAttention on ${isa}`, () => {
  for (const c of lshCases) for (const dtype of floatDTypes) it(`${c.name}, ${dtype}`, async () => check(c, dtype));

  for (const duplicates of ["per-round", "exact"] as const)
    it(`golden numbers of the specification, ${duplicates}`, async () => {
      const q = grid(16, (i, j) => Math.sin(1 + 0.37 * i + 1.13 * j));
      const v = grid(16, (i, j) => Math.cos(0.3 + 0.19 * i + 0.47 * j));
      const expected = golden[`reformer_m4_h2_causal_dedupe${duplicates === "exact" ? "True" : "False"}`]!;
      const rotation = Array.from({ length: 16 }, (_, at) => {
        const [h, f, b] = [at >> 3, (at >> 1) & 3, at & 1];
        return Math.cos(1 + h + 0.9 * f + 1.7 * b + 0.3 * f * b);
      });
      const { out, buckets } = lshAttention(tensorOf(q, "float32"), tensorOf(v, "float32"), {
        rounds: 2,
        chunk: 4,
        causal: true,
        wrap: "rounds",
        duplicates,
        rotations: new Tensor("float32", rotation, [2, 4, 2]),
        returnBuckets: true,
      });
      const ids = await read(buckets);
      expect([...ids].map((id, at) => id + (at < 16 ? 0 : 4))).toEqual(expected.buckets.flat());
      expect(distance(await read(out), Float64Array.from(expected.out.flat()))).toBeLessThan(1e-6);
    });

  it("two chunks are dense attention with shared queries and keys", async () => {
    const next = random(6);
    const qk = randomValues(next, [1, 48, 2, 16], "float32");
    const v = randomValues(next, [1, 48, 2, 16], "float32");
    const keys = { ...qk, data: qk.data.slice() };
    for (let row = 0; row < 96; row++) {
      const x = keys.data.subarray(row * 16, (row + 1) * 16);
      x.set(x.map((a) => a / Math.hypot(...x)));
    }
    for (const causal of [false, true]) {
      const allows = (i: number, j: number) => (causal ? j < i || (i === 0 && j === 0) : j !== i);
      const { out } = attention(qk, keys, v, { allows, scale: 0.25 });
      const actual = lshAttention(tensorOf(qk, "float32"), tensorOf(v, "float32"), { chunk: 24, causal });
      expect(distance(await read(actual), out)).toBeLessThan(2e-6);
    }
  });

  it("nearby directions share a bucket more often; 2 and 4 buckets as often as their formulas say", async () => {
    const count = 4000;
    const shared: number[] = [];
    for (const angle of [0, 0.3, 0.8, Math.PI / 2, Math.PI]) {
      const x = tensorOf(pairsAt(angle, count, 8), "float32");
      const ids = await read(lshAttention(x, x, { rounds: 1, chunk: 1, buckets: 2, returnBuckets: true }).buckets);
      const wide = await read(lshAttention(x, x, { rounds: 1, chunk: 1, buckets: 32, returnBuckets: true }).buckets);
      const share = (b: Float64Array) => b.filter((id, i) => i % 2 === 0 && id === b[i + 1]).length / count;
      expect(Math.abs(share(ids) - (1 - angle / Math.PI))).toBeLessThan(0.04); // of one hyperplane
      shared.push(share(wide));
    }
    expect(shared[0]).toBe(1);
    expect(shared.at(-1)).toBe(0);
    expect(shared).toEqual(shared.toSorted((a, b) => b - a));
  });

  it("more rounds come nearer to dense attention", async () => {
    const next = random(9);
    const qk = randomValues(next, [1, 256, 1, 8], "float32", 4);
    const v = randomValues(next, [1, 256, 1, 8], "float32");
    const [a, b] = [tensorOf(qk, "float32"), tensorOf(v, "float32")];
    const dense = await read(lshAttention(a, b, { chunk: 256 }));
    const errors: number[] = [];
    for (const rounds of [1, 4, 16, 64]) {
      const out = await read(lshAttention(a, b, { chunk: 16, rounds }));
      errors.push(Math.sqrt(out.reduce((s, x, i) => s + (x - dense[i]!) ** 2, 0)));
    }
    expect(errors).toEqual(errors.toSorted((x, y) => y - x));
    expect(errors.at(-1)).toBeLessThan(errors[0]! / 4);
  });

  it("the same seed gives the same bits, on any number of threads", async () => {
    const next = random(2);
    const x = tensorOf(randomValues(next, [1, 600, 2, 16], "float32"), "float32");
    const runs: Tensor[] = [];
    for (const threads of [1, 2, 3]) {
      setThreads(threads);
      runs.push(lshAttention(x, x, { rounds: 2, causal: true, seed: 5 }));
      await runs.at(-1)!.data();
    }
    setThreads(0);
    const [first, ...others] = await Promise.all(runs.map((t) => t.data()));
    for (const other of others) expect(other).toEqual(first);
    expect(await lshAttention(x, x, { rounds: 2, causal: true, seed: 6 }).data()).not.toEqual(first);
  });

  it("causal: a later value reaches no output; with one chunk no later token does", async () => {
    const next = random(3);
    const [qk, v] = [0, 1].map(() => randomValues(next, [1, 90, 1, 8], "float32")) as [Values, Values];
    const other = { ...v, data: v.data.map((x, at) => (at < 60 * 8 ? x : -3 * x)) };
    const moved = { ...qk, data: qk.data.map((x, at) => (at < 60 * 8 ? x : x * x)) };
    const head = async (a: Values, b: Values, chunk: number) =>
      (await read(lshAttention(tensorOf(a, "float32"), tensorOf(b, "float32"), { chunk, causal: true }))).slice(0, 480);
    expect(await head(qk, other, 8)).toEqual(await head(qk, v, 8));
    expect(distance(await head(moved, other, 90), await head(qk, v, 90))).toBeLessThan(1e-6);
  });

  it("zeros, NaN and infinities stay where they are", async () => {
    const next = random(12);
    const x = randomValues(next, [1, 64, 1, 8], "float32");
    x.data.fill(0, 0, 16);
    const clean = await read(lshAttention(tensorOf(x, "float32"), tensorOf(x, "float32"), { chunk: 64 }));
    expect(Number.isFinite(largest(clean)) && clean.every(Number.isFinite)).toBe(true);
    x.data[100] = Number.NaN;
    const { buckets } = lshAttention(tensorOf(x, "float32"), tensorOf(x, "float32"), {
      chunk: 8,
      rounds: 3,
      returnBuckets: true,
    });
    for (const id of await read(buckets)) expect(id >= 0 && id < 8).toBe(true);
  });

  for (const { duplicates, dtype } of lshDecodeCases)
    it(`one new token, ${duplicates}, ${dtype}`, async () => {
      const next = random(14);
      const [batch, n, heads, dim, rounds] = [2, 61, 2, 16, 3];
      const qk = randomValues(next, [batch, n, heads, dim], dtype, 2);
      const v = randomValues(next, [batch, n, heads, dim], dtype);
      const [a, b] = [tensorOf(qk, dtype), tensorOf(v, dtype)];
      const hashed = lshAttention(a, b, { rounds, buckets: 4, seed: 9, returnBuckets: true }).buckets;
      const options = { buckets: 4, seed: 9, chunk: 4, duplicates };
      const known = hashed.narrow(3, 0, n - 1);
      const { out, lse, buckets } = lshDecodeAttention(a, b, known, { ...options, returnLse: true });
      expect(out.shape).toEqual([batch, 1, heads, dim]);
      const ids = await read(hashed);
      const own = await read(buckets);
      const [actual, actualLse] = [await read(out), await read(lse)];
      for (let list = 0; list < batch * heads; list++) {
        const count = new Float64Array(n);
        for (let r = 0; r < rounds; r++) {
          const at = (r * batch * heads + list) * n;
          expect(own[r * batch * heads + list]).toBe(ids[at + n - 1]);
          const same = [...ids.subarray(at, at + n - 1)].flatMap((id, t) => (id === ids[at + n - 1] ? [t] : []));
          for (const t of [...same.slice(-8), n - 1]) count[t]!++;
        }
        const row = lastRow(qk, v, list, count, duplicates === "exact");
        const rough = lastRow(qk, v, list, count, duplicates === "exact", {
          dtype: round[dtype],
          float32: Math.fround,
        });
        const verdict = judge(actual.slice(list * dim, (list + 1) * dim), row.out, rough.out, dtype);
        expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
        const other = judge(actualLse.slice(list, list + 1), row.lse, rough.lse, "float32", 4);
        expect(other.error, JSON.stringify(other)).toBeLessThanOrEqual(other.allowed);
      }
    });

  it("a new token sees what a full pass shows where one bucket and one chunk hold all", async () => {
    const next = random(15);
    const [a, b] = [0, 1].map(() => tensorOf(randomValues(next, [1, 40, 2, 8], "float32"), "float32")) as [
      Tensor,
      Tensor,
    ];
    const rotations = tensorOf({ data: new Float64Array(16), shape: [1, 8, 2] }, "float32");
    const full = lshAttention(a, b, { rounds: 1, rotations, chunk: 40, causal: true, returnBuckets: true });
    const one = lshDecodeAttention(a, b, full.buckets.narrow(3, 0, 39), { rotations, chunk: 40 });
    expect(distance(await read(one.out), await read(full.out.narrow(1, 39, 1)))).toBeLessThan(1e-6);
    const first = lshDecodeAttention(a.narrow(1, 0, 1), b.narrow(1, 0, 1), full.buckets.narrow(3, 0, 0), { rotations });
    expect(distance(await read(first.out), await read(b.narrow(1, 0, 1)))).toBe(0);
  });

  it("no tokens, no batch", async () => {
    for (const shape of [
      [1, 0, 2, 8],
      [0, 5, 2, 8],
      [1, 5, 0, 8],
    ]) {
      const x = new Tensor("float32", [], shape);
      expect(lshAttention(x, x, { rounds: 2 }).shape).toEqual(shape);
      expect((await lshAttention(x, x, { rounds: 2 }).data()).length).toBe(0);
    }
  });

  it("the reference sees each pair once where chunks hold all", () => {
    expect(seenPairs([[1, 0, 1, 0]], { chunk: 4 })).toEqual(new Float64Array(16).fill(1));
  });
});
