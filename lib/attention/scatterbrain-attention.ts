// Scatterbrain (Chen et al. 2021): exact scores where they are large, random features for the rest.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { RandomFeatureOptions } from "./performer-attention.js";

/** Options of scatterbrainAttention; unknown ones are refused. */
export interface ScatterbrainAttentionOptions extends RandomFeatureOptions {
  /** A query sees no later key; the last query is aligned with the last key. Default false. */
  causal?: boolean;
  /** The support: keys around the own position whose scores are exact; n means {before: n, after: causal ? 0 : n}.
   * Absent: none, which is performerAttention. One that holds all keys gives exact softmax attention. */
  window?: number | { before: number; after?: number };
  /** [features, headDim], instead of features, seed and orthogonalScaling. */
  projection?: TensorLike;
  /** Features of x and of −x, twice as many, with less variance. Default false. */
  hyperbolic?: boolean;
  /** Factor on q·k. Default headDim ** -0.5. */
  scale?: number;
}

/**
 * out_i = Σ a_ij v_j / Σ a_ij with a_ij = e^(scale · q_i·k_j) for keys in the window around query i, and the estimate
 * φ(q_i)·φ(k_j) of performerAttention for all others (Chen et al. 2021, "Scatterbrain"). Every a_ij is unbiased, and
 * exact in the window. Both parts are normalised together by their logarithms.
 *
 * Shapes and dtypes as in performerAttention. Time is linear in the length for a window of fixed size. The support of
 * the paper's other variant, LSH buckets, is not offered. Throws ShapeError, DTypeError, ArgumentError,
 * UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function scatterbrainAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: ScatterbrainAttentionOptions,
): Tensor {
  return native.scatterbrainAttention(q as Tensor, k as Tensor, v as Tensor, options as never);
}
