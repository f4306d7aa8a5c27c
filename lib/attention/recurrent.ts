// Attention as a recurrence of a matrix that decays or corrects itself: RetNet, GLA, DeltaNet.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { OutputWithState } from "./state.js";

interface RecurrentOptions {
  /** [batch, numHeads, headDim, valueDim] of the keys before these, as `returnState` gave it. */
  state?: Tensor;
  /** Also give the state after the last key, float32. */
  returnState?: boolean;
}
/** Options of retention; unknown ones are refused. */
export interface RetentionOptions extends RecurrentOptions {
  /** [numHeads] decay of a step, each in [0, 1]. Default 1 − 2^(−5 − head). */
  gammas?: Tensor | Float64Array | Float32Array | number[];
  /** Factor on k. Default headDim ** -0.5. */
  scale?: number;
}
/** Options of gatedLinearAttention; unknown ones are refused. */
export interface GatedLinearAttentionOptions extends RecurrentOptions {
  /** [batch, seqLenKV, numHeads or numKVHeads, headDim]: the log of each step's decay, at most 0; −∞ forgets. */
  gates: TensorLike;
  /** Factor on q. Default headDim ** -0.5. */
  scale?: number;
}
/** Options of deltaNet; unknown ones are refused. */
export interface DeltaNetOptions extends RecurrentOptions {
  /** [batch, seqLenKV, numHeads or numKVHeads]: how far what k reads is moved towards v. */
  beta: TensorLike;
  /** Factor on q. Default headDim ** -0.5. */
  scale?: number;
}

/**
 * out_i = q_i S_i with S_j = gamma · S_(j−1) + scale · k_jᵀ v_j, that is Σ gamma^(i−j) (scale · q_i·k_j) v_j over keys
 * j ≤ i, one gamma a head (Sun et al. 2023, RetNet). Its rotation of q and k is `rope`, its group norm and gate are the
 * caller's; the norm makes any common factor of a row vanish.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads, each query head has its own state; headDim and valueDim up to 256;
 * float32, float16 or bfloat16; sums in float32. Query i stands at position i + seqLenKV − seqLenQ: earlier keys form
 * the state first, and a query before the first key reads `state` as it is (0 without one). Time is linear in the
 * length; one token at a time with `state` equals the whole pass. Throws ShapeError, DTypeError, ArgumentError,
 * UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function retention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: RetentionOptions & { returnState: true },
): OutputWithState<Tensor>;
export function retention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: RetentionOptions & { returnState?: false },
): Tensor;
export function retention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: RetentionOptions,
): Tensor | OutputWithState<Tensor>;
export function retention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: RetentionOptions,
): Tensor | OutputWithState<Tensor> {
  return native.retention(q as Tensor, k as Tensor, v as Tensor, options);
}

/**
 * out_i = scale · q_i S_i with S_j = diag(e^(gate_j)) S_(j−1) + k_jᵀ v_j: every key dim has a decay of its own at every
 * step (Yang et al. 2024, "Gated Linear Attention"). Shapes, dtypes, positions, state and errors as in retention. Any
 * gate is safe: steps that decay by more than e^8 together only cost more time.
 */
export function gatedLinearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: GatedLinearAttentionOptions & { returnState: true },
): OutputWithState<Tensor>;
export function gatedLinearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: GatedLinearAttentionOptions & { returnState?: false },
): Tensor;
export function gatedLinearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: GatedLinearAttentionOptions,
): Tensor | OutputWithState<Tensor>;
export function gatedLinearAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: GatedLinearAttentionOptions,
): Tensor | OutputWithState<Tensor> {
  return native.gatedLinearAttention(q as Tensor, k as Tensor, v as Tensor, options as never);
}

/**
 * out_i = scale · q_i S_i with S_j = S_(j−1) + beta_j k_jᵀ (v_j − k_j S_(j−1)): what k_j reads is moved towards v_j
 * (Schlag et al. 2021, "Linear Transformers Are Secretly Fast Weight Programmers"; Yang et al. 2024, DeltaNet). Keys are
 * usually of length 1; normalising them is the caller's. Shapes, dtypes, positions, state and errors as in retention.
 */
export function deltaNet(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: DeltaNetOptions & { returnState: true },
): OutputWithState<Tensor>;
export function deltaNet(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: DeltaNetOptions & { returnState?: false },
): Tensor;
export function deltaNet(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: DeltaNetOptions,
): Tensor | OutputWithState<Tensor>;
export function deltaNet(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: DeltaNetOptions,
): Tensor | OutputWithState<Tensor> {
  return native.deltaNet(q as Tensor, k as Tensor, v as Tensor, options as never);
}
