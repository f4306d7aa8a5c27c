// H-Transformer-1D: near keys one by one, far keys as means over powers of two.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of hierarchicalAttention; unknown ones are refused. */
export type HierarchicalOptions = NonNullable<Parameters<typeof native.hierarchicalAttention>[3]>;

/**
 * Hierarchical attention (Zhu and Soricut 2021, "H-Transformer-1D"). A token attends its own block of `blockSize` tokens
 * one by one and, at each level l = 0, 1, …, the sibling of the block of blockSize · 2^l tokens it lies in, by blockSize
 * keys that are means over 2^l tokens: out = Σ e^s · (sum of the key's values) / Σ e^s · (its number of tokens), one
 * softmax over all levels. Every key is covered once. Blocks are counted from the first key; any length is right, tokens
 * beyond the end count nowhere.
 *
 * - `causal`: at each level only a right sibling attends its left one; the last query is aligned with the last key.
 * - `coarsenQueries: true` is the paper's form, O(seqLen · blockSize · dim): at level l the query is the mean over its 2^l
 *   tokens. It needs seqLenQ = seqLenKV. With causal a row then depends on later queries of its group, though on no later
 *   key or value.
 * - `coarsenQueries: false`: each token's own query meets every level, O(seqLen · blockSize · log(seqLen / blockSize) ·
 *   dim). Strictly causal, and a new query with all keys gives the last row of the full pass: decode with this form.
 * - Default: `coarsenQueries` is `!causal`.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; out [batch, seqLenQ, numHeads, valueDim] in q's dtype. `blockSize` (default 16) is 1 to 512. Equal to
 * flashAttention where seqLenKV ≤ 2 · blockSize. Coarse keys are found block by block: at most 4 MB for all threads, and per
 * thread blockSize · log2(seqLenKV / blockSize) · (headDim + valueDim) · 4 bytes and some tiles. Throws ShapeError,
 * DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function hierarchicalAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: HierarchicalOptions,
): Tensor {
  return native.hierarchicalAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
