// Terms of the scores beyond bias and ALiBi: factors on queries, bias by a table of distances, spans that fade or expire;
// in every kernel path against dense attention with the same written out.
import { expect, it } from "vitest";
import { adaptiveSpan, flashAttention, KVCache, patterns, Tensor } from "../../lib/index.js";
import { type AttentionReferenceOptions, attention } from "../reference/attention.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

const [batch, numHeads, numKVHeads, dim] = [2, 4, 2, 16];
const float = (data: number[], shape: number[]) => new Tensor("float32", data, shape);

/** [batch, numHeads, seqLenQ, seqLenKV] of a bias by place; distance = position of the query − of the key. */
function biasOf(seqLenQ: number, seqLenKV: number, f: (distance: number, h: number, b: number, j: number) => number) {
  const shape = [batch, numHeads, seqLenQ, seqLenKV];
  const data = new Float64Array(batch * numHeads * seqLenQ * seqLenKV);
  for (let at = 0; at < data.length; at++) {
    const j = at % seqLenKV;
    const i = Math.floor(at / seqLenKV) % seqLenQ;
    const h = Math.floor(at / (seqLenKV * seqLenQ)) % numHeads;
    const b = Math.floor(at / (seqLenKV * seqLenQ * numHeads));
    data[at] = f(i + seqLenKV - seqLenQ - j, h, b, j);
  }
  return { data, shape } satisfies Values;
}

