// The other ops, dense and from their definitions. `f` rounds every intermediate: the identity for float64,
// Math.fround for the naive float32 computation.
import type { Values } from "../support/tensors.js";

export type Round = (x: number) => number;
const last = (x: Values) => x.shape.at(-1) as number;
const rows = (x: Values) => (last(x) === 0 ? 0 : x.data.length / last(x));
const like = (x: Values, data: Float64Array): Values => ({ data, shape: x.shape });

function perRow(x: Values, f: (row: Float64Array, r: number) => ArrayLike<number>): Values {
  const n = last(x);
  const out = new Float64Array(x.data.length);
  for (let r = 0; r < rows(x); r++) out.set(f(x.data.subarray(r * n, (r + 1) * n), r) as number[], r * n);
  return like(x, out);
}
const sum = (values: Iterable<number>, f: Round) => {
  let total = 0;
  for (const value of values) total = f(total + value);
  return total;
};

interface Norm {
  weight?: Values | undefined;
  bias?: Values | undefined;
  epsilon: number;
}
export function rmsNorm(x: Values, { weight, epsilon }: Norm, f: Round): Values {
  return perRow(x, (row) => {
    const scale = f(
      1 /
        Math.sqrt(
          f(
            sum(
              row.map((a) => f(a * a)),
              f,
            ) / row.length,
          ) + epsilon,
        ),
    );
    return row.map((a, i) => f(f(a * scale) * (weight?.data[i] ?? 1)));
  });
}

export function layerNorm(x: Values, { weight, bias, epsilon }: Norm, f: Round): Values {
  return perRow(x, (row) => {
    const mean = f(sum(row, f) / row.length);
    const variance = f(
      sum(
        row.map((a) => f((a - mean) ** 2)),
        f,
      ) / row.length,
    );
    const scale = f(1 / Math.sqrt(variance + epsilon));
    return row.map((a, i) => f(f(f(a - mean) * scale) * (weight?.data[i] ?? 1) + (bias?.data[i] ?? 0)));
  });
}

export interface RopeOptions {
  positions: ArrayLike<number>; // [seqLen] or [batch, seqLen]
  frequencies: ArrayLike<number>;
  attentionScale?: number;
  layout: "half" | "interleaved";
}
export function rope(x: Values, { positions, frequencies, attentionScale = 1, layout }: RopeOptions, f: Round): Values {
  const [batch, seqLen, numHeads, headDim] = x.shape as [number, number, number, number];
  const pairs = frequencies.length;
  const out = Float64Array.from(x.data);
  for (let token = 0; token < batch * seqLen; token++) {
    const position = positions[positions.length === seqLen ? token % seqLen : token] as number;
    for (let h = 0; h < numHeads; h++)
      for (let p = 0; p < pairs; p++) {
        const [i, j] = layout === "half" ? [p, p + pairs] : [2 * p, 2 * p + 1];
        const at = (token * numHeads + h) * headDim;
        const [a, b] = [x.data[at + i] as number, x.data[at + j] as number];
        const angle = position * (frequencies[p] as number);
        const [cos, sin] = [f(attentionScale * Math.cos(angle)), f(attentionScale * Math.sin(angle))];
        out[at + i] = f(f(a * cos) - f(b * sin));
        out[at + j] = f(f(b * cos) + f(a * sin));
      }
  }
  return like(x, out);
}

// Abramowitz & Stegun 7.1.26 is too coarse: the series near 0, the continued fraction beyond.
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let term = a;
    let total = a;
    for (let n = 1; n < 120; n++) {
      term *= (-a * a) / n;
      total += term / (2 * n + 1);
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}
export const activations: Record<string, (x: number) => number> = {
  none: (x) => x,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  geluTanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x) => Math.max(0, x),
};

export function gatedActivation(gate: Values, up: Values | undefined, activation: string, f: Round): Values {
  const act = activations[activation] as Round;
  return like(
    gate,
    gate.data.map((x, i) => f(f(act(x)) * (up ? (up.data[i] as number) : 1))),
  );
}

