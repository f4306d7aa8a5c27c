// Luna: attention by way of an extra sequence of one length, and its causal form with a state.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of lunaAttention; unknown ones are refused. */
export type LunaOptions = NonNullable<Parameters<typeof native.lunaAttention>[3]>;
/** What the causal form remembers of all tokens so far; one size at any length. */
export type LunaState = NonNullable<LunaOptions["state"]>;
/** The output and what else was asked for. */
export interface LunaOutput {
  /** [batch, seqLenQ, numHeads, valueDim] */
  out: Tensor;
  /** with returnExtra: the packed sequence [batch, extraLen, heads, headDim], the next layer's `extra` */
  extra?: Tensor;
  /** with returnState */
  state?: LunaState;
}

/**
 * Luna (Ma et al. 2021, "Luna: Linear Unified Nested Attention"), linear in seqLen.
 *
 * Without causal: pack P' = softmax(scale · P kᵀ) v, then unpack out = softmax(scale · q P'ᵀ) P'; valueDim is headDim.
 * `extra` is P, [extraLen, heads, headDim] or [batch, extraLen, heads, headDim], with heads = numHeads or any number
 * between that and numKVHeads that divides; `returnExtra` also gives P'. Projections, residuals and norms are the
 * caller's; a model that projects P' before unpacking calls flashAttention twice.
 *
 * With causal: omega_t = log2(1 + 2^(P·k_t)) and f(x, y, z)_t = x_t Σ_{j ≤ t} y_jᵀ z_j / t give a = softmax over P of
 * f(scale · q, k, omega), out = f(a, omega, v): the paper's causal form with the softplus of its published code. P·k is
 * not scaled. The last query is aligned with the last key; queries before the first key give 0. `returnState` also gives
 * keySums [batch, heads, headDim, extraLen], valueSums [batch, heads, extraLen, valueDim] (float32) and positions; given
 * as `state` with the tokens that follow, the result is that of one call over all tokens, so one token at a time is the
 * recurrence. A state is never changed in place.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim], float32, float16 or bfloat16; extraLen up to 1024. Throws ShapeError, DTypeError, ArgumentError,
 * UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function lunaAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: LunaOptions & { returnExtra: true },
): LunaOutput & { extra: Tensor };
export function lunaAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: LunaOptions & { returnState: true },
): LunaOutput & { state: LunaState };
export function lunaAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: LunaOptions & { returnExtra?: false; returnState?: false },
): Tensor;
export function lunaAttention(q: TensorLike, k: TensorLike, v: TensorLike, options: LunaOptions): Tensor | LunaOutput;
export function lunaAttention(q: TensorLike, k: TensorLike, v: TensorLike, options: LunaOptions): Tensor | LunaOutput {
  return native.lunaAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
