// Every pattern through the kernel: dense attention under its definition, whole, as the last rows, and decoded from a
// cache.
import { expect, it } from "vitest";
import { flashAttention, KVCache, patterns, type Tensor } from "../../lib/index.js";
import { type PatternCase, patternCases, patternForms } from "../cases/patterns.mjs";
import { attention } from "../reference/attention.js";
import { checkPattern, headsOf } from "../support/attention.js";
import { judge } from "../support/compare.js";
import { floatDTypes } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

const cases = patternCases(patterns, "small");

describeOnIsa(`patterns on ${isa}`, () => {
  for (const c of cases) {
    const { numHeads, seqLen: seqLenKV } = c;
    const heads = { ...headsOf(c), seqLenKV };
    for (const { name, seqLenQ = seqLenKV, headDim } of patternForms)
      for (const dtype of floatDTypes)
        it(`${c.name}: ${name}, ${dtype}`, async () => checkPattern(c, { ...heads, seqLenQ, headDim }, dtype));
    if (!c.byLength)
      it(`${c.name}: decoded from a cache, the row of the whole`, async () => {
        const next = random(7);
        const shape = [1, seqLenKV, heads.numKVHeads, 8];
        const [q, k, v] = [[1, seqLenKV, numHeads, 8], shape, shape].map((s) =>
          tensorOf(randomValues(next, s, "float32"), "float32"),
        ) as [Tensor, Tensor, Tensor];
        const whole = flashAttention(q, k, v, { pattern: c.pattern, returnLse: false });
        const cache = new KVCache({ numLayers: 1, numKVHeads: heads.numKVHeads, headDim: 8, dtype: "float32" });
        cache.append(0, k, v);
        const decoded = await read(cache.attend(0, q.narrow(1, seqLenKV - 1, 1), { pattern: c.pattern }));
        const wanted = await read(whole.narrow(1, seqLenKV - 1, 1));
        for (const [i, x] of decoded.entries()) expect(Math.abs(x - (wanted[i] as number))).toBeLessThan(2e-6);
        cache.dispose();
      });
  }

  const long = { seqLenQ: 700, seqLenKV: 700, numHeads: 2, numKVHeads: 1, headDim: 4 };
  for (const name of [
    "dilated (LongNet), mod, causal",
    "Sparse Transformer, strided",
    "Longformer",
    "BlockBERT",
    "union",
  ]) {
    const c = cases.find((one) => one.name === name) as PatternCase;
    it(`${name}: many tiles`, async () => checkPattern(c, { ...long, numHeads: c.numHeads }, "float32"));
  }
  it("LongNet with torchscale's keys of zeros: dense attention with as many more keys", async () => {
    const [segments, rates] = [
      [16, 48],
      [1, 5],
    ];
    const [n, heads, dim] = [75, 4, 12];
    const next = random(11);
    const [q, k, v] = [1, 2, 3].map(() => randomValues(next, [1, n, heads, dim], "float32")) as [
      Values,
      Values,
      Values,
    ];
    const tensors = [q, k, v].map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
    const pattern = patterns.dilated({ segments, rates, headOffset: "block", zeroPadding: true });
    const { out } = flashAttention(...tensors, { pattern, returnLse: true });
    // One key of zeros more, seen as often as a row meets padding: rows are cut in segments of w, padded to a multiple of
    // r; a branch takes every r-th place.
    const padded = ({ data, shape }: Values): Values => {
      const more = new Float64Array((n + 1) * heads * dim);
      more.set(data);
      return { data: more, shape: [1, n + 1, ...shape.slice(2)] };
    };
    const allows = (i: number, j: number, head: number) => {
      let times = 0;
      segments.forEach((w, b) => {
        const r = rates[b] as number;
        const phase = Math.floor(head / Math.ceil(heads / r));
        const begin = Math.floor(i / w) * w;
        if ((i - begin) % r !== phase) return;
        if (j < n) times += Number(j >= begin && j < begin + w && (j - begin) % r === phase);
        else for (let at = phase; at < Math.ceil(w / r) * r; at += r) times += Number(at >= w || begin + at >= n);
      });
      return times;
    };
    const reference = { allows, scale: Math.fround(dim ** -0.5) };
    const exact = attention(q, padded(k), padded(v), reference);
    const naive = attention(q, padded(k), padded(v), reference, { dtype: Math.fround, float32: Math.fround });
    const { error, allowed } = judge(await read(out), exact.out, naive.out, "float32");
    expect(error).toBeLessThanOrEqual(allowed);
  });
  it("a pattern beside causal: both must allow a pair", async () => {
    const pattern = patterns.dilated({ segments: [16, 64], rates: [1, 4] });
    const branch = (p: number, j: number, w: number, r: number, head: number) =>
      Math.floor(p / w) === Math.floor(j / w) && (p % w) % r === head % r && (j % w) % r === head % r;
    const definition: PatternCase["definition"] = (p, j, { head }) =>
      j > p ? 0 : Number(branch(p, j, 16, 1, head)) + Number(branch(p, j, 64, 4, head));
    await checkPattern({ pattern, definition }, { ...long, seqLenQ: 90, seqLenKV: 90 }, "float32", { causal: true });
  });
});
