// Sparse causal flash attention (Pagliardini et al. 2023, "Faster Causal Attention Over Large Sequences Through Sparse
// Flash Attention"): by equal hashes, and by kept queries and keys.
import type { AttentionPart, TensorLike } from "../attention.js";
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";

/** Options of hashSparseAttention; unknown ones are refused. */
export type HashSparseAttentionOptions = NonNullable<Parameters<typeof native.hashSparseAttention>[3]>;
/** Options of qkSparseAttention; unknown ones are refused. */
export type QkSparseAttentionOptions = NonNullable<Parameters<typeof native.qkSparseAttention>[3]>;

/**
 * Attention among queries and keys of equal hash: softmax over { j : hash(qᵢ) = hash(kⱼ), j < i }, the own position left
 * out unless `includeSelf`, every collision covered; `causal: false` takes all of equal hash. Hashes are
 * argmax [x R, −x R] for a random R, the same for queries and keys, or `hashesQ` and `hashesK`, any integers. A query
 * whose hash no visible key has gives 0, with lse −∞.
 *
 * q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads,
 * valueDim]; numHeads is a multiple of numKVHeads; float32, float16 or bfloat16. The last query is aligned with the last
 * key. Cost is that of the pairs of equal hash, in tiles; a call keeps 12 bytes per query and head and 20 per key and
 * KV head. For attention dominated by similar tokens, trained with it or with shared, normalised keys.
 * Throws ShapeError, DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function hashSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: HashSparseAttentionOptions & { returnLse: true },
): AttentionPart;
export function hashSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: HashSparseAttentionOptions & { returnLse?: false },
): Tensor;
export function hashSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: HashSparseAttentionOptions,
): Tensor | AttentionPart {
  return native.hashSparseAttention(q as Tensor, k as Tensor, v as Tensor, options);
}

/**
 * Attention among the queries and keys that are kept: softmax over { j : keepQ[i], keepK[j], j ≤ i }. A dropped query,
 * or one that sees no kept key, gives 0, with lse −∞. Shapes and dtypes as for hashSparseAttention. Kept rows are
 * gathered, never copied, so that cost falls with the product of both shares.
 * Throws ShapeError, DTypeError, ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
 */
export function qkSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: QkSparseAttentionOptions & { returnLse: true },
): AttentionPart;
export function qkSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: QkSparseAttentionOptions & { returnLse?: false },
): Tensor;
export function qkSparseAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options?: QkSparseAttentionOptions,
): Tensor | AttentionPart {
  return native.qkSparseAttention(q as Tensor, k as Tensor, v as Tensor, options);
}
