// Tensors for tests: random values that the dtype holds exactly, dense or as views of larger or transposed memory.
import { type DType, Tensor } from "../../lib/index.js";
import { type FloatDType, round, values } from "./numbers.js";
import { normal, type Random } from "./random.js";

/** Numbers in row-major order and their shape: what references work on. */
export interface Values {
  data: Float64Array;
  shape: readonly number[];
}
/** How the memory behind the same numbers lies. */
export type Layout = "dense" | "transposed" | "sliced" | "columns";
export const layouts: Layout[] = ["dense", "transposed", "sliced", "columns"];

export const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export function randomValues(next: Random, shape: readonly number[], dtype: FloatDType, spread = 1): Values {
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, () => round[dtype](spread * normal(next))) };
}

/** values[..., i, ..., j, ...] with axes a and b exchanged. */
export function swapped({ data, shape }: Values, a: number, b: number): Values {
  const newShape = [...shape];
  [newShape[a], newShape[b]] = [shape[b] as number, shape[a] as number];
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  [strides[a], strides[b]] = [strides[b] as number, strides[a] as number];
  const out = new Float64Array(data.length);
  for (let i = 0; i < out.length; i++) {
    let from = 0;
    for (let axis = newShape.length - 1, rest = i; axis >= 0; axis--) {
      from += (rest % (newShape[axis] as number)) * (strides[axis] as number);
      rest = Math.floor(rest / (newShape[axis] as number));
    }
    out[i] = data[from] as number;
  }
  return { data: out, shape: newShape };
}

function dense({ data, shape }: Values, dtype: DType): Tensor {
  return new Tensor(dtype, dtype === "int64" ? BigInt64Array.from(data, BigInt) : [...data], shape);
}

/** Within garbage: the values begin at 1 and end 2 before the end of `axis`. */
function padded(given: Values, dtype: DType, axis: number): Tensor {
  const extent = given.shape[axis] as number;
  const inner = sizeOf(given.shape.slice(axis + 1));
  const shape = given.shape.map((n, i) => (i === axis ? n + 3 : n));
  const data = new Float64Array(sizeOf(shape)).fill(dtype.startsWith("int") ? 77 : Number.NaN);
  for (let row = 0; row * extent * inner < given.data.length; row++)
    data.set(given.data.subarray(row * extent * inner, (row + 1) * extent * inner), (row * (extent + 3) + 1) * inner);
  return dense({ data, shape }, dtype).narrow(axis, 1, extent);
}

/** A tensor of these values; `columns` makes the last axis strided, `transposed` exchanges two of the others. */
export function tensorOf(given: Values, dtype: DType, layout: Layout = "dense"): Tensor {
  const rank = given.shape.length;
  if (layout === "sliced" && rank > 0) return padded(given, dtype, Math.max(0, rank - 2));
  if (layout === "columns" && rank > 1) return dense(swapped(given, 0, rank - 1), dtype).transpose(0, rank - 1);
  if (layout === "transposed" && rank > 2) return dense(swapped(given, 1, rank - 2 || 1), dtype).transpose(1, rank - 2);
  return dense(given, dtype);
}

export async function read(tensor: Tensor): Promise<Float64Array> {
  return values(await tensor.data(), tensor.dtype);
}
