// Attention inside clusters (Roy et al. 2021, "Efficient Content-Based Sparse Attention with Routing Transformers").
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

type NativeOptions = NonNullable<Parameters<typeof native.routingAttention>[3]>;
/** Options of routingAttention; unknown ones are refused. */
export type RoutingAttentionOptions = Omit<NativeOptions, "centroids" | "selection"> & {
  /** [numHeads, clusters, headDim] float32, float16 or bfloat16, of unit length as the paper keeps them. */
  centroids: TensorLike;
  /**
   * "argmax" (default if causal): a token is in the cluster of its nearest centroid alone; clusters have any size and
   * `window` is not used. "balanced" (default otherwise), the paper's: each cluster takes its `window` nearest queries
   * and keys.
   */
  selection?: "argmax" | "balanced";
};

/**
 * Softmax attention inside clusters. Tokens are routed by (x / |x|) · centroid; the attention itself is of q and k as
 * they are, in order of position, a query seeing the keys of its cluster and, if `causal`, no later one.
 *
 * Balanced, a query may be in several clusters: its out is the mean of what they give it (0 from one where it sees no
 * key), and 0 where no cluster chose it. **The choice looks at the whole sequence**: with `causal` no later key or value
 * is attended, but later tokens decide which earlier ones a cluster keeps. "argmax" has no such leak; it decides each
 * token by itself, so a token decoded later sees what a full pass sees.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads; float32, float16 or bfloat16. The last query is aligned with the last
 * key. With about √seqLen clusters the cost is O(seqLen^1.5). Besides inputs and outputs "balanced" keeps the rows of all
 * clusters in float32 (the size of out), and 16 MiB.
 * Throws ShapeError, DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function routingAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: RoutingAttentionOptions,
): Tensor {
  return native.routingAttention(q as Tensor, k as Tensor, v as Tensor, options as NativeOptions);
}
