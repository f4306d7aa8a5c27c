// flashAttention against dense attention: the output and the log of the sums, of a case and of a pattern.
import { expect } from "vitest";
import { type AttentionPart, flashAttention, patterns, Tensor } from "../../lib/index.js";
import { type AttentionCase, allows, options } from "../cases/attention.mjs";
import { multiplicity, type PatternCase } from "../cases/patterns.mjs";
import { type AttentionReferenceOptions, attention } from "../reference/attention.js";
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

export async function compare(
  { out, lse }: AttentionPart,
  [q, k, v]: [Values, Values, Values],
  reference: AttentionReferenceOptions,
  dtype: FloatDType,
): Promise<void> {
  const exact = attention(q, k, v, reference);
  const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, `out: ${JSON.stringify(verdict)}`).toBeLessThanOrEqual(verdict.allowed);
  const lseVerdict = judge(await read(lse), exact.lse, naive.lse, "float32", 4);
  expect(lseVerdict.error, `lse: ${JSON.stringify(lseVerdict)}`).toBeLessThanOrEqual(lseVerdict.allowed);
}

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
  await compare({ out, lse }, [q, k, v], reference, dtype);
}

const named = { alibiSlopes: 0.5, sinkLogits: 1 };

export async function checkAttention(c: AttentionCase, dtype: FloatDType): Promise<void> {
  const next = random(c.seqLenQ * 31 + c.seqLenKV * 7 + c.headDim);
  const q = randomValues(next, [c.batch, c.seqLenQ, c.numHeads, c.headDim], dtype);
  const k = randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.headDim], dtype);
  const v = randomValues(next, [c.batch, c.seqLenKV, c.numKVHeads, c.valueDim], dtype);
  const bias = c.bias && randomValues(next, c.bias, "float32");
  const perHead = { alibiSlopes: c.alibi, sinkLogits: c.sinkLogits };
  const extra: Record<string, Float64Array> = {};
  for (const [name, wanted] of Object.entries(perHead))
    if (wanted)
      extra[name] = Float64Array.from({ length: c.numHeads }, (_, h) => named[name as keyof typeof named] / 2 ** h);
  const reference = {
    allows: allows(c),
    scale: Math.fround(c.scale ?? c.headDim ** -0.5),
    ...(c.softcap ? { softcap: c.softcap } : {}),
    ...(bias ? { bias } : {}),
    ...extra,
  };
  const tensors = Object.fromEntries(
    Object.entries(extra).map(([name, values]) => [name, new Tensor("float32", [...values], [c.numHeads])]),
  );
  const given = {
    ...options(c, patterns),
    ...tensors,
    ...(bias ? { bias: tensorOf(bias, "float32") } : {}),
    returnLse: true as const,
  };
  const layout = c.layout ?? "dense";
  const { out, lse }: AttentionPart = flashAttention(
    tensorOf(q, dtype, layout),
    tensorOf(k, dtype, layout),
    tensorOf(v, dtype, layout),
    given,
  );
  expect(out.shape).toEqual([c.batch, c.seqLenQ, c.numHeads, c.valueDim]);
  expect(lse.shape).toEqual([c.batch, c.numHeads, c.seqLenQ]);
  expect(out.dtype).toBe(dtype);
  await compare({ out, lse }, [q, k, v], reference, dtype);
}
