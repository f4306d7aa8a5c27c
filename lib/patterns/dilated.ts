// Every n-th key: LongNet's dilated attention, dilated windows, Sparse Transformer.
import { ArgumentError } from "../errors.js";
import { checkedOptions } from "../options.js";
import { Pattern, type PatternSpec } from "./pattern.js";

export interface DilatedOptions {
  /** Segment lengths w, each dividing the next longer one; the paper's are 2048, 4096, 8192, 16384, 32768. */
  segments: readonly number[];
  /** Dilation r of each; the paper's are 1, 2, 4, 6, 12. */
  rates: readonly number[];
  /** No later key; false if absent. */
  causal?: boolean;
  /**
   * Which rows a head takes of a segment: those at h mod r ("mod", the paper), or at ⌊h / ⌈H / r⌉⌋ ("block", torchscale).
   * Weights trained with one are wrong under the other.
   */
  headOffset?: "mod" | "block";
  /**
   * torchscale's segments, for weights trained with it: they are filled up to whole segments and whole rates with keys
   * and values of zeros, which take weight where attention is not causal. With headOffset "block" that is its function
   * but for one thing: it takes a row whose sum of exponentials is exactly 1 for an empty one. False if absent.
   */
  zeroPadding?: boolean;
}
/**
 * Dilated attention (Ding et al. 2023, LongNet): for each (w, r), the positions of a segment of w at every r-th place see
 * each other; the outputs are mixed by their sums of exponentials, so that a pair that c branches hold counts c times
 * (bias log c; `multiplicity`). A segment longer than the sequence is the sequence; the last segment may be shorter.
 */
export function dilated(options: DilatedOptions): Pattern {
  const names = ["segments", "rates", "causal", "headOffset", "zeroPadding"];
  const {
    segments,
    rates,
    causal = false,
    headOffset = "mod",
    zeroPadding = false,
  } = checkedOptions("dilated", options, names) as DilatedOptions;
  if (!Array.isArray(segments) || !Array.isArray(rates))
    throw new ArgumentError("dilated: segments and rates must be lists of numbers", {
      op: "dilated",
      argument: Array.isArray(segments) ? "rates" : "segments",
    });
  return new Pattern(
    { kind: "longnet", segments: [...segments], rates: [...rates], causal, headOffset, zeroPadding },
    { title: "dilated (LongNet)" },
  );
}

export interface DilatedWindowOptions {
  /** Distance from a visible key to the next. */
  rate: number;
  /** Visible keys before the own one. */
  before: number;
  /** Visible keys after it; 0 if absent. */
  after?: number;
}
/** j = i + t · rate, −before ≤ t ≤ after (Beltagy et al. 2020, Longformer's dilated window). */
export function dilatedWindow(options: DilatedWindowOptions): Pattern {
  const given = checkedOptions("dilatedWindow", options, ["rate", "before", "after"]) as DilatedWindowOptions;
  return new Pattern({ kind: "dilatedWindow", ...given }, { title: "dilated window" });
}

/** The row set of Sparse Transformer: the last `stride` keys. Its column set: every stride-th key. */
type SparseSet = "union" | "row" | "column";
const sets: readonly SparseSet[] = ["union", "row", "column"];

function checkedSet(op: string, set: SparseSet | undefined): SparseSet {
  if (set === undefined || sets.includes(set)) return set ?? "union";
  throw new ArgumentError(`${op}: set must be one of ${sets.join(", ")}, got ${String(set)}`, { op, argument: "set" });
}

/**
 * Sparse Transformer, strided (Child et al. 2019): i − l < j ≤ i, or j ≤ i and (i − j) mod l = 0. The two sets in one head
 * ("union"), or one of them, for integrations that alternate by layer or head.
 */
export function sparseStrided(options: { stride: number; set?: SparseSet }): Pattern {
  const op = "sparseStrided";
  const { stride = 0, set } = checkedOptions(op, options, ["stride", "set"]);
  const row: PatternSpec = { kind: "window", before: Math.max(stride, 1) - 1, after: 0 };
  const column: PatternSpec = { kind: "dilatedWindow", rate: stride, before: 2 ** 30 };
  const kinds: Record<SparseSet, PatternSpec> = {
    row,
    column,
    union: { kind: "sum", of: [row, { ...column, skip: 1 }] },
  };
  return new Pattern(kinds[checkedSet(op, set)], { title: "Sparse Transformer, strided" });
}

/**
 * Sparse Transformer, fixed (Child et al. 2019): ⌊j / l⌋ = ⌊i / l⌋, or j mod l ≥ l − c; j ≤ i. `verts` heads take summary
 * columns of their own: head h the columns [l − c (1 + h mod verts), l − c (h mod verts)).
 */
export function sparseFixed(options: {
  stride: number;
  summary?: number;
  set?: SparseSet;
  verts?: number;
  numHeads?: number;
}): Pattern {
  const op = "sparseFixed";
  const names = ["stride", "summary", "set", "verts", "numHeads"];
  const { stride = 0, summary = 1, set, verts = 1, numHeads = verts } = checkedOptions(op, options, names);
  const row: PatternSpec = { kind: "chunks", size: stride, causal: true };
  const column = (vert: number): PatternSpec => ({
    kind: "intersect",
    of: [
      { kind: "residues", period: stride, first: stride - summary * (vert + 1), end: stride - summary * vert },
      { kind: "causal" },
    ],
  });
  const chosen = checkedSet(op, set);
  const head = (vert: number): PatternSpec =>
    chosen === "row" ? row : chosen === "column" ? column(vert) : { kind: "union", of: [row, column(vert)] };
  const title = "Sparse Transformer, fixed";
  if (verts === 1) return new Pattern(head(0), { title });
  const of = Array.from({ length: numHeads }, (_, h) => head(h % verts));
  return new Pattern({ kind: "perHead", of }, { title, numHeads });
}
