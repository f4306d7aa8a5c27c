// Linformer: attention over keys and values that a projection along the sequence made few.
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of linformerAttention; unknown ones are refused. */
export type LinformerOptions = NonNullable<Parameters<typeof native.linformerAttention>[3]>;

/**
 * softmax(scale · q (Eᵀ k)ᵀ) Fᵀ v: keys and values become `rows` weighted sums over the sequence before attention
 * (Wang et al. 2020, "Linformer: Self-Attention with Linear Complexity"). O(seqLen · rows · dim).
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; out [batch, seqLenQ, numHeads, valueDim] in q's dtype. `projectionK` (E, required) and `projectionV` (F, E if
 * absent) are [seqLenMax, rows] for all heads or [numKVHeads, seqLenMax, rows], trained for seqLenMax tokens; a shorter
 * sequence uses the first seqLenKV rows. Projected keys and values are kept in float32: beside the output a call takes
 * batch · rows · numKVHeads · (headDim + valueDim) · 4 bytes, whatever the length.
 *
 * For encoders with trained projections. There is no causal form, since each projected key mixes later tokens in:
 * `causal: true` throws UnsupportedError. Throws ShapeError, DTypeError, ArgumentError, UnsupportedError,
 * OutOfMemoryError, QueueFullError.
 */
export function linformerAttention(q: TensorLike, k: TensorLike, v: TensorLike, options: LinformerOptions): Tensor {
  return native.linformerAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
