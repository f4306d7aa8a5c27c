// Shapes of hashSparseAttention, qkSparseAttention and routingAttention, each run at all of them.
import { type FloatDType, floatDTypes } from "../support/numbers.js";
import type { Layout } from "../support/tensors.js";

export const groupedOps = ["hashSparseAttention", "qkSparseAttention", "routingAttention"];
export interface Sizes {
  batch?: number;
  seqLenQ: number;
  seqLenKV: number;
  heads?: [number, number];
  dims?: [number, number];
  layout?: Layout;
}
export const groupedShapes: [string, Sizes][] = [
  ["one token", { seqLenQ: 1, seqLenKV: 1 }],
  ["80 tokens, two sequences", { seqLenQ: 80, seqLenKV: 80, batch: 2 }],
  ["grouped heads, a chunk after a cache", { seqLenQ: 40, seqLenKV: 95, heads: [4, 2], dims: [24, 40] }],
  ["more queries than keys", { seqLenQ: 50, seqLenKV: 20, heads: [3, 1], dims: [7, 5] }],
  ["no keys", { seqLenQ: 9, seqLenKV: 0 }],
  ["no queries", { seqLenQ: 0, seqLenKV: 9 }],
  ["300 tokens, one head", { seqLenQ: 300, seqLenKV: 300, heads: [1, 1], dims: [8, 8] }],
  ["transposed", { seqLenQ: 33, seqLenKV: 33, layout: "transposed" }],
  ["columns", { seqLenQ: 33, seqLenKV: 47, layout: "columns" }],
];

/** The references are quadratic: the long one in two dtypes. */
export const dtypesOf = ({ seqLenQ }: Sizes): readonly FloatDType[] =>
  seqLenQ >= 300 ? ["float32", "bfloat16"] : floatDTypes;
