// Remapped distances, each written again from its paper as a function of the query's and the key's position; undefined
// where the query does not see the key.
import { positions, type RemappedRotary } from "../../lib/index.js";
import { type FloatDType, floatDTypes } from "../support/numbers.js";

export interface DistanceCase {
  name: string;
  /** Of vectors/remapped_attention.json. */
  vector?: string;
  make(rotaryDim: number): RemappedRotary;
  distance(i: number, j: number): number | undefined;
}

const past = (of: (i: number, j: number) => number) => (i: number, j: number) => (j > i ? undefined : of(i, j));
const rerope = (w: number) => past((i, j) => Math.min(i - j, w));
const leaky = (w: number, k: number) => past((i, j) => (i - j < w ? i - j : w + (i - j - w) / k));
const grouped = (w: number, g: number, shift: number) =>
  past((i, j) => (i - j < w ? i - j : Math.floor(i / g) + shift - Math.floor(j / g)));
/** An et al. 2024, equations 4 to 6: positions within chunks of s, none above the pretraining window c. */
function dualChunk(s: number, successive: number, inter: number) {
  return past((i, j) => {
    const apart = Math.floor(i / s) - Math.floor(j / s);
    if (apart === 0) return i - j;
    return (apart === 1 ? Math.min((i % s) + s, successive) : inter) - (j % s);
  });
}
const lambda = (sinks: number, w: number) => (i: number, j: number) =>
  j > i || (j >= sinks && i - j >= w) ? undefined : Math.min(i - j, w);

export const distanceCases: DistanceCase[] = [
  {
    name: "ReRoPE 6",
    vector: "rerope_w6",
    make: (rotaryDim) => positions.rerope({ rotaryDim, window: 6 }),
    distance: rerope(6),
  },
  { name: "ReRoPE 77", make: (rotaryDim) => positions.rerope({ rotaryDim, window: 77 }), distance: rerope(77) },
  { name: "ReRoPE 1", make: (rotaryDim) => positions.rerope({ rotaryDim, window: 1 }), distance: rerope(1) },
  {
    name: "bidirectional ReRoPE 9",
    make: (rotaryDim) => positions.rerope({ rotaryDim, window: 9, bidirectional: true }),
    distance: (i, j) => Math.sign(i - j) * Math.min(Math.abs(i - j), 9),
  },
  {
    name: "Leaky ReRoPE 6, 4",
    vector: "leaky_rerope_w6_k4",
    make: (rotaryDim) => positions.leakyRerope({ rotaryDim, window: 6, scalingFactor: 4 }),
    distance: leaky(6, 4),
  },
  {
    name: "Leaky ReRoPE 50, 3.7",
    make: (rotaryDim) => positions.leakyRerope({ rotaryDim, window: 50, scalingFactor: 3.7 }),
    distance: leaky(50, 3.7),
  },
  {
    name: "Self-Extend 6, 4",
    vector: "selfextend_w6_g4_integer_shift_(paper,decode path)",
    make: (rotaryDim) => positions.selfExtend({ rotaryDim, windowSize: 6, groupSize: 4 }),
    distance: grouped(6, 4, 6 - 1),
  },
  {
    name: "Self-Extend 6, 4, float shift",
    vector: "selfextend_w6_g4_float_shift_(repo eager/flash path)",
    make: (rotaryDim) => positions.selfExtend({ rotaryDim, windowSize: 6, groupSize: 4, shift: "float" }),
    distance: grouped(6, 4, 6 - 1.5),
  },
  {
    name: "Self-Extend 8, 4",
    vector: "selfextend_w8_g4",
    make: (rotaryDim) => positions.selfExtend({ rotaryDim, windowSize: 8, groupSize: 4 }),
    distance: grouped(8, 4, 8 - 2),
  },
  {
    name: "dual chunks 8, 3",
    vector: "dca_code_chunk8_local3",
    make: (rotaryDim) => positions.dualChunk({ rotaryDim, chunkSize: 8, localSize: 3 }),
    distance: dualChunk(5, 8, Math.min(2 * 5 - 1, 8)),
  },
  {
    name: "dual chunks 10, 4 of the paper",
    vector: "dca_paper_c10_s6_w4",
    make: (rotaryDim) => positions.dualChunk({ rotaryDim, chunkSize: 10, localSize: 4, variant: "paper" }),
    distance: dualChunk(6, 9, 9),
  },
  {
    name: "dual chunks 96",
    make: (rotaryDim) => positions.dualChunk({ rotaryDim, chunkSize: 96 }),
    distance: dualChunk(80, 96, 96),
  },
  {
    name: "LM-Infinite 20, 3 sinks",
    make: (rotaryDim) => positions.lmInfinite({ rotaryDim, window: 20, sinks: 3 }),
    distance: lambda(3, 20),
  },
];

/** Lengths that every case is run at; the dtypes change from case to case. */
export const distanceSizes = [
  { seqLenQ: 90, seqLenKV: 90 },
  { seqLenQ: 21, seqLenKV: 130 },
  { seqLenQ: 1, seqLenKV: 113 },
] as const;
export const dtypeOf = (caseIndex: number, sizeIndex: number): FloatDType => floatDTypes[(caseIndex + sizeIndex) % 3]!;
