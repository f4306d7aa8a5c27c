// The linear family, dense and from the formulas. weight(i, j) is what value j counts for query i; with a `Precision` it
// is the naive computation in that dtype: features, weights and the output are rounded to it, sums are in float32.
import type { Values } from "../support/tensors.js";
import { exact, type Precision } from "./attention.js";

export interface Place {
  b: number;
  h: number; // query head
  kv: number;
}
/** The row [dim] of x [batch, seq, heads, dim]. */
export function row({ data, shape }: Values, b: number, i: number, h: number): Float64Array {
  const [, seqLen, heads, dim] = shape as [number, number, number, number];
  const at = ((b * seqLen + i) * heads + h) * dim;
  return data.subarray(at, at + dim);
}
export function dot(a: ArrayLike<number>, b: ArrayLike<number>, { float32 } = exact): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum = float32(sum + float32((a[d] as number) * (b[d] as number)));
  return sum;
}

export type Weights = (place: Place) => (i: number, j: number) => number;

/** out_i = Σ_j weight(i, j) v_j, over the sum of weights + epsilon where `epsilon` is given. */
export function weighted(
  shapeOfQ: readonly number[],
  v: Values,
  options: { sees: (i: number, j: number) => boolean; weights: Weights; epsilon?: number },
  { dtype, float32 }: Precision = exact,
): Float64Array {
  const [batch, seqLenQ, numHeads] = shapeOfQ as [number, number, number, number];
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < numHeads; h++) {
      const kv = Math.floor(h / (numHeads / numKVHeads));
      const weight = options.weights({ b, h, kv });
      for (let i = 0; i < seqLenQ; i++) {
        const at = ((b * seqLenQ + i) * numHeads + h) * valueDim;
        let total = 0;
        for (let j = 0; j < seqLenKV; j++) {
          if (!options.sees(i, j)) continue;
          const w = dtype(weight(i, j));
          const value = row(v, b, j, kv);
          total = float32(total + w);
          for (let c = 0; c < valueDim; c++)
            out[at + c] = float32((out[at + c] as number) + float32(w * (value[c] as number)));
        }
        const divisor = options.epsilon === undefined ? 1 : float32(total + options.epsilon);
        for (let c = 0; c < valueDim; c++) out[at + c] = dtype(divisor === 0 ? 0 : (out[at + c] as number) / divisor);
      }
    }
  return out;
}

export const featureMaps = {
  elu: (x: number) => (x > 0 ? x + 1 : Math.exp(x)),
  relu: (x: number) => Math.max(x, 0),
  identity: (x: number) => x,
};

/** Products of features, each row mapped once. */
export function productsOf(
  q: Values,
  k: Values,
  features: (x: Float64Array, of: "q" | "k") => Float64Array,
  precision: Precision = exact,
): Weights {
  const mapped = (x: Values, b: number, h: number, of: "q" | "k") =>
    Array.from({ length: x.shape[1] as number }, (_, i) => features(row(x, b, i, h), of).map(precision.dtype));
  return ({ b, h, kv }) => {
    const [queries, keys] = [mapped(q, b, h, "q"), mapped(k, b, kv, "k")];
    return (i, j) => dot(queries[i] as Float64Array, keys[j] as Float64Array, precision);
  };
}

/** φ of the Performer: projection [features, headDim], x' = √scale · x. */
export function randomFeatures(
  projection: Values,
  options: { kernel?: "softmax" | "relu" | undefined; hyperbolic?: boolean | undefined; scale: number },
  { float32 }: Precision = exact,
): (x: Float64Array) => Float64Array {
  const [count, dim] = projection.shape as [number, number];
  return (x) => {
    const scaled = x.map((value) => float32(value * Math.sqrt(options.scale)));
    const half = dot(scaled, scaled, { dtype: float32, float32 }) / 2;
    const products = Float64Array.from({ length: count }, (_, f) =>
      dot(projection.data.subarray(f * dim, (f + 1) * dim), scaled, { dtype: float32, float32 }),
    );
    if (options.kernel === "relu") return products.map((p) => Math.max(p, 0) + 1e-3);
    const both = options.hyperbolic ? [...products, ...products.map((p) => -p)] : [...products];
    return Float64Array.from(both, (p) => float32(Math.exp(float32(p - half)) / Math.sqrt(both.length)));
  };
}

/** S = decay ⊙ S + kᵀ v, or with beta S += beta · kᵀ (v − k S); out = q S, step by step. */
export function recurrence(
  q: Values,
  k: Values,
  v: Values,
  options: { scale: number; gates?: Values; beta?: Values },
  { dtype, float32 }: Precision = exact,
): Float64Array {
  const [batch, seqLenQ, numHeads, headDim] = q.shape as [number, number, number, number];
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  const { scale, gates, beta } = options;
  const headOf = (x: Values, h: number) => (x.shape[2] === numHeads ? h : Math.floor(h / (numHeads / numKVHeads)));
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < numHeads; h++) {
      const kv = Math.floor(h / (numHeads / numKVHeads));
      const state = new Float64Array(headDim * valueDim);
      for (let t = Math.min(0, seqLenKV - seqLenQ); t < seqLenKV; t++) {
        const i = t - (seqLenKV - seqLenQ);
        if (t >= 0) {
          const [key, value] = [row(k, b, t, kv), row(v, b, t, kv)];
          const rate = beta ? (row({ ...beta, shape: [...beta.shape, 1] }, b, t, headOf(beta, h))[0] as number) : 1;
          const gate = gates && row(gates, b, t, headOf(gates, h));
          for (let c = 0; c < valueDim; c++) {
            let read = 0;
            for (let d = 0; d < headDim && beta; d++)
              read = float32(read + float32((key[d] as number) * (state[d * valueDim + c] as number)));
            const added = dtype(rate * dtype((value[c] as number) - read));
            for (let d = 0; d < headDim; d++) {
              const kept = gate ? float32(Math.exp(gate[d] as number)) * (state[d * valueDim + c] as number) : 0;
              const old = gate ? float32(kept) : (state[d * valueDim + c] as number);
              state[d * valueDim + c] = float32(old + float32((key[d] as number) * added));
            }
          }
        }
        if (i < 0) continue;
        const query = row(q, b, i, h).map((x) => dtype(x * scale));
        for (let c = 0; c < valueDim; c++) {
          let sum = 0;
          for (let d = 0; d < headDim; d++)
            sum = float32(sum + float32((query[d] as number) * (state[d * valueDim + c] as number)));
          out[((b * seqLenQ + i) * numHeads + h) * valueDim + c] = dtype(sum);
        }
      }
    }
  return out;
}