interface Product {
  bias?: Values | undefined;
  residual?: Values | undefined;
  activation?: string;
}
/** a [..., m, k] times b [n, k] transposed. */
export function product(a: Values, b: Values, { bias, residual, activation = "none" }: Product, f: Round): Values {
  const k = last(a);
  const n = b.shape[0] as number;
  const m = a.shape.slice(0, -1).reduce((x, y) => x * y, 1);
  const act = activations[activation] as Round;
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let total = 0;
      for (let c = 0; c < k; c++) total = f(total + f((a.data[i * k + c] as number) * (b.data[j * k + c] as number)));
      const value = f(act(f(total + (bias ? (bias.data[j] as number) : 0))));
      out[i * n + j] = f(value + (residual ? (residual.data[i * n + j] as number) : 0));
    }
  return { data: out, shape: [...a.shape.slice(0, -1), n] };
}

function logSumExp(row: Float64Array, f: Round): number {
  const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (top === Number.NEGATIVE_INFINITY) return top;
  return f(
    top +
      f(
        Math.log(
          sum(
            row.map((x) => f(Math.exp(f(x - top)))),
            f,
          ),
        ),
      ),
  );
}
export function softmax(x: Values, f: Round): Values {
  return perRow(x, (row) => {
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = row.map((a) => f(Math.exp(f(a - top))));
    const total = sum(powers, f);
    return powers.map((p) => f(p / total));
  });
}
export function nll(logits: Values, targets: ArrayLike<number>, f: Round): Values {
  const n = last(logits);
  const data = Float64Array.from({ length: rows(logits) }, (_, r) => {
    const row = logits.data.subarray(r * n, (r + 1) * n);
    return f(logSumExp(row, f) - (row[targets[r] as number] as number));
  });
  return { data, shape: [rows(logits)] };
}

/** Descending; of equals the lower index first, NaN last. */
export function topK(x: Values, k: number): { values: Float64Array; indices: Float64Array } {
  const n = last(x);
  const values: number[] = [];
  const indices: number[] = [];
  const key = (a: number) => (Number.isNaN(a) ? Number.NEGATIVE_INFINITY : a);
  for (let r = 0; r < rows(x); r++) {
    const row = [...x.data.subarray(r * n, (r + 1) * n)];
    const order = row
      .map((_, i) => i)
      .sort((i, j) => {
        const [a, b] = [row[i] as number, row[j] as number];
        return (
          Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || (key(a) === key(b) ? i - j : key(b) > key(a) ? 1 : -1)
        );
      });
    for (const i of order.slice(0, k)) {
      indices.push(i);
      values.push(row[i] as number);
    }
  }
  return { values: Float64Array.from(values), indices: Float64Array.from(indices) };
}

export function embedding(ids: ArrayLike<number>, weight: Values): Values {
  const width = last(weight);
  const data = new Float64Array(ids.length * width);
  for (let i = 0; i < ids.length; i++)
    data.set(weight.data.subarray((ids[i] as number) * width, ((ids[i] as number) + 1) * width), i * width);
  return { data, shape: [ids.length, width] };
}

export function binary(a: Values, b: Values, operation: "add" | "multiply", f: Round): Values {
  const rank = Math.max(a.shape.length, b.shape.length);
  const wide = (x: Values) => [...Array<number>(rank - x.shape.length).fill(1), ...x.shape];
  const [p, q] = [wide(a), wide(b)];
  const shape = p.map((n, i) => (n === 1 ? (q[i] as number) : n));
  const size = shape.reduce((x, y) => x * y, 1);
  const place = (own: number[], i: number) => {
    let [index, step, rest] = [0, 1, i];
    for (let axis = rank - 1; axis >= 0; axis--) {
      const n = own[axis] as number;
      if (n !== 1) index += (rest % n) * step;
      step *= n;
      rest = Math.floor(rest / (shape[axis] as number));
    }
    return index;
  };
  const data = Float64Array.from({ length: size }, (_, i) => {
    const [x, y] = [a.data[place(p, i)] as number, b.data[place(q, i)] as number];
    return f(operation === "add" ? x + y : x * y);
  });
  return { data, shape };
}
