import { expect, it } from "vitest";
import { type AttentionPart, flashAttention, Tensor } from "../../lib/index.js";
import { type AttentionCase, allows, attentionCases, options } from "../cases/attention.js";
import { attention } from "../reference/attention.js";
import { judge } from "../support/compare.js";
import { type FloatDType, floatDTypes, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

const named = { alibiSlopes: 0.5, sinkLogits: 1 };

async function check(c: AttentionCase, dtype: FloatDType): Promise<void> {
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
    ...options(c),
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
  const exact = attention(q, k, v, reference);
  const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
  const verdict = judge(await read(out), exact.out, naive.out, dtype);
  expect(verdict.error, `out: ${JSON.stringify(verdict)}`).toBeLessThanOrEqual(verdict.allowed);
  const lseVerdict = judge(await read(lse), exact.lse, naive.lse, "float32", 4);
  expect(lseVerdict.error, `lse: ${JSON.stringify(lseVerdict)}`).toBeLessThanOrEqual(lseVerdict.allowed);
}

describeOnIsa(`flashAttention on ${isa}`, () => {
  for (const c of attentionCases)
    for (const dtype of floatDTypes) it(`${c.name}, ${dtype}`, async () => check(c, dtype));
});
