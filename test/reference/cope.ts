// Contextual position embedding, dense and from the definition. With a Precision, the naive computation in it.
import type { Values } from "../support/tensors.js";
import { exact, type Precision } from "./attention.js";

export interface CopeFactors {
  scale: number;
  gateScale: number;
  positionScale: number;
}

/** embeddings [numHeads, positions, headDim]. gates, positions and terms are those of the last row computed. */
export function copeAttention(
  q: Values,
  k: Values,
  v: Values,
  embeddings: Values,
  { scale, gateScale, positionScale }: CopeFactors,
  { dtype, float32 }: Precision = exact,
) {
  const [batch, seqLenQ, numHeads, headDim] = q.shape as [number, number, number, number];
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as [number, number, number, number];
  const positions = embeddings.shape[1] as number;
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  const terms: number[][] = [];
  for (let row = 0; row < batch * seqLenQ * numHeads; row++) {
    const h = row % numHeads;
    const i = Math.floor(row / numHeads) % seqLenQ;
    const b = Math.floor(row / (numHeads * seqLenQ));
    const keyRow = (j: number) => (b * seqLenKV + j) * numKVHeads + Math.floor(h / (numHeads / numKVHeads));
    const product = ({ data }: Values, at: number) => {
      let sum = 0;
      for (let c = 0; c < headDim; c++)
        sum = float32(sum + float32((q.data[row * headDim + c] as number) * (data[at * headDim + c] as number)));
      return sum;
    };
    const last = i + seqLenKV - seqLenQ;
    const scores = new Float64Array(seqLenKV).fill(-Infinity);
    terms.push(Array<number>(seqLenKV).fill(0));
    let position = 0;
    for (let j = last; j >= 0; j--) {
      const content = dtype(product(k, keyRow(j)));
      position = float32(position + dtype(1 / (1 + Math.exp(-content * gateScale))));
      const place = Math.min(position, positions - 1);
      const share = place - Math.floor(place);
      const embedded = (n: number) => dtype(product(embeddings, h * positions + n));
      const term = embedded(Math.floor(place)) * (1 - share) + embedded(Math.ceil(place)) * share;
      terms[row]![j] = term;
      scores[j] = dtype(content * scale + dtype(term) * positionScale);
    }
    const top = Math.max(...scores);
    if (top === -Infinity) continue;
    const weights = scores.map((score) => float32(Math.exp(score - top)));
    const sum = weights.reduce((all, weight) => float32(all + weight), 0);
    for (let c = 0; c < valueDim; c++) {
      let value = 0;
      weights.forEach((weight, j) => {
        value = float32(value + float32(dtype(weight / sum) * (v.data[keyRow(j) * valueDim + c] as number)));
      });
      out[row * valueDim + c] = dtype(value);
    }
  }
  return { out, terms };
}
