// Attention among tokens that hash to nearby places (Kitaev et al. 2020, "Reformer: The Efficient Transformer").
import type { TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

type NativeOptions = NonNullable<Parameters<typeof native.lshAttention>[2]>;
/** Options of lshAttention; unknown ones are refused. */
export type LshAttentionOptions = Omit<NativeOptions, "duplicates" | "wrap"> & {
  /**
   * "exact" (default): a pair that several rounds show counts once, so that the result is dense attention over the
   * union of what the rounds show. "per-round": it counts once for each of its c rounds, as in the published code; the
   * result is dense attention with log c added to the scores.
   */
  duplicates?: "exact" | "per-round";
  /**
   * What the first chunk of a round looks back on (and the last one ahead): "round" (default) is the other end of its
   * own sorted list, "rounds" the neighbouring round's, as in the published code, the rounds forming a ring.
   */
  wrap?: "round" | "rounds";
};
/** What lshAttention gives besides `out` when asked. */
export interface HashedAttentionOutput {
  /** [batch, seqLen, numHeads, valueDim] */
  out: Tensor;
  /** [batch, numHeads, seqLen] float32, natural log; with returnLse */
  lse?: Tensor;
  /** [rounds, batch, numHeads, seqLen] int32, in [0, buckets); with returnBuckets */
  buckets?: Tensor;
}

/**
 * Shared query-key attention in O(rounds · seqLen · chunk) (Reformer). Keys are qk / |qk|; each round hashes the tokens,
 * bucket = argmax [x R, −x R] for a random R, sorts them by bucket and position, cuts the list into chunks, and lets
 * every chunk attend itself, `lookBack` chunks before it and `lookAhead` after it, around the end of the round's list.
 * A token attends its own position only where it sees nothing else: that score is −50,000.
 *
 * qk [batch, seqLen, numHeads, headDim], v [batch, seqLen, numHeads, valueDim], float32, float16 or bfloat16; any
 * length; out [batch, seqLen, numHeads, valueDim]. More than 32 `buckets` are a product of even factors, as few as have
 * none above 32 (1,024 is 32 · 32): each factor has its own directions and the bucket is Σ argmaxᵢ · Πⱼ﹤ᵢ factorⱼ, so
 * that hashing costs headDim · Σ factorᵢ / 2 products a token. Besides inputs and outputs a call keeps 12 bytes per
 * token, head and round.
 *
 * With `causal`, no value or key of a later token reaches an output. Yet which earlier tokens share a chunk depends on
 * the whole sequence: changing later tokens moves chunk boundaries, and with them outputs, unless the chunks hold all.
 * For the same reason a decoder that hashes one new token at a time sees other neighbours than a full pass does.
 *
 * For long sequences whose attention is dominated by few similar tokens; more rounds miss fewer of them.
 * Throws ShapeError, DTypeError, ArgumentError (an odd number of buckets), UnsupportedError, OutOfMemoryError,
 * QueueFullError.
 */
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options?: LshAttentionOptions & { returnLse?: false; returnBuckets?: false },
): Tensor;
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options: LshAttentionOptions & { returnLse: true; returnBuckets: true },
): Required<HashedAttentionOutput>;
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options: LshAttentionOptions & { returnLse: true },
): HashedAttentionOutput & { lse: Tensor };
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options: LshAttentionOptions & { returnBuckets: true },
): HashedAttentionOutput & { buckets: Tensor };
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options?: LshAttentionOptions,
): Tensor | HashedAttentionOutput;
export function lshAttention(
  qk: TensorLike,
  v: TensorLike,
  options?: LshAttentionOptions,
): Tensor | HashedAttentionOutput {
  return native.lshAttention(qk as Tensor, v as Tensor, options as NativeOptions | undefined);
}

/** Options of lshDecodeAttention; unknown ones are refused. */
export type LshDecodeAttentionOptions = Omit<
  NonNullable<Parameters<typeof native.lshDecodeAttention>[3]>,
  "duplicates"
> & {
  /** As for lshAttention. */
  duplicates?: "exact" | "per-round";
};

/**
 * The last token of `qk` and `v` (as for lshAttention, with the new token at their end) over the hashes of the tokens
 * before it: each round hashes the new token and shows it the last (lookBack + 1) · chunk earlier tokens of its bucket,
 * and itself, whose score is −50,000. `buckets` [rounds, batch, numHeads, seqLen − 1] int32 is what lshAttention gave
 * with the same number of buckets, seed and rotations, or earlier calls of this; the new token's own comes back as
 * [rounds, batch, numHeads, 1], to be appended. out [batch, 1, numHeads, valueDim]. Cost is O(rounds · chunk) products a
 * head, and a look at the integers of `buckets`.
 *
 * It shows other neighbours than a full pass, whose chunks end elsewhere; both are dense attention over what they show.
 */
export function lshDecodeAttention(
  qk: TensorLike,
  v: TensorLike,
  buckets: TensorLike,
  options: LshDecodeAttentionOptions & { returnLse: true },
): Required<HashedAttentionOutput>;
export function lshDecodeAttention(
  qk: TensorLike,
  v: TensorLike,
  buckets: TensorLike,
  options: LshDecodeAttentionOptions,
): HashedAttentionOutput & { buckets: Tensor };
export function lshDecodeAttention(
  qk: TensorLike,
  v: TensorLike,
  buckets: TensorLike,
  options: LshDecodeAttentionOptions,
): HashedAttentionOutput {
  return native.lshDecodeAttention(qk as Tensor, v as Tensor, buckets as Tensor, options) as HashedAttentionOutput;
}
