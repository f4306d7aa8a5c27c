// KERPLE: Chi et al. 2022, "KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation". Two learned numbers
// per head; the power kernel with exponent 1 is ALiBi.
import { checkedChoice, wrongArgument } from "../options.js";
import { type DistanceOptions, type DistanceTable, distanceTable } from "./distance-table.js";

export interface KerpleOptions extends DistanceOptions {
  /** "log": −r1 ln(1 + r2 Δ), the paper's best, if absent; "power": −r1 Δ^r2. */
  kernel?: "log" | "power" | undefined;
  /** [numHeads], above 0. */
  r1: ArrayLike<number>;
  /** [numHeads], above 0; at most 2 for "power". */
  r2: ArrayLike<number>;
}

/** KERPLE's bias by the distance Δ, or its absolute value where later keys are seen. Chi et al. 2022, section 4. */
export function kerple(options: KerpleOptions): DistanceTable {
  const op = "positions.kerple";
  return distanceTable(op, options, ["kernel", "r1", "r2"], (given, numHeads) => {
    const kernel = checkedChoice(op, "kernel", given.kernel, ["log", "power"]) ?? "log";
    const numbers = (name: "r1" | "r2", most: number) => {
      const list = Array.from(given[name] ?? []);
      if (list.length !== numHeads || !list.every((x) => x > 0 && x <= most && Number.isFinite(x)))
        wrongArgument(op, name, `${numHeads} numbers above 0${most < Infinity ? ` and at most ${most}` : ""}`, list);
      return list;
    };
    const r1 = numbers("r1", Infinity);
    const r2 = numbers("r2", kernel === "power" ? 2 : Infinity);
    return kernel === "log"
      ? (head, distance) => -r1[head]! * Math.log1p(r2[head]! * Math.abs(distance))
      : (head, distance) => -r1[head]! * Math.abs(distance) ** r2[head]!;
  });
}
