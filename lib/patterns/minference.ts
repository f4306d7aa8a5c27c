// MInference's heads: block-sparse and vertical-slash. Its third kind of head is patterns.aShape.
import { native } from "../binding.js";
import { wrongArgument } from "../options.js";
import { Tensor, unscoped } from "../tensor.js";
import { spansOf } from "./global.js";
import { Pattern, type PatternSpec } from "./pattern.js";
import { blockSelector, causalSpec, chosenBlocks, count, countOrNone, parameters, Selector } from "./select.js";

export interface MinferenceBlocksOptions {
  /** Positions in a block of queries and of keys; 64 if absent. */
  blockSize?: number;
  /** Blocks of keys that a block of queries sees; 100 if absent. */
  topK?: number;
  /** No later key; true if absent. */
  causal?: boolean;
}
/**
 * A block-sparse head (Jiang et al. 2024, MInference): a block of queries sees the topK blocks of keys with the highest
 * mean(q of the block) · mean(k of the block), none of the future, among equals the earlier. For the prefill of long
 * prompts; which heads are of this kind is found by a search over a model's heads (patterns.perHead).
 */
export function minferenceBlocks(options: MinferenceBlocksOptions = {}): Selector {
  const given = parameters("minferenceBlocks", options, { blockSize: count, topK: count }, ["causal"]);
  const { blockSize = 64, causal = true } = given;
  const grid = { blockQ: blockSize, blockKV: blockSize, causal };
  return blockSelector("block-sparse (MInference)", (q, k) => native.selectMinferenceBlocks(q, k, given), grid);
}

export interface VerticalSlashOptions {
  /** Columns, the forced ones among them; 1000 if absent. */
  vertical?: number;
  /** Diagonals, the forced ones among them; 6096 if absent. */
  slash?: number;
  /** Last queries whose attention is looked at, up to 1024; 64 if absent. */
  lastQueries?: number;
  /** First columns, always seen; 30 if absent. */
  firstColumns?: number;
  /** Nearest diagonals, always seen; 100 if absent. */
  nearDiagonals?: number;
  /** Diagonals are rounded out to blocks of so many positions; 64 if absent, 1 for none. */
  blockSize?: number;
  /** Factor on q·k; headDim ** −0.5 if absent. */
  scale?: number;
}
/** Lines that are known already. */
export interface VerticalSlashLines {
  /** Keys that all later queries see. */
  columns: readonly number[];
  /** Distances before a query: 0 is its own key. */
  offsets: readonly number[];
  /** Diagonals are rounded out to blocks of so many positions; 1 if absent: exactly. */
  blockSize?: number;
}

const title = "vertical-slash (MInference)";
const lines = (columns: PatternSpec, diagonals: PatternSpec): PatternSpec => ({
  kind: "intersect",
  of: [{ kind: "union", of: [columns, diagonals] }, causalSpec],
});

function fromLines({ columns, offsets, blockSize = 1 }: VerticalSlashLines): Pattern {
  const op = "verticalSlash";
  if (!Array.isArray(columns)) wrongArgument(op, "columns", "a list of keys", columns);
  if (!Array.isArray(offsets) || !offsets.every((x) => Number.isSafeInteger(x) && x >= 0 && x <= 2 ** 30))
    wrongArgument(op, "offsets", "a list of integers from 0 on", offsets);
  const sorted = Int32Array.from(new Set(offsets)).sort();
  const list = unscoped(() => new Tensor("int32", sorted, [1, 1, 1, sorted.length], { device: "cpu" }));
  const vertical = { kind: "keys", bounds: spansOf(op, columns, "columns") };
  return new Pattern(lines(vertical, { kind: "diagonals", columns: list, size: blockSize }), { title });
}

/**
 * A vertical-slash head (Jiang et al. 2024, MInference): a query sees the keys of `columns`, and those at one of the
 * distances `offsets`, none of the future.
 *
 * Without lists, for each query head: A = softmax(scale · q kᵀ), causal, of the last `lastQueries` queries; the columns
 * with the largest sums of A, the first `firstColumns` in any case, max(vertical, firstColumns) in all; the diagonals with
 * the largest sums, the `nearDiagonals` nearest in any case, max(slash, nearDiagonals) in all; among equals the lower.
 * Diagonals are rounded out to blocks of 64 positions as the paper's kernels do (a block of queries sees the blocks of
 * keys that its diagonals touch), columns are exact: a superset of the chosen lines; blockSize: 1 is the lines alone.
 * With lists the lines are exact unless blockSize is given. For the prefill of long prompts.
 */
export function verticalSlash(options: VerticalSlashLines): Pattern;
export function verticalSlash(options?: VerticalSlashOptions): Selector;
export function verticalSlash(options: VerticalSlashOptions | VerticalSlashLines = {}): Selector | Pattern {
  const op = "verticalSlash";
  if ("columns" in options || "offsets" in options) {
    const { columns, offsets, ...rest } = options as VerticalSlashLines;
    return fromLines({ columns, offsets, ...parameters(op, rest, { blockSize: count }) });
  }
  const rules = {
    vertical: countOrNone,
    slash: countOrNone,
    lastQueries: { ...count, max: 1024 },
    firstColumns: countOrNone,
    nearDiagonals: countOrNone,
    blockSize: count,
    scale: {},
  };
  const { blockSize = 64, ...given } = parameters(op, options as VerticalSlashOptions, rules);
  return new Selector(title, (q, k) => {
    const { columns, offsets } = native.selectVerticalSlash(q, k, given);
    const all = { blockQ: 2 ** 30, blockKV: 1, base: 0 };
    const diagonals = { kind: "diagonals", columns: offsets, size: blockSize };
    return { lists: offsets, spec: lines(chosenBlocks(columns, all, false), diagonals) };
  });
}
