// Remapped distances through every kernel path, against dense attention with each pair's own distance.
import { expect, it } from "vitest";
import { patterns, positions, type RemappedAttentionOptions, remappedAttention } from "../../lib/index.js";
import { distanceCases, distanceSizes, dtypeOf } from "../cases/distances.js";
import { remappedAttention as reference, type RemappedReferenceOptions } from "../reference/remapped.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

interface Sizes {
  seqLenQ: number;
  seqLenKV: number;
  dtype: FloatDType;
  headDim?: number;
  rotaryDim?: number;
}
async function check(options: RemappedAttentionOptions, by: Omit<RemappedReferenceOptions, "scale">, sizes: Sizes) {
  const { seqLenQ, seqLenKV, dtype, headDim = 16 } = sizes;
  const next = random(seqLenQ + 7 * seqLenKV);
  const q = randomValues(next, [1, seqLenQ, 4, headDim], dtype);
  const k = randomValues(next, [1, seqLenKV, 2, headDim], dtype);
  const v = randomValues(next, [1, seqLenKV, 2, 12], dtype);
  const full = { scale: Math.fround(headDim ** -0.5), ...by };
  const out = remappedAttention(tensorOf(q, dtype), tensorOf(k, dtype), tensorOf(v, dtype), {
    ...options,
    returnLse: false,
  });
  const naive = reference(q, k, v, full, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), reference(q, k, v, full), naive, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`remapped distances on ${isa}`, () => {
  distanceCases.forEach(({ name, make, distance }, n) => {
    for (const [i, { seqLenQ, seqLenKV }] of distanceSizes.entries()) {
      const dtype = dtypeOf(n, i);
      it(`${name}: ${seqLenQ} × ${seqLenKV}, ${dtype}`, async () => {
        const rotary = make(16);
        await check(rotary, { frequencies: rotary.frequencies, distance }, { seqLenQ, seqLenKV, dtype });
      });
    }
  });

  it("turns a part of the head, scaled, in an odd width", async () => {
    const rotary = positions.rerope({ rotaryDim: 10, window: 11 });
    const { frequencies } = rotary;
    const by = { frequencies, distance: (i: number, j: number) => (j > i ? undefined : Math.min(i - j, 11)) };
    const sizes = { seqLenQ: 70, seqLenKV: 70, dtype: "float32", headDim: 13 } as const;
    await check(rotary, by, sizes);
    await check({ ...rotary, attentionScale: 1.25 }, { ...by, attentionScale: 1.25 }, { ...sizes, headDim: 10 });
  });

  it("within a pattern", async () => {
    const rotary = positions.selfExtend({ rotaryDim: 16, windowSize: 8, groupSize: 3 });
    const apart = (i: number, j: number) => (i - j < 8 ? i - j : Math.floor(i / 3) + 6 - Math.floor(j / 3));
    const distance = (i: number, j: number) => (j > i || i - j > 40 ? undefined : apart(i, j));
    const options = { ...rotary, pattern: patterns.window({ before: 40 }) };
    for (const [seqLenQ, seqLenKV] of [
      [100, 100],
      [2, 100],
    ] as const)
      await check(options, { frequencies: rotary.frequencies, distance }, { seqLenQ, seqLenKV, dtype: "float32" });
  });
});
