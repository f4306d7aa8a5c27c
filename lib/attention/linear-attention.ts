// Linear attention (Katharopoulos et al. 2020).
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { LinearState, OutputWithState } from "./state.js";

/** Options of linearAttention; unknown ones are refused. */
export interface LinearAttentionOptions {
  /** A query sees no later key; the last query is aligned with the last key. Default false. */
  causal?: boolean;
  /** φ: "elu" is elu(x) + 1 (default), "relu" is max(x, 0), "identity" takes q and k as features already. */
  featureMap?: "elu" | "relu" | "identity";
  /** Added to the denominator. Default 1e-6. */
  epsilon?: number;
  /** Of the keys before these, as `returnState` gave it. */
  state?: LinearState;
  /** Also give the state after the last key. */
  returnState?: boolean;
}

/**
 * out_i = φ(q_i) S / (φ(q_i) · z + epsilon) with S = Σ φ(k_j)ᵀ v_j and z = Σ φ(k_j) over all keys, or with `causal`
 * over keys j ≤ i + seqLenKV − seqLenQ (Katharopoulos et al. 2020, "Transformers are RNNs").
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads; float32, float16 or bfloat16; sums in float32. Time is linear in the
 * length, and what a sequence leaves behind is a state of headDim · valueDim numbers a head: with `state` and
 * `returnState`, one token at a time equals the whole pass. headDim and valueDim up to 256; with "identity" headDim is
 * the number of features, up to 4096. A query that sees nothing gives 0.
 *
 * For models trained with this attention; it does not stand in for softmax. Throws ShapeError, DTypeError,
 * ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function linearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: LinearAttentionOptions & { returnState: true },
): OutputWithState<LinearState>;
export function linearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: LinearAttentionOptions & { returnState?: false },
): Tensor;
export function linearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: LinearAttentionOptions,
): Tensor | OutputWithState<LinearState>;
export function linearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: LinearAttentionOptions,
): Tensor | OutputWithState<LinearState> {
  return native.linearAttention(q as Tensor, k as Tensor, v as Tensor, options) as Tensor;
}
