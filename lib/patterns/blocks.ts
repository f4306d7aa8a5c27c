// Patterns by blocks of queries and keys: from a predicate, a matrix, a tensor, or lists; and masks of single pairs.
import { ArgumentError } from "../errors.js";
import { checkedNumber, checkedOptions, describe } from "../options.js";
import { Tensor, unscoped } from "../tensor.js";
import { Pattern, type PatternLengths, type PatternSpec } from "./pattern.js";

/** What a block of pairs is: none is seen, some are (`causal` or `within` says which), all are. */
export type BlockCover = "none" | "partial" | "full";
export type BlockPredicate = (blockQ: number, blockKV: number) => BlockCover | boolean;

export interface BlocksOptions {
  /** Positions in a block of queries and keys in a block of keys; default 64. */
  blockSize?: number | { q: number; kv: number };
  /**
   * Which blocks: a predicate of block numbers (by position: a query's block is ⌊position / blockSize⌋), a matrix of
   * booleans or of "none" | "partial" | "full", or a tensor [blocks of queries, blocks of keys], not 0 where seen.
   */
  allowed?: BlockPredicate | readonly (readonly (BlockCover | boolean | number)[])[] | Tensor;
  /** Instead of `allowed`, lists (CSR): row r of blocks sees columns[rowStart[r] … rowStart[r + 1]), ascending. */
  rowStart?: readonly number[] | Int32Array;
  columns?: readonly number[] | Int32Array;
  /**
   * Of "partial" blocks a query sees no later key: so if absent, unless `within` says otherwise. Tensors and lists have no
   * partial blocks: there true means that no later key is seen at all.
   */
  causal?: boolean;
  /** Of "partial" blocks (of all blocks of tensors and lists) a query sees what this pattern lets it see. */
  within?: Pattern;
}

const most = 4096 ** 2; // calls of a predicate

interface Lists {
  rowStart: Int32Array;
  columns: Int32Array;
}
function listsOf(rows: readonly (readonly number[])[]): Lists {
  const rowStart = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => {
    rowStart[i + 1] = (rowStart[i] as number) + row.length;
  });
  return { rowStart, columns: Int32Array.from(rows.flat()) };
}

/** The specification of lists of blocks; rows begin with the row `firstRow`. */
export function blockLists(
  { q, kv }: { q: number; kv: number },
  { rowStart, columns }: Lists,
  firstRow = 0,
  within?: PatternSpec,
): PatternSpec {
  return {
    kind: "blocks",
    blockQ: q,
    blockKV: kv,
    firstRow,
    rowStart: new Tensor("int32", rowStart, [rowStart.length], { device: "cpu" }),
    columns: new Tensor("int32", columns, [columns.length], { device: "cpu" }),
    ...(within ? { of: [within] } : {}),
  };
}
export const blockRows = (
  size: { q: number; kv: number },
  rows: readonly (readonly number[])[],
  firstRow = 0,
  within?: PatternSpec,
) => blockLists(size, listsOf(rows), firstRow, within);

function sizesOf(op: string, given: BlocksOptions["blockSize"]): { q: number; kv: number } {
  const rule = { integer: true, min: 1, max: 2 ** 30 };
  const { q, kv } = typeof given === "object" ? given : { q: given ?? 64, kv: given ?? 64 };
  return {
    q: checkedNumber(op, "blockSize", q, rule) as number,
    kv: checkedNumber(op, "blockSize", kv, rule) as number,
  };
}

/** Which rows and columns of blocks a call has: rows from that of the first query's position on. */
export function blockGrid({ q, kv }: { q: number; kv: number }, { seqLenQ, seqLenKV }: PatternLengths) {
  const start = Math.max(seqLenKV - seqLenQ, 0);
  const firstRow = Math.floor(start / q);
  return { firstRow, endRow: Math.ceil((start + seqLenQ) / q), endColumn: Math.ceil(seqLenKV / kv) };
}

function coverOf(value: BlockCover | boolean | number, row: number, column: number): BlockCover {
  if (value === "none" || value === "partial" || value === "full") return value;
  if (typeof value === "boolean" || typeof value === "number") return value ? "full" : "none";
  throw new ArgumentError(
    `blocks: allowed must give "none", "partial", "full" or a boolean, got ${describe(value)} for block (${row}, ${column})`,
    { op: "blocks", argument: "allowed" },
  );
}

function fromPredicate(predicate: BlockPredicate, size: { q: number; kv: number }, within: PatternSpec | undefined) {
  return (lengths: PatternLengths): PatternSpec => {
    const { firstRow, endRow, endColumn } = blockGrid(size, lengths);
    if ((endRow - firstRow) * endColumn > most)
      throw new ArgumentError(
        `blocks: ${endRow - firstRow} by ${endColumn} blocks are too many to ask for one by one; take a larger blockSize or lists`,
        { op: "blocks", argument: "blockSize" },
      );
    const rows: Record<"full" | "partial", number[][]> = { full: [], partial: [] };
    for (let row = firstRow; row < endRow; row++) {
      rows.full.push([]);
      rows.partial.push([]);
      for (let column = 0; column < endColumn; column++) {
        const cover = coverOf(predicate(row, column), row, column);
        if (cover !== "none") (rows[cover].at(-1) as number[]).push(column);
      }
    }
    const whole = blockRows(size, rows.full, firstRow);
    if (rows.partial.every((row) => row.length === 0)) return whole;
    if (!within)
      throw new ArgumentError(
        'blocks: with causal: false a "partial" block needs within, to say which pairs are seen',
        {
          op: "blocks",
          argument: "within",
        },
      );
    return { kind: "union", of: [whole, blockRows(size, rows.partial, firstRow, within)] };
  };
}

