// What flashAttention promises beside being right on every instruction set (test/isa): golden numbers, little memory.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { flashAttention, memory, patterns, setThreads, Tensor } from "../lib/index.js";
import { attention } from "./reference/attention.js";
import { distance } from "./support/compare.js";
import { type Values, read, tensorOf } from "./support/tensors.js";

const golden = JSON.parse(readFileSync(new URL("fixtures/golden-attention.json", import.meta.url), "utf8")) as {
  cases: Record<string, { out: number[][]; lse?: number[] }>;
};
const n = 16;
const grid = (f: (i: number, j: number) => number): Values => ({
  shape: [1, n, 1, 4],
  data: Float64Array.from({ length: n * 4 }, (_, at) => f(Math.floor(at / 4), at % 4)),
});
const q = grid((i, j) => Math.sin(1 + 0.37 * i + 1.13 * j));
const k = grid((i, j) => Math.sin(2 + 0.53 * i + 0.71 * j));
const v = grid((i, j) => Math.cos(0.3 + 0.19 * i + 0.47 * j));
const one = (value: number) => new Tensor("float32", [value], [1]);
const causal = (i: number, j: number) => j <= i;

const named = {
  dense: { options: {}, reference: {} },
  causal: { options: { causal: true }, reference: { allows: causal } },
  window_3_0: {
    options: { causal: true, window: 3 },
    reference: { allows: (i: number, j: number) => j <= i && j >= i - 3 },
  },
  window_2_1: {
    options: { window: { before: 2, after: 1 } },
    reference: { allows: (i: number, j: number) => j <= i + 1 && j >= i - 2 },
  },
  "softcap_0.5_causal": { options: { causal: true, softcap: 0.5 }, reference: { allows: causal, softcap: 0.5 } },
  "alibi_0.25_causal": {
    options: { causal: true, alibiSlopes: one(0.25) },
    reference: { allows: causal, alibiSlopes: Float64Array.of(0.25) },
  },
  "sink_0.7_causal": {
    options: { causal: true, sinkLogits: one(0.7) },
    reference: { allows: causal, sinkLogits: Float64Array.of(0.7) },
  },
  sink2_recent4_mask: {
    options: { pattern: patterns.sinks({ tokens: 2, window: 3 }) },
    reference: { allows: (i: number, j: number) => j <= i && (j < 2 || j > i - 4) },
  },
};

describe("golden numbers of the specification", () => {
  for (const [name, { options, reference }] of Object.entries(named))
    it(name, async () => {
      const expected = golden.cases[name]!;
      const exact = attention(q, k, v, { allows: () => true, scale: 0.5, ...reference });
      expect(distance(exact.out, Float64Array.from(expected.out.flat()))).toBeLessThan(1e-9);
      const [a, b, c] = [q, k, v].map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
      const { out, lse } = flashAttention(a, b, c, { ...options, returnLse: true });
      expect(distance(await read(out), exact.out)).toBeLessThan(1e-6);
      if (expected.lse) expect(distance(await read(lse), Float64Array.from(expected.lse))).toBeLessThan(1e-6);
    });

  it("causal_bottom_right_Sq3", async () => {
    const [a, b, c] = [q, k, v].map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
    const { out, lse } = flashAttention(a.narrow(1, 13, 3), b, c, { causal: true, returnLse: true });
    const expected = golden.cases.causal_bottom_right_Sq3!;
    expect(distance(await read(out), Float64Array.from(expected.out.flat()))).toBeLessThan(1e-6);
    expect(distance(await read(lse), Float64Array.from(expected.lse!))).toBeLessThan(1e-6);
  });
});

describe("flashAttention", () => {
  it("gives a tensor, or a tensor and its lse", () => {
    const x = Tensor.view(new Float32Array(16), [1, 2, 2, 4]);
    expect(flashAttention(x, x, x)).toBeInstanceOf(Tensor);
    expect(Object.keys(flashAttention(x, x, x, { returnLse: true }))).toEqual(["out", "lse"]);
  });

  it("takes objects with type, data and dims", async () => {
    const x = { type: "float32", data: new Float32Array(8).fill(2), dims: [1, 2, 1, 4] };
    expect(await flashAttention(x, x, x).data()).toEqual(new Float32Array(8).fill(2));
  });

  for (const dtype of ["float32", "bfloat16"])
    for (const [seqLenQ, seqLenKV] of [
      [1, 60_000],
      [600, 6000],
    ] as const)
      it(`takes at most 8 MB a thread beyond inputs and output: ${seqLenQ} × ${seqLenKV}, ${dtype}`, async () => {
        setThreads(2);
        const make = (seqLen: number, heads: number) =>
          new Tensor("float32", new Float32Array(seqLen * heads * 128).fill(0.1), [1, seqLen, heads, 128]).to(dtype);
        const [queries, keys] = [make(seqLenQ, 8), make(seqLenKV, 2)];
        await queries.narrow(1, 0, 1).data();
        await keys.narrow(1, 0, 1).data();
        const before = memory().usedBytes;
        const out = flashAttention(queries, keys, keys, { causal: true });
        const outBytes = memory().usedBytes - before;
        await out.narrow(1, 0, 1).data();
        expect(outBytes).toBeLessThan(8e6);
        expect(memory().usedBytes - before - outBytes).toBeLessThanOrEqual(2 * 8e6); // scratch is kept
        setThreads(0);
      });

  it("asks the budget for nothing that grows with the square of the length", async () => {
    const x = new Tensor("float32", new Float32Array(8192 * 8), [1, 8192, 1, 8]);
    const before = memory().usedBytes;
    await flashAttention(x, x, x, { causal: true }).data();
    expect(memory().usedBytes - before).toBeLessThan(20e6);
  });
});
