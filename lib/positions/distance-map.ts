// Distances other than those in the text, for models that meet longer texts than they were trained on: the pairs of query
// and key are cut into regions, and in each both are turned as if they stood elsewhere. Every pair is in one region, so
// that there is one score for each, and one softmax.
import type { PatternSpec as NativePatternSpec } from "../native.d.ts";

export type PatternSpec = NativePatternSpec & { kind: string };

/** Token i is taken to stand at place(i) · step + offset. */
export interface Placement {
  /** A whole number. */
  place(position: number): number;
  /** 1 if absent. */
  step?: number;
  /** 0 if absent. */
  offset?: number;
}

export interface DistanceRegion {
  /** Which pairs of query and key. */
  pairs: PatternSpec;
  /** No earlier query has such pairs. */
  from: number;
  query: Placement;
  /** Which of the map's `keys`. */
  keySet: 0 | 1;
}

export interface DistanceMap {
  /** Where keys are taken to stand: in one way, or in two. A cache keeps each key once for each. */
  keys: readonly Placement[];
  regions: readonly DistanceRegion[];
}

/** Where a token stands in the text. */
export const inText: Placement = { place: (position) => position };
/** Not turned at all. */
export const atZero: Placement = { place: () => 0 };

const unbounded = 2 ** 30;

/** Pairs whose query stands `first` to `end` − 1 tokens behind the key; negative: before it. */
export function distances(first: number, end = Infinity): PatternSpec {
  return { kind: "distances", first: Math.max(first, -unbounded), end: Math.min(end, unbounded) };
}

/** Pairs at a distance below `window`, turned as ever. */
export function nearby(window: number): DistanceRegion {
  return { pairs: distances(0, window), from: 0, query: inText, keySet: 0 };
}
