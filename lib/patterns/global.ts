// Local attention with a few tokens that see and are seen by all: Longformer, ETC, LongT5.
import { ArgumentError } from "../errors.js";
import { checkedNumber, checkedOptions } from "../options.js";
import { Pattern, type PatternSpec } from "./pattern.js";

/** Positions, in any order, as spans of neighbours. */
export function spansOf(op: string, positions: readonly number[], argument = "globals"): number[] {
  const bounds: number[] = [];
  for (const at of [...new Set(positions)].sort((a, b) => a - b)) {
    if (!Number.isSafeInteger(at) || at < 0)
      throw new ArgumentError(`${op}: ${argument} must be positions, integers from 0 on, got ${at}`, { op, argument });
    if (bounds.at(-1) === at) bounds[bounds.length - 1] = at + 1;
    else bounds.push(at, at + 1);
  }
  return bounds;
}

export interface LongformerOptions {
  /** Keys on each side of the own one (one-sided w: 256 is Longformer's attention_window of 512). */
  window: number | { before: number; after: number };
  /** Distance between the keys of the window, of every head or of each; 1 if absent. */
  dilation?: number | readonly number[];
  /** Positions that all see and that see all. */
  globals?: readonly number[];
  /** No later key (the autoregressive form); false if absent. */
  causal?: boolean;
}
/**
 * Window, dilated where asked, and global tokens (Beltagy et al. 2020, Longformer): |i − j| ≤ w · dilation in steps of the
 * dilation, or i or j global. A global key inside the window counts once. The paper gives global rows projections of
 * their own: compute those rows by a call of their own (docs/patterns.md).
 */
export function longformer(options: LongformerOptions): Pattern {
  const op = "longformer";
  const given = checkedOptions(op, options, ["window", "dilation", "globals", "causal"]) as LongformerOptions;
  const { window, dilation = 1, globals = [], causal = false } = given;
  const { before, after } = typeof window === "object" ? window : { before: window, after: window };
  const bounds = spansOf(op, globals);
  const ahead = causal ? 0 : after;
  const head = (rate: number): PatternSpec => {
    const local: PatternSpec =
      rate === 1 ? { kind: "window", before, after: ahead } : { kind: "dilatedWindow", rate, before, after: ahead };
    if (bounds.length === 0) return local;
    const global: PatternSpec = {
      kind: "union",
      of: [
        { kind: "keys", bounds },
        { kind: "queries", bounds },
      ],
    };
    const seen = causal ? { kind: "intersect", of: [global, { kind: "causal" }] } : global;
    return { kind: "union", of: [local, seen] };
  };
  const title = "Longformer";
  if (typeof dilation === "number") return new Pattern(head(dilation), { title });
  return new Pattern({ kind: "perHead", of: dilation.map(head) }, { title, numHeads: dilation.length });
}

/**
 * Global-local attention over [global; long] in one sequence (Ainslie et al. 2020, ETC): the first `globals` tokens see
 * and are seen by all, the others see `radius` tokens on each side. Structured inputs mask the global part further:
 * intersect with a mask.
 */
export function etc(options: { globals: number; radius: number }): Pattern {
  const { globals, radius } = checkedOptions("etc", options, ["globals", "radius"]);
  const rule = { integer: true, min: 0 };
  const bounds = [0, checkedNumber("etc", "globals", globals, rule) ?? 0];
  const window: PatternSpec = { kind: "window", before: radius as number, after: radius as number };
  return new Pattern(
    { kind: "union", of: [window, { kind: "keys", bounds }, { kind: "queries", bounds }] },
    { title: "ETC" },
  );
}

/** |i − j| ≤ radius (Guo et al. 2022, LongT5's local attention; radius 127, T5 takes scale 1 and its bias by distance). */
export function longT5Local(options: { radius?: number } = {}): Pattern {
  const { radius = 127 } = checkedOptions("longT5Local", options, ["radius"]);
  return new Pattern({ kind: "window", before: radius, after: radius }, { title: "LongT5 local" });
}

/**
 * Transient-global attention (Guo et al. 2022, LongT5): k and v are those of the tokens with the `globals` block sums
 * behind them, which all see; of the tokens a query sees `radius` on each side.
 */
export function transientGlobal(options: { globals: number; radius?: number }): Pattern {
  const { globals, radius = 127 } = checkedOptions("transientGlobal", options, ["globals", "radius"]);
  const tokens = checkedNumber("transientGlobal", "globals", globals, { integer: true, min: 0 }) ?? 0;
  const local = { kind: "window", before: radius, after: radius };
  return new Pattern(({ seqLenKV }) => ({ kind: "augmented", tokens: Math.min(tokens, seqLenKV), of: [local] }), {
    title: "LongT5 transient-global",
    byLength: true,
  });
}
