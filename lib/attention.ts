// Attention ops with the types that depend on their options.
import { native } from "./binding.js";
import { ArgumentError } from "./errors.js";
import { type Pattern, type PatternLengths, patternSpec } from "./patterns/pattern.js";
import { shapeOf, type Tensor, type TensorLike } from "./tensor.js";

type NativeOptions = NonNullable<Parameters<typeof native.flashAttention>[3]>;
/** Options of flashAttention; unknown ones are refused. */
export type FlashAttentionOptions = Omit<NativeOptions, "pattern"> & {
  /** Which keys a query sees; beside causal or window a pair must be allowed by both. */
  pattern?: Pattern;
};
/** Attention output with the log of the sum of exponentials of its rows. */
export interface AttentionPart {
  /** [batch, seqLenQ, numHeads, valueDim] */
  out: Tensor;
  /** [batch, numHeads, seqLenQ] float32, natural log; −inf for a row that sees nothing */
  lse: Tensor;
}
export type { TensorLike } from "./tensor.js";

/**
 * softmax(scale · q kᵀ + mask) v without the matrix of scores (Dao et al. 2022).
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads; float32, float16 or bfloat16; headDim and valueDim up to 256.
 * Causal aligns the last query with the last key. Throws ShapeError, DTypeError, ArgumentError, UnsupportedError,
 * OutOfMemoryError, QueueFullError.
 */
export function flashAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: FlashAttentionOptions & { returnLse: true },
): AttentionPart;
export function flashAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: FlashAttentionOptions & { returnLse?: false },
): Tensor;
export function flashAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: FlashAttentionOptions,
): Tensor | AttentionPart;
export function flashAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: FlashAttentionOptions,
): Tensor | AttentionPart {
  return native.flashAttention(
    q as Tensor,
    k as Tensor,
    v as Tensor,
    options?.pattern
      ? { ...options, pattern: patternSpec("flashAttention", options.pattern, () => lengthsOf(q, k, options)) }
      : (options as NativeOptions | undefined),
  );
}

/** The lengths that a pattern is made for: with sequences of their own lengths, all positions that one could have. */
function lengthsOf(q: TensorLike, k: TensorLike, options: FlashAttentionOptions): PatternLengths {
  const seq = (shape: readonly number[]) => shape[shape.length - 3] ?? 0;
  const seqLenQ = seq(shapeOf(q));
  const seqLenKV = seq(shapeOf(k)) * (options.blockTable?.shape?.[1] ?? 1);
  const { cuSeqLensQ, cuSeqLensKV, seqLensKV, blockTable } = options;
  if (!cuSeqLensQ && !cuSeqLensKV && !seqLensKV && !blockTable) return { seqLenQ, seqLenKV };
  if (options.pattern?.facts.byLength)
    throw new ArgumentError(
      "flashAttention: this pattern depends on the length of its sequence: call it for each sequence by itself",
      { op: "flashAttention", argument: "pattern" },
    );
  const longest = Math.max(seqLenQ, seqLenKV);
  return { seqLenQ: longest, seqLenKV: longest };
}

/** What a call will do. */
export interface AttentionExplanation extends Required<Omit<NativeExplanation, "parts">> {
  /** What is summed; one for a pattern that is no sum. */
  parts: Required<NonNullable<NativeExplanation["parts"]>[number]>[];
}
type NativeExplanation = ReturnType<typeof native.explainAttention>;

/**
 * What flashAttention with these arguments would do, without running it: kernel, instruction set and tiles of each part
 * of the pattern, allowed pairs, flops and bytes. Never a silent fallback: what this says is what runs.
 */
export function explainAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: FlashAttentionOptions,
): AttentionExplanation {
  return native.explainAttention(
    q as Tensor,
    k as Tensor,
    v as Tensor,
    options?.pattern
      ? { ...options, pattern: patternSpec("explainAttention", options.pattern, () => lengthsOf(q, k, options)) }
      : (options as NativeOptions | undefined),
  ) as AttentionExplanation;
}

/** Attention over the union of disjoint key sets, from each part's out and lse. */
export function mergeAttention(parts: readonly AttentionPart[]): AttentionPart {
  return native.mergeAttention(parts as AttentionPart[]);
}
