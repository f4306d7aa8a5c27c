// Learned absolute positions: a table with a row for each position (GPT-2, BERT, OPT, RoBERTa), and the ways to stretch it.
import { ArgumentError } from "../errors.js";
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";

export interface LearnedOptions {
  /** Rows of the table. */
  tableLength: number;
  /** What a model adds to a position before the look-up: 0 in GPT-2 and BERT, 2 in OPT, BART and RoBERTa. */
  offset?: number | undefined;
  /** First position; 0 if absent. */
  start?: number | undefined;
  /** RoBERTa: positions count tokens that are not padding (true); padding itself gets row offset − 1. */
  mask?: readonly (boolean | number)[] | undefined;
}

/** [length] rows of a learned table. One beyond the table is an ArgumentError, never a row that wraps around. */
export function learnedRows(length: number, options: LearnedOptions): Int32Array {
  const op = "positions.learnedRows";
  const given = checkedOptions(op, options, ["tableLength", "offset", "start", "mask"]);
  const count = checkedNumber(op, "length", length, { integer: true, min: 0 })!;
  const tableLength = checkedNumber(op, "tableLength", given.tableLength ?? Number.NaN, { integer: true, min: 1 })!;
  const offset = checkedNumber(op, "offset", given.offset, { integer: true, min: 0 }) ?? 0;
  let next = offset + (checkedNumber(op, "start", given.start, { integer: true, min: 0 }) ?? 0);
  const { mask } = given;
  if (mask && mask.length !== count) wrongArgument(op, "mask", `a list of ${count}`, mask);
  const rows = Int32Array.from({ length: count }, (_, i) => (!mask || mask[i] ? next++ : Math.max(0, offset - 1)));
  if (next <= tableLength) return rows;
  const message = `${op}: position ${next - 1 - offset} has no row in a table of ${tableLength} with offset ${offset}`;
  throw new ArgumentError(message, { op, argument: "length" });
}

function checkedTable(op: string, table: ArrayLike<number>, dim: number): number {
  checkedNumber(op, "dim", dim, { integer: true, min: 1 });
  const rows = table.length / dim;
  if (!Number.isInteger(rows) || rows < 1) wrongArgument(op, "table", `rows of dim = ${dim}`, table);
  return rows;
}

/**
 * A table [rows · dim] stretched (or squeezed) to `length` rows: first and last stay, those between are interpolated
 * linearly. Needs fine-tuning.
 */
export function resampled(table: ArrayLike<number>, dim: number, length: number): Float64Array {
  const op = "positions.resampled";
  const rows = checkedTable(op, table, dim);
  checkedNumber(op, "length", length, { integer: true, min: 1 });
  const step = length > 1 ? (rows - 1) / (length - 1) : 0;
  return Float64Array.from({ length: length * dim }, (_, at) => {
    const [row, column] = [Math.floor(at / dim), at % dim];
    const below = Math.min(Math.floor(row * step), Math.max(0, rows - 2));
    const share = row * step - below;
    const upper = Math.min(below + 1, rows - 1);
    return table[below * dim + column]! * (1 - share) + table[upper * dim + column]! * share;
  });
}

/**
 * A table [n · dim] extended to `length` ≤ n² rows without training: row i·n + j is α u_i + (1 − α) u_j, with u chosen so
 * that the first n rows stay as they are. Su 2020, "hierarchical position encoding", α = 0.4.
 */
export function hierarchical(table: ArrayLike<number>, dim: number, length: number, alpha = 0.4): Float64Array {
  const op = "positions.hierarchical";
  const rows = checkedTable(op, table, dim);
  checkedNumber(op, "length", length, { integer: true, min: 1, max: rows * rows });
  checkedNumber(op, "alpha", alpha, { min: 0, above: true, max: 1 });
  if (alpha === 1) wrongArgument(op, "alpha", "a number below 1", alpha);
  const base = (row: number, column: number) => (table[row * dim + column]! - alpha * table[column]!) / (1 - alpha);
  return Float64Array.from({ length: length * dim }, (_, at) => {
    const [row, column] = [Math.floor(at / dim), at % dim];
    return alpha * base(Math.floor(row / rows), column) + (1 - alpha) * base(row % rows, column);
  });
}
