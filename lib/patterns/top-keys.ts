// The nearest keys, exactly: kNN attention.
import { native } from "../binding.js";
import { blockSelector, parameters, required, type Selector } from "./select.js";

export interface TopKeysOptions {
  /** Keys that a query sees. */
  k: number;
  /** No later key; true if absent. */
  causal?: boolean;
}
/**
 * For each query and query head the k keys with the highest q·k, among equals the earlier: exact search, every key is
 * scored, k values are read (Wu et al. 2022, Memorizing Transformers: k = 32 of a memory; Bertsch et al. 2023,
 * Unlimiformer: as many as the encoder's window). With causal: false, queries and keys may be of different sequences,
 * as in cross attention over a memory; merge with local attention by mergeAttention.
 */
export function topKeys(options: TopKeysOptions): Selector {
  const given = parameters("topKeys", options, { k: required }, ["causal"]);
  const grid = { blockQ: 1, blockKV: 1, causal: given.causal ?? true };
  return blockSelector("nearest keys", (q, k) => native.selectTopKeys(q, k, given), grid);
}
