// Attention at given distances, dense and from the definition: the score of a pair is q · R(−distance) k in half layout.
// With a Precision, the naive computation in it: the turned query, scores, probabilities and output are rounded.
import type { Values } from "../support/tensors.js";
import { exact, type Precision } from "./attention.js";

export interface RemappedReferenceOptions {
  frequencies: Float64Array;
  distance(i: number, j: number): number | undefined;
  scale: number;
  attentionScale?: number;
}

/** The first 2 · frequencies dims of a head turned by `distance`; the others as they are. */
function turned(x: Float64Array, distance: number, frequencies: Float64Array, size: number): Float64Array {
  const n = frequencies.length;
  return x.map((value, c) => {
    if (c >= 2 * n) return value;
    const angle = distance * (frequencies[c % n] as number);
    const other = c < n ? -(x[c + n] as number) : (x[c - n] as number);
    return size * (value * Math.cos(angle) + other * Math.sin(angle));
  });
}

export function remappedAttention(
  q: Values,
  k: Values,
  v: Values,
  { frequencies, distance, scale, attentionScale = 1 }: RemappedReferenceOptions,
  { dtype, float32 }: Precision = exact,
): Float64Array {
  const [batch, seqLenQ, numHeads, headDim] = q.shape as [number, number, number, number];
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  for (let row = 0; row < batch * seqLenQ * numHeads; row++) {
    const h = row % numHeads;
    const i = Math.floor(row / numHeads) % seqLenQ;
    const b = Math.floor(row / (numHeads * seqLenQ));
    const keyHead = (j: number) => (b * seqLenKV + j) * numKVHeads + Math.floor(h / (numHeads / numKVHeads));
    const query = q.data.subarray(row * headDim, (row + 1) * headDim);
    const scores = Array.from({ length: seqLenKV }, (_, j) => {
      const apart = distance(i + seqLenKV - seqLenQ, j);
      if (apart === undefined) return -Infinity;
      const side = turned(query, apart, frequencies, attentionScale ** 2).map(dtype);
      const key = k.data.subarray(keyHead(j) * headDim, (keyHead(j) + 1) * headDim);
      let sum = 0;
      for (let c = 0; c < headDim; c++) sum = float32(sum + float32((side[c] as number) * (key[c] as number)));
      return dtype(sum * scale);
    });
    const top = Math.max(...scores);
    const weights = scores.map((score) => float32(Math.exp(score - top)));
    const sum = weights.reduce((all, weight) => float32(all + weight), 0);
    for (let c = 0; c < valueDim; c++) {
      let value = 0;
      weights.forEach((weight, j) => {
        if (weight > 0)
          value = float32(value + float32(dtype(weight / sum) * (v.data[keyHead(j) * valueDim + c] as number)));
      });
      out[row * valueDim + c] = dtype(value);
    }
  }
  return out;
}
