// XAttention: blocks by their share of attention, estimated along antidiagonals.
import { native } from "../binding.js";
import { wrongArgument } from "../options.js";
import { blockSelector, count, parameters, type Selector } from "./select.js";

export interface XAttentionOptions {
  /** Positions in a tile, up to 32; 8 if absent. The paper also takes 16. */
  stride?: number;
  /** Share of the estimated attention that is kept; 0.9 if absent, 1 keeps all. */
  threshold?: number;
  /** Positions in a block of queries and of keys, up to 2048; 128 if absent. A multiple of stride. */
  blockSize?: number;
  /** No later key; true if absent. */
  causal?: boolean;
  /** Divides the scores; 1 if absent. */
  norm?: number;
  /** The first block of keys in any case; false if absent. */
  keepSink?: boolean;
  /** A row's own block in any case; false if absent. */
  keepRecent?: boolean;
}
/**
 * XAttention (Xu et al. 2025): a tile of stride × stride pairs is scored by the sum along its antidiagonal,
 * Σ_t q[stride − 1 − t] · k[t] / (√headDim · stride · norm), what lies behind an end counting as zero; softmax over the
 * tiles that begin at a query's or before; summed into blocks. A row of blocks keeps the fewest blocks that hold
 * `threshold` of its mass, among equals the earlier. For the prefill of long prompts; the paper has thresholds per head
 * (patterns.perHead). The repository's keep_sink marks the first row of queries; here it is the first block of keys.
 */
export function xAttention(options: XAttentionOptions = {}): Selector {
  const rules = {
    stride: { ...count, max: 32 },
    threshold: { min: 0, max: 1 },
    blockSize: { ...count, max: 2048 },
    norm: { min: 0, above: true },
  };
  const given = parameters("xAttention", options, rules, ["causal", "keepSink", "keepRecent"]);
  const { stride = 8, blockSize = 128, causal = true } = given;
  if (blockSize % stride) wrongArgument("xAttention", "stride", `a divisor of ${blockSize}`, stride);
  const grid = { blockQ: blockSize, blockKV: blockSize, causal };
  return blockSelector("XAttention", (q, k) => native.selectXAttention(q, k, given), grid);
}
