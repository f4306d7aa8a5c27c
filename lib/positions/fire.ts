// FIRE: Li et al. 2023, "Functional Interpolation for Relative Positions Improves Long Context Transformers". A small MLP of
// the distance relative to the query's own position. With ReLU it is piecewise linear in that one number, so its values at
// the kinks are the whole function: a table that is exact.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";

export interface FireOptions {
  /** [hidden] from the relative distance to the hidden layer. */
  weight1: ArrayLike<number>;
  /** [hidden] */
  bias1: ArrayLike<number>;
  /** [numHeads · hidden], row by row. */
  weight2: ArrayLike<number>;
  /** [numHeads] */
  bias2: ArrayLike<number>;
  /** c of ψ(x) = ln(c x + 1), above 0; 0.1 when training begins. */
  c: number;
  /** L: queries before it are treated as if they were there. */
  threshold: number;
}

export interface Fire {
  numHeads: number;
  /** Relative distances at which the function bends, from 0 to 1. */
  knots: Float64Array;
  /** [numHeads · knots], row by row; between knots the function is linear. */
  values: Float64Array;
  /** ψ(i − j) / ψ(max(i, L)). */
  relative(query: number, key: number): number;
  /** The bias of a pair, key ≤ query. */
  bias(head: number, query: number, key: number): number;
  /** [numHeads · seqLenQ · seqLenKV] for `bias` of flashAttention, the last query at the last key; 0 for later keys. */
  biases(seqLenQ: number, seqLenKV: number): Float64Array;
}

function checkedMlp(op: string, given: Partial<FireOptions>) {
  const list = (name: "weight1" | "bias1" | "weight2" | "bias2", length?: number) => {
    const numbers = Float64Array.from(given[name] ?? []);
    if (numbers.length === 0 || (length !== undefined && numbers.length !== length) || !numbers.every(Number.isFinite))
      wrongArgument(op, name, `${length ?? "some"} numbers`, given[name]);
    return numbers;
  };
  const weight1 = list("weight1");
  const bias2 = list("bias2");
  const [bias1, weight2] = [list("bias1", weight1.length), list("weight2", weight1.length * bias2.length)];
  return { weight1, bias1, weight2, bias2 };
}

/** FIRE's bias f(ψ(i − j) / ψ(max(i, L))), f an MLP with ReLU, tabulated at its kinks. Li et al. 2023, section 3. */
export function fire(options: FireOptions): Fire {
  const op = "positions.fire";
  const given = checkedOptions(op, options, ["weight1", "bias1", "weight2", "bias2", "c", "threshold"]);
  const { weight1, bias1, weight2, bias2 } = checkedMlp(op, given);
  const c = checkedNumber(op, "c", given.c ?? Number.NaN, { min: 0, above: true })!;
  const threshold = checkedNumber(op, "threshold", given.threshold ?? Number.NaN, { min: 0 })!;
  const numHeads = bias2.length;
  const hidden = (x: number) => weight1.map((weight, i) => Math.max(0, weight * x + bias1[i]!));
  const kinks = Array.from(weight1, (weight, i) => -bias1[i]! / weight).filter((x) => x > 0 && x < 1);
  const knots = Float64Array.from(new Set([0, ...kinks, 1])).sort();
  const values = new Float64Array(numHeads * knots.length);
  knots.forEach((knot, at) => {
    const layer = hidden(knot);
    for (let head = 0; head < numHeads; head++)
      values[head * knots.length + at] = layer.reduce(
        (sum, x, i) => sum + x * weight2[head * layer.length + i]!,
        bias2[head]!,
      );
  });
  const at = (head: number, x: number) => {
    let [low, high] = [0, knots.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (knots[middle]! <= x) low = middle;
      else high = middle;
    }
    const share = (x - knots[low]!) / (knots[high]! - knots[low]!);
    return values[head * knots.length + low]! * (1 - share) + values[head * knots.length + high]! * share;
  };
  const relative = (query: number, key: number) => {
    const whole = Math.log1p(c * Math.max(query, threshold));
    return whole > 0 ? Math.log1p(c * Math.max(0, query - key)) / whole : 0;
  };
  const bias = (head: number, query: number, key: number) => at(head, relative(query, key));
  const biases = (seqLenQ: number, seqLenKV: number) => {
    const first = seqLenKV - seqLenQ;
    return Float64Array.from({ length: numHeads * seqLenQ * seqLenKV }, (_, i) => {
      const [key, row] = [i % seqLenKV, Math.floor(i / seqLenKV)];
      const query = first + (row % seqLenQ);
      return key <= query ? bias(Math.floor(row / seqLenQ), query, key) : 0;
    });
  };
  return { numHeads, knots, values, relative, bias, biases };
}
