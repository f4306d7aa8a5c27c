// MoBA: chunks of keys by their mean key.
import { native } from "../binding.js";
import { blockSelector, parameters, required, type Selector } from "./select.js";

export interface MobaOptions {
  /** Keys in a chunk. */
  chunkSize: number;
  /** Chunks that a query sees, its own among them. */
  topK: number;
  /** No later key; true if absent. */
  causal?: boolean;
}
/**
 * Mixture of block attention (Lu et al. 2025, MoBA): for each query and query head the topK chunks with the highest
 * q · mean(k of the chunk); the own chunk always, chunks of the future never, among equals the earlier. No parameters of
 * its own, so that it can take the place of full attention; topK · chunkSize of 4k to 32k is what the paper trains with.
 */
export function moba(options: MobaOptions): Selector {
  const given = parameters("moba", options, { chunkSize: required, topK: required }, ["causal"]);
  const { chunkSize, causal = true } = given;
  return blockSelector("MoBA", (q, k) => native.selectMoba(q, k, given), { blockQ: 1, blockKV: chunkSize, causal });
}
