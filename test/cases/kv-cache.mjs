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
/** One decode step over a long past. */
export const benchSizes = {
  ...{ numHeads: 32, numKVHeads: 8, headDim: 128 },
  ...{ seqLensKV: [4096, 16384, 65536, 131072], quick: [4096, 32768] },
};
