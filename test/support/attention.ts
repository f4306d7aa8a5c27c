// flashAttention under a pattern against dense attention under its definition: the output and the log of the sums.
import { expect } from "vitest";
import { flashAttention, type Tensor } from "../../lib/index.js";
import { multiplicity, type PatternCase } from "../cases/patterns.mjs";
import { attention } from "../reference/attention.js";
import { judge } from "./compare.js";
import { type FloatDType, round } from "./numbers.js";
import { random } from "./random.js";
import { randomValues, read, tensorOf, type Values } from "./tensors.js";

export interface Size {
  seqLenQ: number;
  seqLenKV: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
}

/** The heads a pattern is for, on half as many key heads where that goes. */
export const headsOf = ({ numHeads }: { numHeads: number }) => ({
  numHeads,
  numKVHeads: numHeads % 2 ? 1 : numHeads / 2,
});

export async function checkPattern(
  c: Pick<PatternCase, "pattern" | "definition">,
  { seqLenQ, seqLenKV, numHeads, numKVHeads, headDim }: Size,
  dtype: FloatDType,
  extra = {},
): Promise<void> {
  const next = random(seqLenQ * 31 + seqLenKV + headDim);
  const q = randomValues(next, [1, seqLenQ, numHeads, headDim], dtype);
  const [k, v] = [1, 2].map(() => randomValues(next, [1, seqLenKV, numKVHeads, headDim], dtype)) as [Values, Values];
  const tensors = [q, k, v].map((x) => tensorOf(x, dtype)) as [Tensor, Tensor, Tensor];
  const { out, lse } = flashAttention(...tensors, { pattern: c.pattern, returnLse: true, ...extra });
  const reference = { allows: multiplicity(c, seqLenQ, seqLenKV), scale: Math.fround(headDim ** -0.5) };
  const exact = attention(q, k, v, reference);
  const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, `out: ${JSON.stringify(verdict)}`).toBeLessThanOrEqual(verdict.allowed);
  const lseVerdict = judge(await read(lse), exact.lse, naive.lse, "float32", 4);
  expect(lseVerdict.error, `lse: ${JSON.stringify(lseVerdict)}`).toBeLessThanOrEqual(lseVerdict.allowed);
}
