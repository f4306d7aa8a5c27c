// Performer (Choromanski et al. 2021): softmax attention estimated by random features.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { LinearState, OutputWithState } from "./state.js";

/** Which random features; the same options give the same projection, on any machine. */
export interface RandomFeatureOptions {
  /** Rows of the projection, up to 8192. Default ⌊headDim · ln headDim⌋. */
  features?: number;
  /** Of the random numbers: an integer from 0. Default 0. */
  seed?: number;
  /** Rows of length √headDim instead of the lengths of Gaussian vectors. Default false. */
  orthogonalScaling?: boolean;
}
/** Options of performerProjection; unknown ones are refused. */
export interface PerformerProjectionOptions extends RandomFeatureOptions {
  /** Width of q and k, 1 to 256. */
  headDim: number;
}
/** Options of performerAttention; unknown ones are refused. */
export interface PerformerAttentionOptions extends RandomFeatureOptions {
  /** A query sees no later key; the last query is aligned with the last key. Default false. */
  causal?: boolean;
  /** [features, headDim], instead of features, seed and orthogonalScaling. */
  projection?: TensorLike;
  /** "softmax" (default): φ(x) = e^(w·x − |x|²/2); "relu": φ(x) = max(w·x, 0) + epsilon. */
  kernel?: "softmax" | "relu";
  /** Of kernel "relu". Default 1e-3. The softmax kernel needs none. */
  epsilon?: number;
  /** Features of x and of −x, twice as many, with less variance. Kernel "softmax" only. Default false. */
  hyperbolic?: boolean;
  /** The factor on q·k in the softmax that is estimated. Default headDim ** -0.5. */
  scale?: number;
  /** Of the keys before these, as `returnState` gave it. */
  state?: LinearState;
  /** Also give the state after the last key. */
  returnState?: boolean;
}

/**
 * The projection [features, headDim] float32 of performerAttention: blocks of headDim orthogonal directions, uniform
 * (the QR decomposition has its signs fixed, without which the estimate is biased), with the lengths of independent
 * Gaussian vectors or √headDim. Keep it and give it as `projection` where many calls share it. A model that was trained
 * with redrawn features may be run with any one draw.
 */
export function performerProjection(options: PerformerProjectionOptions): Tensor {
  return native.performerProjection(options);
}

/**
 * out_i = φ(q'_i) Σ φ(k'_j)ᵀ v_j / φ(q'_i) · Σ φ(k'_j) with x' = √scale · x and positive random features φ, so that
 * φ(q')·φ(k') estimates e^(scale · q·k) without bias (Choromanski et al. 2021, "Rethinking Attention with Performers",
 * FAVOR+). All keys, or with `causal` keys j ≤ i + seqLenKV − seqLenQ.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads; headDim and valueDim up to 256; float32, float16 or bfloat16; sums in
 * float32. Features are scaled by a maximum that runs along the keys, so nothing overflows, no epsilon is needed and no
 * later key is looked at; one token at a time with `state` equals the whole pass. A query that sees nothing gives 0.
 *
 * The error falls as 1 / √features for queries and keys of small norm; for large norms the variance grows
 * exponentially. Time is linear in the length and in `features`. Throws ShapeError, DTypeError, ArgumentError,
 * UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function performerAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: PerformerAttentionOptions & { returnState: true },
): OutputWithState<LinearState>;
export function performerAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: PerformerAttentionOptions & { returnState?: false },
): Tensor;
export function performerAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: PerformerAttentionOptions,
): Tensor | OutputWithState<LinearState>;
export function performerAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: PerformerAttentionOptions,
): Tensor | OutputWithState<LinearState> {
  return native.performerAttention(q as Tensor, k as Tensor, v as Tensor, options as never) as Tensor;
}
