// Linformer, Luna, H-Transformer-1D and landmark attention against their definitions, and what must hold whatever the
// instruction set: one query at a time gives the rows of the whole, and threads change nothing.
import { expect, it } from "vitest";
import {
  hierarchicalAttention,
  landmarkAttention,
  linformerAttention,
  lunaAttention,
  setThreads,
  type Tensor,
} from "../../lib/index.js";
import { type CompressedCase, compressedCases } from "../cases/compressed-attention.js";
import { distance, judge } from "../support/compare.js";
import { type FloatDType, floatDTypes, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

async function check(c: CompressedCase, dtype: FloatDType): Promise<void> {
  const next = random(c.seqLenQ * 31 + c.seqLenKV * 7 + c.headDim);
  const q = randomValues(next, [c.batch, c.seqLenQ, c.numHeads, c.headDim], dtype);
  const k = randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.headDim], dtype);
  const v = randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.valueDim], dtype);
  const extra: Record<string, Values> = {};
  const spread = 2 / Math.sqrt(c.seqLenKV); // of projections
  for (const [name, shape] of Object.entries(c.extra))
    extra[name] = randomValues(next, shape, dtype, name === "extra" ? 1 : spread);
  const tensors = Object.fromEntries(
    Object.entries(extra).map(([name, values]) => [name, tensorOf(values, dtype, c.layout)]),
  );
  const [a, b, d] = [q, k, v].map((x) => tensorOf(x, dtype, c.layout)) as [Tensor, Tensor, Tensor];
  const out = c.run(a, b, d, tensors);
  expect(out.shape).toEqual([c.batch, c.seqLenQ, c.numHeads, c.valueDim]);
  expect(out.dtype).toBe(dtype);
  const naive = c.reference(q, k, v, extra, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), c.reference(q, k, v, extra), naive, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

const heads = 4;
function inputs(seqLen: number, dtype: FloatDType = "float32"): [Tensor, Tensor, Tensor] {
  const next = random(seqLen);
  return [heads, 2, 2].map((n) => tensorOf(randomValues(next, [1, seqLen, n, 24], dtype), dtype)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
}

describeOnIsa(`compressed attention on ${isa}`, () => {
  for (const c of compressedCases)
    for (const dtype of floatDTypes) it(`${c.name}, ${dtype}`, async () => check(c, dtype));

  const decoders = {
    landmark: (q: Tensor, k: Tensor, v: Tensor) => landmarkAttention(q, k, v, { blockSize: 7 }),
    "landmark topK": (q: Tensor, k: Tensor, v: Tensor) => landmarkAttention(q, k, v, { blockSize: 7, topK: 3 }),
    hierarchical: (q: Tensor, k: Tensor, v: Tensor) => hierarchicalAttention(q, k, v, { blockSize: 4, causal: true }),
    "hierarchical, not causal": (q: Tensor, k: Tensor, v: Tensor) =>
      hierarchicalAttention(q, k, v, { blockSize: 4, coarsenQueries: false }),
  };
  for (const [name, run] of Object.entries(decoders))
    it(`${name}: the last queries alone give the last rows`, async () => {
      const [q, k, v] = inputs(93);
      const whole = run(q, k, v);
      for (const count of [1, 3, 20]) {
        const last = run(q.narrow(1, 93 - count, count), k, v);
        expect(distance(await read(last), await read(whole.narrow(1, 93 - count, count)))).toBeLessThan(2e-6);
      }
    });

  it("the same bits for 1 and 3 threads", async () => {
    const dtype = "bfloat16";
    const [q, k, v] = inputs(300, dtype);
    const next = random(3);
    const projectionK = tensorOf(randomValues(next, [300, 40], dtype), dtype);
    const extra = tensorOf(randomValues(next, [9, 2, 24], dtype), dtype);
    const runs: Tensor[][] = [];
    for (const threads of [1, 3]) {
      setThreads(threads);
      runs.push([
        landmarkAttention(q, k, v, { blockSize: 8 }),
        landmarkAttention(q, k, v, { blockSize: 8, topK: 2 }),
        hierarchicalAttention(q, k, v, { blockSize: 2 }),
        hierarchicalAttention(q, k, v, { blockSize: 2, causal: true }),
        linformerAttention(q, k, v, { projectionK }),
        lunaAttention(q, k, v, { extra, causal: true }) as Tensor,
      ]);
      await Promise.all(runs.flat().map((t) => t.data()));
    }
    setThreads(0);
    const [first, ...others] = await Promise.all(runs.map((run) => Promise.all(run.map((t) => t.data()))));
    for (const other of others) expect(other).toEqual(first);
  });

  it("luna: any cut of the sequence, down to single tokens, gives the whole", async () => {
    const [q, k, v] = inputs(150);
    const extra = tensorOf(randomValues(random(5), [10, heads, 24], "float32"), "float32");
    const whole = lunaAttention(q, k, v, { extra, causal: true, returnState: true });
    for (const cuts of [[0, 1, 30, 129, 150], Array.from({ length: 151 }, (_, i) => i)]) {
      let state: typeof whole.state | undefined;
      const parts: Float64Array[] = [];
      for (let i = 0; i + 1 < cuts.length; i++) {
        const [start, length] = [cuts[i] as number, (cuts[i + 1] as number) - (cuts[i] as number)];
        const [a, b, c] = [q, k, v].map((x) => x.narrow(1, start, length)) as [Tensor, Tensor, Tensor];
        const part = lunaAttention(a, b, c, { extra, causal: true, returnState: true, ...(state ? { state } : {}) });
        parts.push(await read(part.out));
        state = part.state;
      }
      expect(state?.positions).toBe(150);
      expect(distance(Float64Array.from(parts.flatMap((x) => [...x])), await read(whole.out))).toBeLessThan(2e-6);
      const sums = await read(whole.state.keySums);
      const largest = sums.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(distance(await read(state?.keySums as Tensor), sums)).toBeLessThan(2e-6 * largest);
    }
  });
});
