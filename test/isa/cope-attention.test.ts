// CoPE on each instruction set against its definition; one query at a time gives the rows of the whole.
import { expect, it } from "vitest";
import { copeAttention, setThreads } from "../../lib/index.js";
import { copeCases } from "../cases/cope.js";
import { copeAttention as reference } from "../reference/cope.js";
import { distance, judge } from "../support/compare.js";
import { floatDTypes, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

describeOnIsa(`CoPE on ${isa}`, () => {
  for (const variant of ["code", "paper"] as const)
    for (const { seqLenQ, seqLenKV, headDim, positions } of copeCases)
      for (const dtype of floatDTypes)
        it(`${variant}: ${seqLenQ} × ${seqLenKV}, ${positions} positions, ${dtype}`, async () => {
          const next = random(seqLenQ + positions);
          const spread = headDim ** -0.25;
          const [q, k] = [4, 2].map((heads, i) =>
            randomValues(next, [2, i ? seqLenKV : seqLenQ, heads, headDim], dtype, spread),
          );
          const v = randomValues(next, [2, seqLenKV, 2, 12], dtype);
          const embeddings = randomValues(next, [4, positions, headDim], dtype);
          const scale = Math.fround(headDim ** -0.5);
          const others = variant === "code" ? scale : 1;
          const factors = { scale, gateScale: others, positionScale: others };
          const [a, b, c, e] = [q!, k!, v, embeddings].map((x) => tensorOf(x, dtype));
          const out = copeAttention(a!, b!, c!, { positionEmbeddings: e!, variant });
          const exact = reference(q!, k!, v, embeddings, factors);
          const naive = reference(q!, k!, v, embeddings, factors, { dtype: round[dtype], float32: Math.fround });
          const verdict = judge(await read(out), exact.out, naive.out, dtype);
          expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
        });

  it("decodes as it reads, with any number of threads, from one table for all heads", async () => {
    const next = random(5);
    const [q, k, v] = [4, 2, 2].map((heads) => tensorOf(randomValues(next, [1, 190, heads, 24], "float32"), "float32"));
    const positionEmbeddings = tensorOf(randomValues(next, [50, 24], "float32"), "float32");
    const whole = await read(copeAttention(q!, k!, v!, { positionEmbeddings }));
    setThreads(3);
    expect(await read(copeAttention(q!, k!, v!, { positionEmbeddings }))).toEqual(whole);
    setThreads(1);
    for (const at of [0, 63, 64, 189]) {
      const [keys, values] = [k!, v!].map((x) => x.narrow(1, 0, at + 1));
      const row = await read(copeAttention(q!.narrow(1, at, 1), keys!, values!, { positionEmbeddings }));
      expect(distance(row, whole.slice(at * 4 * 24, (at + 1) * 4 * 24))).toBeLessThan(2e-6);
    }
  });

  it("keeps within its table whatever the scores are", async () => {
    const bad = tensorOf({ data: new Float64Array(64).fill(Number.NaN), shape: [1, 4, 2, 8] }, "float32");
    const positionEmbeddings = tensorOf(randomValues(random(1), [6, 8], "float32"), "float32");
    expect((await read(copeAttention(bad, bad, bad, { positionEmbeddings }))).every(Number.isNaN)).toBe(true);
  });
});
