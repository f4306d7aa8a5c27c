// softmax(scale · q kᵀ + …) v, dense and straight from the definition. With a `Precision` it is the naive computation in
// that dtype: scores and probabilities are rounded to it, sums and the softmax are in float32, the output is rounded.
import type { Values } from "../support/tensors.js";

export type Allows = (q: number, kv: number) => boolean;
export interface AttentionReferenceOptions {
  /** Does the query see the key, or how often: as often it counts. */
  allows: (q: number, kv: number, head: number) => boolean | number;
  scale: number;
  softcap?: number;
  alibiSlopes?: Float64Array;
  bias?: Values; // broadcastable to [batch, numHeads, seqLenQ, seqLenKV]
  sinkLogits?: Float64Array;
  queryScale?: (q: number, head: number) => number;
}
export interface Precision {
  dtype: (x: number) => number;
  float32: (x: number) => number;
}
export const exact: Precision = { dtype: (x) => x, float32: (x) => x };

function at({ data, shape }: Values, place: number[]): number {
  let index = 0;
  for (let i = 0; i < shape.length; i++) {
    const n = shape[i] as number;
    index = index * n + (n === 1 ? 0 : (place[4 - shape.length + i] as number));
  }
  return data[index] as number;
}

export function attention(
  q: Values,
  k: Values,
  v: Values,
  options: AttentionReferenceOptions,
  { dtype, float32 }: Precision = exact,
): { out: Float64Array; lse: Float64Array } {
  const [batch, seqLenQ, numHeads, headDim] = q.shape as [number, number, number, number];
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  const lse = new Float64Array(batch * numHeads * seqLenQ);
  const { softcap, alibiSlopes, bias, sinkLogits } = options;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < numHeads; h++)
      for (let i = 0; i < seqLenQ; i++) {
        const kvHead = Math.floor(h / (numHeads / numKVHeads));
        const scores = new Float64Array(seqLenKV).fill(Number.NEGATIVE_INFINITY);
        const queryAt = ((b * seqLenQ + i) * numHeads + h) * headDim;
        let top = sinkLogits ? (sinkLogits[h] as number) : Number.NEGATIVE_INFINITY;
        for (let j = 0; j < seqLenKV; j++) {
          const times = Number(options.allows(i, j, h));
          if (times === 0) continue;
          const keyAt = ((b * seqLenKV + j) * numKVHeads + kvHead) * headDim;
          let s = 0;
          for (let c = 0; c < headDim; c++)
            s = float32(s + float32((q.data[queryAt + c] as number) * (k.data[keyAt + c] as number)));
          s = dtype(s * options.scale * (options.queryScale?.(i, h) ?? 1));
          if (softcap) s = dtype(softcap * Math.tanh(s / softcap));
          if (alibiSlopes) s = dtype(s - (alibiSlopes[h] as number) * Math.abs(i + seqLenKV - seqLenQ - j));
          if (bias) s = dtype(s + at(bias, [b, h, i, j]));
          if (times > 1) s += Math.log(times);
          scores[j] = s;
          top = Math.max(top, s);
        }
        const row = (b * numHeads + h) * seqLenQ + i;
        lse[row] = Number.NEGATIVE_INFINITY;
        if (top === Number.NEGATIVE_INFINITY) continue;
        let sum = sinkLogits ? float32(Math.exp((sinkLogits[h] as number) - top)) : 0;
        const weights = scores.map((s) => (s === Number.NEGATIVE_INFINITY ? 0 : float32(Math.exp(s - top))));
        for (const weight of weights) sum = float32(sum + weight);
        lse[row] = float32(top + Math.log(sum));
        const outAt = (queryAt / headDim) * valueDim;
        for (let j = 0; j < seqLenKV; j++) {
          const p = dtype((weights[j] as number) / sum);
          if (p === 0) continue;
          const valueAt = ((b * seqLenKV + j) * numKVHeads + kvHead) * valueDim;
          for (let c = 0; c < valueDim; c++)
            out[outAt + c] = float32((out[outAt + c] as number) + float32(p * (v.data[valueAt + c] as number)));
        }
        for (let c = 0; c < valueDim; c++) out[outAt + c] = dtype(out[outAt + c] as number);
      }
  return { out, lse };
}
