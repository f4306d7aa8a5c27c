// ALiBi: Press et al. 2021, "Train Short, Test Long". No embedding of positions; each head takes slope · distance from its
// logits.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";

export interface AlibiOptions {
  /** Slopes of 2^p heads go from 2^(−maxBias / 2^p) to 2^−maxBias; 8 if absent (alibi_bias_max of MPT, max_alibi_bias). */
  maxBias?: number | undefined;
  /**
   * "paper" adds the bias to the scaled logits. "falcon" gives what has the same effect as Falcon's order, which rounds the
   * slopes to bfloat16, adds the bias first and scales both: slope / √headDim.
   */
  order?: "paper" | "falcon" | undefined;
  /** Needed for "falcon". */
  headDim?: number | undefined;
}

function roundToBFloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0]!;
}

/**
 * [numHeads] slopes, for `alibiSlopes` of flashAttention: of the c = 2^p ≤ numHeads first heads 2^(−maxBias (h + 1) / c), of
 * the rest every second one of 2c heads. Press et al. 2021, section 3.
 */
export function alibiSlopes(numHeads: number, options: AlibiOptions = {}): Float64Array {
  const op = "positions.alibiSlopes";
  checkedNumber(op, "numHeads", numHeads, { integer: true, min: 1 });
  const given = checkedOptions(op, options, ["maxBias", "order", "headDim"]);
  const maxBias = checkedNumber(op, "maxBias", given.maxBias, { min: 0, above: true }) ?? 8;
  if (given.order !== undefined && given.order !== "paper" && given.order !== "falcon")
    wrongArgument(op, "order", '"paper" or "falcon"', given.order);
  const whole = 2 ** Math.floor(Math.log2(numHeads));
  const slopes = Float64Array.from({ length: numHeads }, (_, h) =>
    h < whole ? 2 ** ((-maxBias * (h + 1)) / whole) : 2 ** ((-maxBias * (2 * (h - whole) + 1)) / (2 * whole)),
  );
  if (given.order !== "falcon") return slopes;
  const headDim = checkedNumber(op, "headDim", given.headDim ?? Number.NaN, { integer: true, min: 1 })!;
  return slopes.map((slope) => roundToBFloat16(slope) / Math.sqrt(headDim));
}
