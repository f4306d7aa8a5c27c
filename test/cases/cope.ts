// Sizes of copeAttention: whole, after a cache, decoded, and queries before the first key.
export const copeCases = [
  { seqLenQ: 70, seqLenKV: 70, headDim: 16, positions: 24 },
  { seqLenQ: 9, seqLenKV: 150, headDim: 20, positions: 200 },
  { seqLenQ: 1, seqLenKV: 67, headDim: 7, positions: 1 },
  { seqLenQ: 12, seqLenKV: 8, headDim: 8, positions: 5 },
];
