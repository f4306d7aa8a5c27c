// Keys and values of the tokens read so far, one growing store per layer. All keys are kept, also those that a window
// no longer sees.
import { ArgumentError, CacheMismatchError, DisposedError } from "../errors.js";
import { native, type KVCache as NativeKVCache, type Recording } from "../binding.js";
import type { PatternSpec } from "../native.d.ts";
import type { Tensor } from "../tensor.js";

/** int8 and float8 (e4m3) are for CUDA devices: a byte for each value, and a float32 scale for each row of a head. */
export type KVDType = "float32" | "bfloat16" | "int8" | "float8";
export const kvDTypes = ["float32", "bfloat16", "int8", "float8"] as const satisfies readonly KVDType[];

export interface KVCacheShape {
  numLayers: number;
  numKVHeads: number;
  headDim: number;
  dtype: KVDType;
  /** 2 where a scheme needs each key turned in two ways; 1 if absent. */
  keySets?: 1 | 2;
  /** LONGSPAN_DEVICE, else cpu, if absent. */
  device?: string;
}

/** What cacheAttention takes besides the keys. */
export interface CacheAttentionOptions {
  causal?: boolean;
  window?: { before: number; after?: number };
  /** A pattern of `patterns`: it knows its specification at the lengths of a call. */
  pattern?: { spec(lengths: { seqLenQ: number; seqLenKV: number }): PatternSpec };
  scale?: number;
  /** [numHeads or 1, distances], added to the scores by query position − key position − firstDistance. */
  distanceBias?: Tensor;
  firstDistance?: number;
  returnLse?: true;
  /** Which set of keys; 0 if absent. */
  keySet?: 0 | 1;
}

type RopeParameters = Parameters<typeof native.rope>;

export class KVCache {
  readonly shape: Readonly<KVCacheShape>;
  #native: NativeKVCache | undefined;
  readonly #kept = new Set<{ dispose(): void }>();
  #length = 0;

  constructor(shape: KVCacheShape) {
    this.shape = Object.freeze({ ...shape, device: native.requireDevice("KVCache", shape.device) });
    this.#native = native.createKVCache({ ...this.shape });
  }

  /** Tokens whose keys are complete in every layer. */
  get length(): number {
    return this.#length;
  }
  /** Bytes held for keys and values. */
  get bytes(): number {
    return native.cacheBytes(this.#handle());
  }

  /** k, v [1, n, numKVHeads, headDim] behind the keys of a layer; k2: the same keys for the second set. */
  append(layer: number, k: Tensor, v: Tensor, k2?: Tensor): void {
    native.cacheAppend(this.#handle(), layer, k, v, k2);
  }
  /**
   * rope of q [1, n, numHeads, headDim] and of k, and append of the turned k and v, in one call: gives the turned q. On a
   * CUDA device it is one kernel. positions [n] or [1, n]; options are those of rope. Shapes that are not the cache's are a
   * ShapeError, a cache with two sets of keys is an ArgumentError.
   */
  ropeAppend(
    layer: number,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    positions: RopeParameters[1],
    options: RopeParameters[2],
  ): Tensor {
    return native.ropeAppend(this.#handle(), layer, q, k, v, positions, options);
  }
  /** q [1, n, numHeads, headDim] over a layer's keys; the last query is aligned with the last key. */
  attend(layer: number, q: Tensor, options: CacheAttentionOptions & { returnLse: true }): { out: Tensor; lse: Tensor };
  attend(layer: number, q: Tensor, options: CacheAttentionOptions): Tensor;
  attend(layer: number, q: Tensor, options: CacheAttentionOptions): Tensor | { out: Tensor; lse: Tensor } {
    const { pattern, keySet, ...rest } = options;
    if (!pattern) return native.cacheAttention(q, this.#handle(), layer, rest, keySet);
    const lengths = { seqLenQ: q.shape[1] ?? 0, seqLenKV: native.cacheLength(this.#handle(), layer) };
    return native.cacheAttention(q, this.#handle(), layer, { ...rest, pattern: pattern.spec(lengths) }, keySet);
  }
  /** Runs a recorded pass; false where the recording is not of this cache's memory. */
  replay(recording: Recording, token: number, position: number): boolean {
    return native.replay(recording, this.#handle(), token, position);
  }
  /** All layers have got the keys of tokens up to `length`. */
  commit(length: number): void {
    this.#length = length;
  }
  /** Forgets the tokens from `length` on. */
  truncate(length: number): void {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.#length)
      throw new ArgumentError(`truncate: length must be in [0, ${this.#length}], got ${length}`, {
        op: "truncate",
        argument: "length",
      });
    this.rollback(length);
  }
  /** truncate for a pass that was interrupted: its keys may lie behind `length`, or its commit be missing. */
  rollback(length: number): void {
    if (!this.#native) return;
    native.cacheTruncate(this.#native, length);
    this.#length = Math.min(this.#length, length);
  }

  /** CacheMismatchError unless the cache was made for this shape (any dtype). */
  requireFits(shape: Omit<KVCacheShape, "dtype">): void {
    const absent = { numLayers: 1, numKVHeads: 1, headDim: 1, keySets: 1, device: "cpu" };
    for (const field of ["numLayers", "numKVHeads", "headDim", "keySets", "device"] as const) {
      const [actual, expected] = [this.shape[field] ?? absent[field], shape[field] ?? absent[field]];
      if (actual === expected) continue;
      throw new CacheMismatchError(
        `the cache was made for ${field} = ${actual}, the model and its ropeScaling have ${field} = ${expected}`,
        { field, expected, actual },
      );
    }
  }

  /** `resource` is disposed with the cache. */
  keep(resource: { dispose(): void }): void {
    this.#kept.add(resource);
  }
  dispose(): void {
    for (const resource of this.#kept) resource.dispose();
    this.#kept.clear();
    if (this.#native) native.dispose(this.#native);
    this.#native = undefined;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #handle(): NativeKVCache {
    if (this.#native) return this.#native;
    throw new DisposedError("the key/value cache was disposed", { object: "KVCache" });
  }
}
