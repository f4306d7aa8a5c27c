// Landmark attention: earlier blocks by way of a landmark token at their end.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of landmarkAttention; unknown ones are refused. */
export type LandmarkOptions = NonNullable<Parameters<typeof native.landmarkAttention>[3]>;

/**
 * Landmark attention (Mohtashami and Jaggi 2023, "Random-Access Infinite Context Length for Transformers"), causal. The
 * sequence is blocks of `blockSize` tokens, the last of each its landmark. A query's first softmax is over the ordinary
 * tokens of its own block up to itself and the landmarks of earlier blocks; a block's tokens then share its landmark's
 * weight by a softmax within the block. Landmarks add no value; the weights of a row sum to 1.
 *
 * The row of a landmark token is like any other: it attends the ordinary tokens of its block and the earlier blocks; its
 * own landmark is no key of it.
 *
 * `topK`: a query and head opens only the topK earlier blocks whose landmarks score highest (of equals the earlier), as
 * if the others were not there: O(seqLen · (seqLen / blockSize + topK · blockSize) · dim). Without it, or with topK
 * at least the number of earlier blocks, all are open, O(seqLen² · dim). `blockSize` (required) is 2 to 512.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; out [batch, seqLenQ, numHeads, valueDim] in q's dtype. Blocks are counted from the first key; the last query is
 * aligned with the last key, so one new query with all keys gives the last row of the full pass; queries before the
 * first key give 0. Positions (rope) are the caller's. `causal: false` throws UnsupportedError. Throws ShapeError,
 * DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function landmarkAttention(q: TensorLike, k: TensorLike, v: TensorLike, options: LandmarkOptions): Tensor {
  return native.landmarkAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