function fromMatrix(matrix: readonly (readonly (BlockCover | boolean | number)[])[]): BlockPredicate {
  return (row, column) => {
    const value = matrix[row]?.[column];
    if (value === undefined)
      throw new ArgumentError(`blocks: allowed has no entry for block (${row}, ${column}) of this call`, {
        op: "blocks",
        argument: "allowed",
      });
    return value as BlockCover | boolean;
  };
}

function fromTensor(tensor: Tensor, size: { q: number; kv: number }): (lengths: PatternLengths) => PatternSpec {
  if (tensor.shape.length !== 2)
    throw new ArgumentError(`blocks: allowed must be [blocks of queries, blocks of keys], got [${tensor.shape}]`, {
      op: "blocks",
      argument: "allowed",
    });
  const mask = tensor.dtype === "uint8" ? tensor : unscoped(() => tensor.to("uint8"));
  const [rows, columns] = tensor.shape as [number, number];
  return (lengths) => {
    const { endRow, endColumn } = blockGrid(size, lengths);
    if (endRow > rows || endColumn > columns)
      throw new ArgumentError(
        `blocks: allowed is ${rows} by ${columns} blocks, this call has ${endRow} by ${endColumn}`,
        { op: "blocks", argument: "allowed" },
      );
    return { kind: "elements", mask, blockQ: size.q, blockKV: size.kv };
  };
}

/** Block-sparse attention: blocks of queries see blocks of keys. A pattern for any length its source has an answer for. */
export function blocks(options: BlocksOptions): Pattern {
  const op = "blocks";
  const names = ["blockSize", "allowed", "rowStart", "columns", "causal", "within"];
  const { blockSize, allowed, rowStart, columns, causal, within } = checkedOptions(op, options, names);
  const size = sizesOf(op, blockSize);
  const facts = { title: "block-sparse" };
  if (within !== undefined && !(within instanceof Pattern))
    throw new ArgumentError("blocks: within must be a pattern", { op, argument: "within" });
  const inside = (lengths: PatternLengths): PatternSpec | undefined => {
    const own = within?.spec(lengths);
    if (!causal) return own;
    return own ? { kind: "intersect", of: [own, { kind: "causal" }] } : { kind: "causal" };
  };
  if (rowStart !== undefined || columns !== undefined) {
    if (!rowStart || !columns || allowed !== undefined)
      throw new ArgumentError("blocks: give either allowed, or rowStart and columns", { op, argument: "allowed" });
    const lists = { rowStart: Int32Array.from(rowStart), columns: Int32Array.from(columns) };
    return new Pattern((lengths) => blockLists(size, lists, 0, inside(lengths)), facts);
  }
  if (allowed instanceof Tensor) {
    const mask = fromTensor(allowed, size);
    return new Pattern((lengths) => {
      const limit = inside(lengths);
      return limit ? { kind: "intersect", of: [mask(lengths), limit] } : mask(lengths);
    }, facts);
  }
  const predicate = typeof allowed === "function" ? allowed : Array.isArray(allowed) ? fromMatrix(allowed) : undefined;
  if (!predicate)
    throw new ArgumentError(`blocks: expected a function, a matrix or a tensor for allowed, got ${describe(allowed)}`, {
      op,
      argument: "allowed",
    });
  const partial = (lengths: PatternLengths) =>
    inside(lengths) ?? (causal === undefined ? { kind: "causal" } : undefined);
  return new Pattern((lengths) => fromPredicate(predicate, size, partial(lengths))(lengths), facts);
}

/** Any mask, pair by pair: a predicate of positions (up to 4096² pairs a call), or a tensor [queries, keys], not 0 where seen. */
export function mask(options: { allowed: ((q: number, kv: number) => boolean) | Tensor }): Pattern {
  const { allowed } = checkedOptions("mask", options, ["allowed"]);
  if (typeof allowed !== "function" && !(allowed instanceof Tensor))
    throw new ArgumentError(`mask: expected a function or a tensor for allowed, got ${describe(allowed)}`, {
      op: "mask",
      argument: "allowed",
    });
  if (allowed instanceof Tensor) return blocks({ blockSize: 1, allowed });
  return new Pattern(
    ({ seqLenQ, seqLenKV }) => {
      if (seqLenQ * seqLenKV > most)
        throw new ArgumentError(`mask: ${seqLenQ} by ${seqLenKV} pairs are more than 4096²; take blocks`, {
          op: "mask",
          argument: "allowed",
        });
      const start = Math.max(seqLenKV - seqLenQ, 0);
      const table = new Uint8Array(seqLenQ * seqLenKV);
      for (let q = 0; q < seqLenQ; q++)
        for (let kv = 0; kv < seqLenKV; kv++) table[q * seqLenKV + kv] = allowed(q + start, kv) ? 1 : 0;
      return {
        kind: "elements",
        mask: new Tensor("uint8", table, [seqLenQ, seqLenKV], { device: "cpu" }),
        firstQuery: start,
      };
    },
    { title: "mask" },
  );
}
