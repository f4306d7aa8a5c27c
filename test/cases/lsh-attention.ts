// lshAttention's cases: lengths that chunks do not divide, chunks beyond the length, both directions, both ways of
// counting, both ends of a round's list.
import type { LshAttentionOptions } from "../../lib/index.js";
import { floatDTypes } from "../support/numbers.js";
import type { Layout } from "../support/tensors.js";

export interface LshCase {
  name: string;
  batch: number;
  seqLen: number;
  heads: number;
  headDim: number;
  valueDim: number;
  layout?: Layout;
  perHead?: boolean;
  options: LshAttentionOptions;
}

const base = { batch: 1, seqLen: 70, heads: 2, headDim: 16, valueDim: 16 };
const make = (name: string, options: LshAttentionOptions, change: Partial<LshCase> = {}): LshCase => ({
  ...base,
  ...change,
  name,
  options: { rounds: 1, chunk: 8, seed: 3, ...options },
});

export const lshCases: LshCase[] = [
  make("one token", { causal: true }, { seqLen: 1 }),
  make("two tokens, four rounds", { rounds: 4 }, { seqLen: 2 }),
  make("one round", {}),
  make("one round, causal", { causal: true }, { batch: 2 }),
  make("three rounds", { rounds: 3 }),
  make("three rounds, causal", { rounds: 3, causal: true, buckets: 10 }),
  make("five rounds counted apart", { rounds: 5, duplicates: "per-round" }),
  make("two rounds counted apart, causal", { rounds: 2, duplicates: "per-round", causal: true }),
  make("look back 2, ahead 1", { rounds: 2, lookBack: 2, lookAhead: 1 }),
  make("look ahead alone", { rounds: 2, lookBack: 0, lookAhead: 2, causal: true }),
  make("own chunk alone", { rounds: 3, lookBack: 0, lookAhead: 0 }),
  make("more neighbours than chunks", { rounds: 2, lookBack: 30, lookAhead: 30 }, { seqLen: 45 }),
  make("own bucket alone", { rounds: 3, attendAcrossBuckets: false, causal: true }),
  make("own bucket alone, all directions", { rounds: 2, attendAcrossBuckets: false, lookAhead: 1 }),
  make("own bucket alone, counted apart", { rounds: 2, attendAcrossBuckets: false, duplicates: "per-round" }),
  make("around all rounds", { rounds: 3, wrap: "rounds", lookAhead: 1 }),
  make("around all rounds, causal, counted apart", {
    rounds: 2,
    wrap: "rounds",
    causal: true,
    duplicates: "per-round",
  }),
  make("around all rounds, own bucket alone", { rounds: 2, wrap: "rounds", attendAcrossBuckets: false }),
  make("one chunk longer than all", { rounds: 2, chunk: 1000 }),
  make("chunk 1", { rounds: 2, chunk: 1, lookBack: 3 }, { seqLen: 20 }),
  make("chunk 64, 64 does not divide", { rounds: 2, chunk: 64, causal: true }, { seqLen: 233, heads: 1, headDim: 8 }),
  make("chunk 100 of 330", { chunk: 100 }, { seqLen: 330, heads: 1, headDim: 4, valueDim: 4 }),
  make("many buckets, three factors", { rounds: 2, buckets: 2048 }),
  make("a factor above 32", { buckets: 2 * 37 }),
  make("given rotations", { rounds: 2, buckets: 6 }, { perHead: false }),
  make("given rotations per head, factors", { rounds: 2, buckets: 64 }, { perHead: true }),
  make("wide heads", { rounds: 2, causal: true }, { headDim: 132, valueDim: 40, seqLen: 50 }),
  make("narrow heads", { rounds: 2 }, { headDim: 3, valueDim: 3, seqLen: 50 }),
  make("own scale", { scale: 0.7, causal: true }),
  ...(["transposed", "sliced", "columns"] as const).map((layout) =>
    make(layout, { rounds: 2, causal: true }, { layout, batch: 2, seqLen: 40 }),
  ),
];

/** How lshDecodeAttention counts a key that several rounds find, each in every dtype. */
export const lshDecodeCases = (["exact", "per-round"] as const).flatMap((duplicates) =>
  floatDTypes.map((dtype) => ({ duplicates, dtype })),
);
