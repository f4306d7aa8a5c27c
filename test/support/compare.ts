// The error rule: a kernel's largest error against float64 is at most twice that of a naive computation in the same
// precision, plus half an ulp of the output. `floor` allows what a naive run gets exactly right by luck.
import { type FloatDType, ulp } from "./numbers.js";

export function largest(values: Float64Array): number {
  let most = 0;
  for (const x of values) if (Number.isFinite(x)) most = Math.max(most, Math.abs(x));
  return most;
}

/** Largest |a − b|; infinities and NaN must be the same on both sides. */
export function distance(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    if (Object.is(x, y) || x === y) continue;
    const d = Math.abs(x - y);
    if (!(d <= most)) most = d;
    if (Number.isNaN(d)) return Number.POSITIVE_INFINITY;
  }
  return most;
}

export interface Verdict {
  error: number;
  allowed: number;
}
export function judge(
  actual: Float64Array,
  exact: Float64Array,
  naive: Float64Array,
  dtype: FloatDType,
  floor = 2,
): Verdict {
  const scale = largest(exact);
  return {
    error: distance(actual, exact),
    allowed: 2 * distance(naive, exact) + ulp(dtype, scale) / 2 + floor * ulp("float32", scale),
  };
}
