// Contextual position embedding: positions counted by gates.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of copeAttention; unknown ones are refused. */
export type CopeOptions = NonNullable<Parameters<typeof native.copeAttention>[3]>;

/**
 * CoPE (Golovneva et al. 2024, "Contextual Position Encoding: Learning to Count What's Important"), causal. The gate of a
 * pair is σ(q·k); a key's position p is the sum of the gates from it to the query, at most positions − 1; q·e[p] is added to
 * its score, linear between the embeddings next to p.
 *
 * `variant` "code", as the repository facebookresearch/RAM: scale is a factor on all three, σ(scale·q·k) and
 * scale·(q·k + q·e[p]). "paper": on q·k in the score alone. Models must be trained with it.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; out [batch, seqLenQ, numHeads, valueDim] in q's dtype. The last query is aligned with the last key, so one new
 * query with all keys gives the last row of the full pass; queries before the first key give 0. Time O(seqLenQ · seqLenKV ·
 * dim) and slower than flash attention, as each pair looks up its own place; memory of a few MB. At most 32,768 positions.
 * Throws ShapeError, DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function copeAttention(q: TensorLike, k: TensorLike, v: TensorLike, options: CopeOptions): Tensor {
  return native.copeAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
