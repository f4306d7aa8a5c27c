// Biases that depend on the distance of query and key alone, as one table of numbers per head.
import { checkedNumber, checkedOptions } from "../options.js";

export interface DistanceTable {
  numHeads: number;
  /** Distance (query position − key position) of the first column: 0, or −(length − 1) where later keys are seen too. */
  firstDistance: number;
  numDistances: number;
  /** [numHeads · numDistances], row by row: added to the scaled logits. */
  values: Float64Array;
}

export interface DistanceOptions {
  numHeads: number;
  /** Distances 0 … length − 1 (and their negatives). */
  length: number;
  /** Also negative distances, for attention that sees later keys; false if absent. */
  bidirectional?: boolean | undefined;
}
export const distanceOptionNames = ["numHeads", "length", "bidirectional"];

/** Checks the options, and fills a table with `bias` of a head and a distance. */
export function distanceTable<Options extends DistanceOptions>(
  op: string,
  options: Options,
  own: readonly string[],
  bias: (given: Partial<Options>, numHeads: number) => (head: number, distance: number) => number,
): DistanceTable {
  const given = checkedOptions(op, options, [...distanceOptionNames, ...own]);
  const numHeads = checkedNumber(op, "numHeads", given.numHeads ?? Number.NaN, { integer: true, min: 1 })!;
  const length = checkedNumber(op, "length", given.length ?? Number.NaN, { integer: true, min: 1 })!;
  const firstDistance = given.bidirectional ? 1 - length : 0;
  const numDistances = length - firstDistance;
  const of = bias(given, numHeads);
  const values = Float64Array.from({ length: numHeads * numDistances }, (_, at) =>
    of(Math.floor(at / numDistances), (at % numDistances) + firstDistance),
  );
  return { numHeads, firstDistance, numDistances, values };
}