type Reference = Omit<AttentionReferenceOptions, "scale">;
async function check(seqLenQ: number, seqLenKV: number, dtype: FloatDType, options: object, reference: Reference) {
  const next = random(seqLenQ + 3 * seqLenKV);
  const q = randomValues(next, [batch, seqLenQ, numHeads, dim], dtype);
  const k = randomValues(next, [batch, seqLenKV, numKVHeads, dim], dtype);
  const v = randomValues(next, [batch, seqLenKV, numKVHeads, dim], dtype);
  const out = flashAttention(tensorOf(q, dtype), tensorOf(k, dtype), tensorOf(v, dtype), options) as Tensor;
  const full = { scale: Math.fround(dim ** -0.5), ...reference };
  const exact = attention(q, k, v, full);
  const naive = attention(q, k, v, full, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`scores on ${isa}`, () => {
  const causal = (seqLenQ: number, seqLenKV: number) => (q: number, kv: number) => kv <= q + seqLenKV - seqLenQ;
  for (const [seqLenQ, seqLenKV] of [
    [70, 90],
    [1, 90],
  ] as const)
    for (const dtype of ["float32", "bfloat16"] as const) {
      const allows = causal(seqLenQ, seqLenKV);
      const name = `${seqLenQ} × ${seqLenKV}, ${dtype}`;
      it(`queryScale by head and place, before softcap: ${name}`, async () => {
        const factor = (q: number, h: number) => Math.fround(Math.log(q + seqLenKV) / 4 + h / 4);
        const data = Array.from({ length: numHeads * seqLenQ }, (_, i) => factor(i % seqLenQ, Math.floor(i / seqLenQ)));
        const options = { causal: true, softcap: 3, queryScale: float(data, [numHeads, seqLenQ]) };
        await check(seqLenQ, seqLenKV, dtype, options, { allows, softcap: 3, queryScale: factor });
      });
      it(`distanceBias, its ends held: ${name}`, async () => {
        const entry = (h: number, d: number) => Math.fround(Math.sin(h + Math.max(-3, Math.min(d, 46)) / 5));
        const table = Array.from({ length: numHeads * 50 }, (_, i) => entry(Math.floor(i / 50), (i % 50) - 3));
        const options = { distanceBias: float(table, [numHeads, 50]), firstDistance: -3 };
        const bias = biasOf(seqLenQ, seqLenKV, (d, h) => entry(h, d));
        await check(seqLenQ, seqLenKV, dtype, options, { allows: () => true, bias });
      });
      it(`expireSpans: ${name}`, async () => {
        const span = (b: number, j: number) => ((j * 37 + b * 11) % 80) - 5;
        const spans = Array.from({ length: batch * seqLenKV }, (_, i) => span(Math.floor(i / seqLenKV), i % seqLenKV));
        const weight = (d: number, b: number, j: number) => Math.min(Math.max((span(b, j) - d) / 8 + 1, 0), 1);
        const bias = biasOf(seqLenQ, seqLenKV, (d, _, b, j) => Math.log(weight(d, b, j)));
        const options = { causal: true, expireSpans: float(spans, [batch, seqLenKV]), expireRamp: 8 };
        await check(seqLenQ, seqLenKV, dtype, options, { allows, bias });
      });
      it(`adaptiveSpan: ${name}`, async () => {
        const spans = [0, 7.5, 30, 500];
        const weight = (d: number, h: number) => Math.min(Math.max((16 + (spans[h] as number) - d) / 16, 0), 1);
        const bias = biasOf(seqLenQ, seqLenKV, (d, h) => Math.log(weight(d, h)));
        await check(seqLenQ, seqLenKV, dtype, adaptiveSpan({ spans, ramp: 16 }), { allows, bias });
      });
    }

  it.each([
    ["one branch", [8], [4]],
    ["a sum that begins with one", [8, 32], [4, 8]],
  ])("sink logits of queries that see nothing: %s", async (_, segments, rates) => {
    const n = 64;
    const make = (seed: number) => tensorOf(randomValues(random(seed), [1, n, 4, dim], "float32"), "float32");
    const sinks = [1, 0, -1, 2];
    const pattern = patterns.dilated({ segments, rates, causal: true });
    const options = { pattern, sinkLogits: float(sinks, [4]), returnLse: true } as const;
    const { out, lse } = flashAttention(make(1), make(2), make(3), options);
    const [outs, lses] = [await read(out), await read(lse)];
    const seen = (h: number, q: number) => rates.some((rate) => q % rate === h % rate); // a query's own key is seen
    for (let h = 0; h < 4; h++)
      for (let q = 0; q < n; q++) {
        if (seen(h, q)) expect(lses[h * n + q]).toBeGreaterThan(sinks[h]!);
        else expect(lses[h * n + q]).toBe(sinks[h]);
        const row = outs.subarray((q * 4 + h) * dim, (q * 4 + h + 1) * dim);
        expect(row.some((x) => x !== 0)).toBe(seen(h, q));
      }
  });

  it("all of it in a sum of parts, and over a cache", async () => {
    const n = 80;
    const factor = (q: number) => Math.fround(1 + q / n);
    const entry = (h: number, d: number) => Math.fround(Math.cos(h + d / 9));
    const heads = [0, 1, 2, 3];
    const table = heads.flatMap((h) => Array.from({ length: n }, (_, d) => entry(h, d)));
    const pattern = patterns.sparseStrided({ stride: 8 });
    const bias = biasOf(n, n, (d, h) => entry(h, Math.max(d, 0)));
    const queryScale = float(
      Array.from({ length: n }, (_, q) => factor(q)),
      [n],
    );
    const options = { pattern, queryScale, distanceBias: float(table, [4, n]), sinkLogits: float([1, 0, -1, 2], [4]) };
    const allows = (q: number, kv: number) => kv <= q && (q - kv < 8 || (q - kv) % 8 === 0);
    const sinkLogits = Float64Array.of(1, 0, -1, 2);
    await check(n, n, "float32", options, { allows, bias, queryScale: factor, sinkLogits });
    const next = random(5);
    const make = (h: number) => tensorOf(randomValues(next, [1, n, h, dim], "float32"), "float32");
    const [q, k, v] = [make(numHeads), make(numKVHeads), make(numKVHeads)];
    const whole = flashAttention(q, k, v, { causal: true, distanceBias: options.distanceBias, returnLse: false });
    const cache = new KVCache({ numLayers: 1, numKVHeads, headDim: dim, dtype: "float32" });
    cache.append(0, k, v);
    const given = { causal: true, distanceBias: options.distanceBias };
    const decoded = await read(cache.attend(0, q.narrow(1, n - 1, 1), given));
    const wanted = await read(whole.narrow(1, n - 1, 1));
    for (const [i, x] of decoded.entries()) expect(Math.abs(x - (wanted[i] as number))).toBeLessThan(2e-6);
    cache.dispose();
  });
});
