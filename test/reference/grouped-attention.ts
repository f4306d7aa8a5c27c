// Groups of tokens, from their definitions: hashes and nearest centroids, and the paper's balanced clusters.
import type { Values } from "../support/tensors.js";
import { attention, exact, type Precision } from "./attention.js";

type Row = (batch: number, head: number, token: number) => number;
/** One head of one sequence: [1, seqLen, 1, dim]. */
export function headOf({ data, shape }: Values, batch: number, head: number): Values {
  const [, n, heads, dim] = shape as [number, number, number, number];
  const out = new Float64Array(n * dim);
  for (let i = 0; i < n; i++) {
    const from = ((batch * n + i) * heads + head) * dim;
    out.set(data.subarray(from, from + dim), i * dim);
  }
  return { data: out, shape: [1, n, 1, dim] };
}

/** Dense attention, head by head, with a mask of its own each. */
export function attentionPerHead(
  q: Values,
  k: Values,
  v: Values,
  scale: number,
  allows: (batch: number, head: number, i: number, j: number) => boolean,
  precision: Precision = exact,
): { out: Float64Array; lse: Float64Array } {
  const [batch, n, heads] = q.shape as [number, number, number, number];
  const [, , kvHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * n * heads * valueDim);
  const lse = new Float64Array(batch * heads * n);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const own = Math.floor((h * kvHeads) / heads);
      const mask = (i: number, j: number) => allows(b, h, i, j);
      const part = attention(headOf(q, b, h), headOf(k, b, own), headOf(v, b, own), { allows: mask, scale }, precision);
      for (let i = 0; i < n; i++)
        out.set(part.out.subarray(i * valueDim, (i + 1) * valueDim), ((b * n + i) * heads + h) * valueDim);
      lse.set(part.lse, (b * heads + h) * n);
    }
  return { out, lse };
}

function product(x: Values, row: number, direction: ArrayLike<number>): number {
  const dim = x.shape[3] as number;
  let sum = 0;
  for (let d = 0; d < dim; d++) sum += x.data[row * dim + d]! * direction[d]!;
  return sum;
}

/** The nearest of the directions [head][column] for each token; `bothSigns`: −R after R. */
export function nearest(x: Values, directions: number[][][], heads: number, bothSigns: boolean): Row {
  const [, n, own] = x.shape as [number, number, number, number];
  return (b, h, i) => {
    const row = (b * n + i) * own + Math.floor((h * own) / heads);
    const list = directions[Math.floor((h * directions.length) / heads)]!;
    const products = list.map((direction) => product(x, row, direction));
    const all = bothSigns ? [...products, ...products.map((p) => -p)] : products;
    return all.indexOf(Math.max(...all));
  };
}

/** The paper's routing: each cluster's top queries and keys attend each other; means over clusters. */
export function balancedRouting(
  q: Values,
  k: Values,
  v: Values,
  centroids: number[][][],
  options: { windowQ: number; windowKV: number; causal: boolean; scale: number },
  { dtype, float32 }: Precision = exact,
): Float64Array {
  const [batch, n, heads] = q.shape as [number, number, number, number];
  const [, nk, kvHeads, valueDim] = v.shape as [number, number, number, number];
  const out = new Float64Array(batch * n * heads * valueDim);
  const top = (x: Values, direction: number[], window: number) => {
    const length = (i: number) => Math.hypot(...x.data.subarray(i * direction.length, (i + 1) * direction.length));
    const score = Array.from({ length: x.shape[1] as number }, (_, i) => product(x, i, direction) / length(i));
    return new Set(
      score
        .map((_, i) => i)
        .sort((a, b) => score[b]! - score[a]! || a - b)
        .slice(0, window),
    );
  };
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const own = Math.floor((h * kvHeads) / heads);
      const [a, c, d] = [headOf(q, b, h), headOf(k, b, own), headOf(v, b, own)];
      const sum = new Float64Array(n * valueDim);
      const count = new Float64Array(n);
      for (const centroid of centroids[h]!) {
        const [queries, keys] = [top(a, centroid, options.windowQ), top(c, centroid, options.windowKV)];
        const allows = (i: number, j: number) => queries.has(i) && keys.has(j) && (!options.causal || j <= i + nk - n);
        // the mean is rounded once, at its end
        const part = attention(a, c, d, { allows, scale: options.scale }, { dtype: (x) => x, float32 });
        for (let at = 0; at < sum.length; at++) sum[at]! += part.out[at]!;
        for (const i of queries) count[i]!++;
      }
      for (let i = 0; i < n; i++)
        for (let e = 0; e < valueDim; e++)
          out[((b * n + i) * heads + h) * valueDim + e] = dtype(sum[i * valueDim + e]! / Math.max(count[i]!, 1));
    }
  return out;
}
