// Selections: random queries and keys, and attention under what a selection says is visible.
import { flashAttention, type Pattern, type Tensor } from "../../lib/index.js";
import type { Size } from "../cases/select.js";
import { compare } from "./attention.js";
import type { FloatDType } from "./numbers.js";
import { random } from "./random.js";
import { randomValues, tensorOf, type Values } from "./tensors.js";

export function selectInputs(size: Size, dtype: FloatDType = "float32") {
  const { batch = 1, seqLenQ, seqLenKV, numHeads, numKVHeads, headDim } = size;
  const next = random(seqLenQ * 131 + seqLenKV * 7 + headDim);
  const q = randomValues(next, [batch, seqLenQ, numHeads, headDim], dtype, 1.5);
  const [k, v] = [0, 0].map(() => randomValues(next, [batch, seqLenKV, numKVHeads, headDim], dtype)) as [
    Values,
    Values,
  ];
  return { q, k, v };
}

/** Attention is dense attention under `visible`; one sequence. */
export async function checkVisible(pattern: Pattern, { q, k, v }: ReturnType<typeof selectInputs>): Promise<void> {
  const tensors = [q, k, v].map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
  const part = flashAttention(...tensors, { pattern, returnLse: true });
  const [, seqLenQ, numHeads, headDim] = q.shape as [number, number, number, number];
  const seqLenKV = k.shape[1] as number;
  const seen = Uint8Array.from({ length: numHeads * seqLenQ * seqLenKV }, (_, at) => {
    const [i, j] = [Math.floor(at / seqLenKV) % seqLenQ, at % seqLenKV];
    return Number(pattern.visible(i, j, { seqLenQ, seqLenKV, head: Math.floor(at / (seqLenQ * seqLenKV)) }));
  });
  const allows = (i: number, j: number, head: number) => seen[(head * seqLenQ + i) * seqLenKV + j] as number;
  await compare(part, [q, k, v], { allows, scale: Math.fround(headDim ** -0.5) }, "float32");
}
