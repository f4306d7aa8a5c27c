// @ts-check
// Attention over the cache of keys and values: which dtypes of queries meet which of the cache, and the lengths. Plain
// JavaScript, so that the bench reads the same list.
/** @typedef {import("../support/numbers.js").FloatDType} FloatDType */

/** @type {{ queries: FloatDType, dtype: "float32" | "bfloat16", bench?: { target: number } }[]} */
export const cacheDTypes = [
  { queries: "bfloat16", dtype: "bfloat16", bench: { target: 0.9 } },
  { queries: "float32", dtype: "bfloat16", bench: { target: 0.9 } },
  { queries: "float32", dtype: "float32", bench: { target: 0.9 } },
  { queries: "float16", dtype: "bfloat16" },
  { queries: "float16", dtype: "float32" },
  { queries: "bfloat16", dtype: "float32" },
];
export const cacheSizes = [
  { seqLenQ: 1, seqLenKV: 1, headDim: 3 },
  { seqLenQ: 1, seqLenKV: 301, headDim: 64 },
  { seqLenQ: 1, seqLenKV: 70, headDim: 80 },
  { seqLenQ: 5, seqLenKV: 170, headDim: 20 },
  { seqLenQ: 90, seqLenKV: 190, headDim: 32 },
  { seqLenQ: 1, seqLenKV: 1501, headDim: 20 },
  { seqLenQ: 5, seqLenKV: 1003, headDim: 8 },
];
/**
 * Turned on their way into the cache: what is appended step by step, which heads, how they turn and how they lie in memory.
 * Dtypes are those of q and k, of v, and of the cache.
 * @typedef {object} RopeAppend
 * @property {string} name
 * @property {FloatDType} dtype
 * @property {FloatDType} [values]
 * @property {"float32" | "bfloat16"} cached
 * @property {number[]} steps
 * @property {number} headDim
 * @property {number} [valueDim] headDim if absent
 * @property {[number, number]} [heads] of queries, of keys; 6 and 2
 * @property {number} pairs that turn
 * @property {object} [options] of rope
 * @property {number} [first] the first position; 0
 * @property {"dense" | "transposed" | "sliced" | "columns"} [memory]
 */
/** @type {RopeAppend[]} */
export const ropeAppendCases = [
  { name: "plain", dtype: "float32", cached: "float32", steps: [40, 1, 1], headDim: 64, pairs: 32 },
  { name: "far", dtype: "float32", cached: "bfloat16", steps: [5, 1], headDim: 128, pairs: 64, first: 1_000_000 },
  { name: "halves", dtype: "bfloat16", cached: "bfloat16", steps: [33, 1, 3], headDim: 80, pairs: 40 },
  { name: "float16", dtype: "float16", cached: "float32", steps: [7, 1], headDim: 20, pairs: 10 },
  { name: "mixed", dtype: "bfloat16", values: "float32", cached: "float32", steps: [9, 2], headDim: 24, pairs: 12 },
  {
    ...{ name: "interleaved, scaled", dtype: "float32", cached: "float32", steps: [12, 1], headDim: 32, pairs: 16 },
    options: { layout: "interleaved", attentionScale: 1.25 },
  },
  {
    ...{ name: "some dims, fractions", dtype: "bfloat16", cached: "bfloat16", steps: [11, 1], headDim: 36, pairs: 5 },
    options: { layout: "interleaved", positionStep: 0.25, positionOffset: 0.5 },
  },
  { name: "no dims", dtype: "float16", cached: "bfloat16", steps: [3, 1], headDim: 8, pairs: 0 },
  { name: "odd", dtype: "float32", cached: "bfloat16", steps: [1, 4], headDim: 3, pairs: 1, heads: [1, 1] },
  { name: "wide", dtype: "bfloat16", cached: "bfloat16", steps: [2, 1], headDim: 256, pairs: 128, heads: [3, 3] },
  {
    name: "own value width",
    dtype: "float32",
    cached: "float32",
    steps: [17, 1],
    headDim: 40,
    valueDim: 100,
    pairs: 8,
  },
  { name: "two slabs", dtype: "float32", cached: "bfloat16", steps: [1020, 1, 9], headDim: 8, pairs: 4, heads: [2, 1] },
  { name: "nothing", dtype: "float32", cached: "float32", steps: [0, 2, 0], headDim: 16, pairs: 8 },
  ...["transposed", "sliced", "columns"].map((memory) => ({
    ...{ name: memory, dtype: "bfloat16", cached: "bfloat16", steps: [6, 1], headDim: 48, pairs: 20 },
    memory: /** @type {"transposed" | "sliced" | "columns"} */ (memory),
  })),
].map((c) => /** @type {RopeAppend} */ (c));
/** One decode step over a long past. */
export const benchSizes = {
  ...{ numHeads: 32, numKVHeads: 8, headDim: 128 },
  ...{ seqLensKV: [4096, 16384, 65536, 131072], quick: [4096, 32768] },
};
