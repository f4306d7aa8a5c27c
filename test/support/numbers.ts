// Dtypes in JavaScript's doubles: rounding to nearest even, bits, and the distance between neighbours.
import type { DType, TypedArray } from "../../lib/index.js";

export type FloatDType = "float32" | "float16" | "bfloat16";
export const floatDTypes: FloatDType[] = ["float32", "float16", "bfloat16"];
type Round = (x: number) => number;

const formats = {
  float32: { bits: 24, least: -126, largest: (2 - 2 ** -23) * 2 ** 127 },
  float16: { bits: 11, least: -14, largest: 65504 },
  bfloat16: { bits: 8, least: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
};

const double = new Float64Array(1);
const [low, high] = [0, 1]; // of its two words
const words = new Uint32Array(double.buffer);

/** Distance from |x| to its next larger neighbour; by exponents, since references round each number that they make. */
export function ulp(dtype: FloatDType, x: number): number {
  const { bits, least } = formats[dtype];
  double[0] = x;
  const exponent = Math.max(least, (((words[high] as number) >>> 20) & 2047) - 1023);
  words[low] = 0;
  words[high] = (exponent + 1 - bits + 1023) << 20;
  return double[0] as number;
}

function roundTo(dtype: FloatDType): Round {
  if (dtype === "float32") return Math.fround;
  const { largest } = formats[dtype];
  return (x) => {
    if (!Number.isFinite(x) || x === 0) return x;
    const step = ulp(dtype, x);
    const steps = x / step; // exact: a power of two
    const floor = Math.floor(steps);
    const rest = steps - floor;
    const nearest = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
    const value = nearest === 0 ? x * 0 : nearest * step; // keeps the sign
    return Math.abs(value) > largest ? Math.sign(x) * Number.POSITIVE_INFINITY : value;
  };
}
export const round: Record<FloatDType, Round> = {
  float32: roundTo("float32"),
  float16: roundTo("float16"),
  bfloat16: roundTo("bfloat16"),
};

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

function bfloat16Value(bits: number): number {
  word[0] = bits << 16;
  return float[0] as number;
}

function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

/** What data() gave, as numbers. */
export function values(data: TypedArray, dtype: DType): Float64Array {
  if (dtype === "float16") return Float64Array.from(data as Uint16Array, float16Value);
  if (dtype === "bfloat16") return Float64Array.from(data as Uint16Array, bfloat16Value);
  if (dtype === "int64") return Float64Array.from(data as BigInt64Array, Number);
  return Float64Array.from(data as Float32Array);
}

/** The inputs of the reference vectors: x ← (1664525 x + 1013904223) mod 2³², value −1 + 2x / 2³². */
export function vectorInputs(seed: number, count: number): number[] {
  let x = seed >>> 0;
  return Array.from({ length: count }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return -1 + (2 * x) / 2 ** 32;
  });
}
