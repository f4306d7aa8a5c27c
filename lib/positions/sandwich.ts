// Sandwich: Chi et al. 2022, "Dissecting Transformer Length Extrapolation via the Lens of Receptive Field Analysis". The
// inner product of sinusoidal positions as a bias, steeper from head to head; nothing is learned.
import { checkedNumber } from "../options.js";
import { type DistanceOptions, type DistanceTable, distanceTable } from "./distance-table.js";

export interface SandwichOptions extends DistanceOptions {
  /** Width d̄ of the sinusoidal positions; 128 if absent. */
  dim?: number | undefined;
  /** First exponent i of the frequencies 10000^(−2i / d̄): 1 as in the paper's code if absent, 0 for Su's reading. */
  first?: 0 | 1 | undefined;
  /** d̄ / 2 is taken off, so that the bias is 0 at distance 0, which softmax does not see; true if absent. */
  centered?: boolean | undefined;
}

/** Σ_i cos(Δ / 10000^(2i / d̄)), centered, × numHeads / (8 h), h = 1 … numHeads. Chi et al. 2022, section 5. */
export function sandwich(options: SandwichOptions): DistanceTable {
  const op = "positions.sandwich";
  return distanceTable(op, options, ["dim", "first", "centered"], (given, numHeads) => {
    const dim = checkedNumber(op, "dim", given.dim, { integer: true, min: 2 }) ?? 128;
    const first = checkedNumber(op, "first", given.first, { integer: true, min: 0, max: 1 }) ?? 1;
    const pairs = Math.floor(dim / 2);
    const center = (given.centered ?? true) ? pairs : 0;
    const frequencies = Array.from({ length: pairs }, (_, i) => 10000 ** ((-2 * (i + first)) / dim));
    const sums = new Map<number, number>(); // the same for all heads
    const sum = (distance: number) => {
      const known = sums.get(Math.abs(distance));
      if (known !== undefined) return known;
      const fresh = frequencies.reduce((total, frequency) => total + Math.cos(distance * frequency), 0) - center;
      sums.set(Math.abs(distance), fresh);
      return fresh;
    };
    return (head, distance) => (sum(distance) * numHeads) / (8 * (head + 1));
  });
}
