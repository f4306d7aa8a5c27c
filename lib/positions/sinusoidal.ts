// Sinusoidal positions: Vaswani et al. 2017, "Attention Is All You Need", section 3.5. Two orders of the columns and two
// spacings of the frequencies exist, and weights trained with one are wrong under another.
import { checkedChoice, checkedNumber, checkedOptions } from "../options.js";

export interface SinusoidalOptions {
  /** Positions, from `offset` on. */
  length: number;
  /** Columns. */
  dim: number;
  /** "interleaved" (the paper): sin, cos, sin, …; "blocks" (tensor2tensor, fairseq, Marian, Pegasus): all sin, then all cos. */
  order?: "interleaved" | "blocks" | undefined;
  /**
   * "paper": frequency k is base^(−2k / dim); "fairseq" (and tensor2tensor): base^(−k / (dim / 2 − 1)), the last exactly
   * 1 / base. "paper" if absent.
   */
  spacing?: "paper" | "fairseq" | undefined;
  /** 10000 if absent. */
  base?: number | undefined;
  /** First position; 0 if absent. */
  offset?: number | undefined;
}

/** [length · dim] row by row: sin and cos of position · frequency. For an odd dim there is one sin more than cos. */
export function sinusoidal(options: SinusoidalOptions): Float64Array {
  const op = "positions.sinusoidal";
  const given = checkedOptions(op, options, ["length", "dim", "order", "spacing", "base", "offset"]);
  const length = checkedNumber(op, "length", given.length ?? Number.NaN, { integer: true, min: 0 })!;
  const dim = checkedNumber(op, "dim", given.dim ?? Number.NaN, { integer: true, min: 1 })!;
  const order = checkedChoice(op, "order", given.order, ["interleaved", "blocks"]) ?? "interleaved";
  const spacing = checkedChoice(op, "spacing", given.spacing, ["paper", "fairseq"]) ?? "paper";
  const base = checkedNumber(op, "base", given.base, { min: 0, above: true }) ?? 10000;
  const offset = checkedNumber(op, "offset", given.offset, { integer: true }) ?? 0;
  const sines = Math.ceil(dim / 2);
  const last = Math.max(1, Math.floor(dim / 2) - 1);
  const frequency = (k: number) => base ** (spacing === "paper" ? (-2 * k) / dim : -k / last);
  const frequencies = Float64Array.from({ length: sines }, (_, k) => frequency(k));
  const table = new Float64Array(length * dim);
  for (let row = 0; row < length; row++)
    for (let column = 0; column < dim; column++) {
      const k = order === "interleaved" ? column >> 1 : column % sines;
      const isSine = order === "interleaved" ? column % 2 === 0 : column < sines;
      const angle = (row + offset) * frequencies[k]!;
      table[row * dim + column] = isSine ? Math.sin(angle) : Math.cos(angle);
    }
  return table;
}
