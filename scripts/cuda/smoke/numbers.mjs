// Reproducible values, tensors of them on a device, and numbers read back.
import { Tensor } from "../../../dist/index.js";

export const floatDTypes = ["float32", "float16", "bfloat16"];
export const layouts = ["dense", "transposed", "sliced", "columns"];
export const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

/** Normal values: mulberry32, Box and Muller. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Beyond `period`, a prime that no row divides, the numbers repeat: making them must not take longer than the ops. */
const period = 65521;
export function randomValues(next, shape, spread = 1) {
  const data = new Float64Array(sizeOf(shape));
  for (let i = 0; i < Math.min(period, data.length); i++) data[i] = spread * next();
  for (let i = period; i < data.length; i += period) data.copyWithin(i, 0, Math.min(period, data.length - i));
  return { shape, data };
}

/** The values with axes a and b exchanged in memory. */
function swapped({ data, shape }, a, b) {
  const newShape = [...shape];
  [newShape[a], newShape[b]] = [shape[b], shape[a]];
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  [strides[a], strides[b]] = [strides[b], strides[a]];
  const out = data.map((_, i) => {
    let from = 0;
    for (let axis = newShape.length - 1, rest = i; axis >= 0; axis--) {
      from += (rest % newShape[axis]) * strides[axis];
      rest = Math.floor(rest / newShape[axis]);
    }
    return data[from];
  });
  return { data: out, shape: newShape };
}

function dense({ data, shape }, dtype, device) {
  const integers = dtype === "int64" ? BigInt64Array.from(data, BigInt) : Array.from(data);
  const given = dtype.includes("int") ? integers : data;
  return new Tensor(dtype, given, shape, { device });
}

/** Within garbage: the values begin at 1 and end 2 before the end of `axis`. */
function padded({ data, shape }, dtype, axis, device) {
  const inner = sizeOf(shape.slice(axis + 1));
  const row = shape[axis] * inner;
  const wide = shape.map((n, i) => (i === axis ? n + 3 : n));
  const all = new Float64Array(sizeOf(wide)).fill(/int/.test(dtype) ? 77 : Number.NaN);
  for (let i = 0; i * row < data.length; i++)
    all.set(data.subarray(i * row, (i + 1) * row), i * (row + 3 * inner) + inner);
  return dense({ data: all, shape: wide }, dtype, device).narrow(axis, 1, shape[axis]);
}

/** A tensor of these values, as the tests lay them out (test/support/tensors.ts). */
export function tensorOn(device, values, dtype, layout = "dense") {
  const rank = values.shape.length;
  if (layout === "sliced" && rank > 0) return padded(values, dtype, Math.max(0, rank - 2), device);
  if (layout === "columns" && rank > 1)
    return dense(swapped(values, 0, rank - 1), dtype, device).transpose(0, rank - 1);
  if (layout === "transposed" && rank > 2)
    return dense(swapped(values, 1, rank - 2 || 1), dtype, device).transpose(1, rank - 2);
  return dense(values, dtype, device);
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);
function bfloat16Value(bits) {
  word[0] = bits << 16;
  return float[0];
}
function float16Value(bits) {
  const [sign, exponent, mantissa] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

const tables = Object.fromEntries(
  Object.entries({ float16: float16Value, bfloat16: bfloat16Value }).map(([dtype, value]) => [
    dtype,
    Float64Array.from({ length: 65536 }, (_, bits) => value(bits)),
  ]),
);

/** What data() gave, as numbers. */
export function numbers(data, dtype) {
  const table = tables[dtype];
  if (dtype === "int64") return Float64Array.from(data, Number);
  const values = new Float64Array(data);
  if (table) for (let i = 0; i < values.length; i++) values[i] = table[data[i]];
  return values;
}

const formats = { float32: { bits: 24, least: -126 }, float16: { bits: 11, least: -14 } };
const bfloat16 = { bits: 8, least: -126 };
/** Distance from |x| to the next number of the dtype. */
export function ulp(dtype, x) {
  const { bits, least } = formats[dtype] ?? bfloat16;
  const exponent = x > 0 ? Math.floor(Math.log2(x)) : least;
  return 2 ** (Math.max(least, exponent) + 1 - bits);
}
