// Weights as Q8_0 and Q4_0 keep them, from the definitions of ggml (quantize_row_q8_0_ref, quantize_row_q4_0_ref): rows
// in blocks of 32, one float16 scale each.
import { round } from "../support/numbers.js";
import type { Values } from "../support/tensors.js";

export type QuantisedDType = "q8_0" | "q4_0";
export const quantisedDTypes: QuantisedDType[] = ["q8_0", "q4_0"];

const { fround, abs, floor, min, sign } = Math;

function block(x: Float64Array, dtype: QuantisedDType): Float64Array {
  const furthest = x.reduce((most, value) => (abs(value) > abs(most) ? value : most), 0);
  const scale = dtype === "q8_0" ? fround(abs(furthest) / 127) : fround(furthest / -8);
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  const kept = round.float16(scale);
  return x.map((value) => {
    const level = fround(fround(value) * inverse);
    if (dtype === "q8_0") return kept * sign(level) * floor(abs(level) + 0.5);
    return kept * (min(15, floor(fround(level + 8.5))) - 8);
  });
}

/** What a weight [outFeatures, inFeatures] is after it was quantised, in the numbers that it then stands for. */
export function quantised({ data, shape }: Values, dtype: QuantisedDType): Values {
  const columns = shape[1] as number;
  const out = new Float64Array(data.length);
  for (let row = 0; row < data.length; row += columns)
    for (let k = 0; k < columns; k += 32)
      out.set(block(Float64Array.from(data.slice(row + k, row + min(columns, k + 32))), dtype), row + k);
  return { data: out, shape };
}
