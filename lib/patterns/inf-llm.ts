// InfLLM: blocks of a far past by a few representative keys.
import { native } from "../binding.js";
import { causalSpec, chosenBlocks, count, countOrNone, parameters, Selector } from "./select.js";

export interface InfLlmOptions {
  /** Keys in a block of the past; 128 if absent. */
  blockSize?: number;
  /** Blocks that are fetched; 16 if absent. */
  topK?: number;
  /** Keys whose mean stands for a block; 4 if absent, 0 for all of them. */
  representatives?: number;
  /** Keys that a query always sees, its own among them; 4096 if absent. */
  local?: number;
  /** First keys, which all see; 128 if absent. */
  initial?: number;
  /** Positions that choose together; 512 if absent. */
  queryBlock?: number;
  /** Each query head chooses for itself; else all heads see the same blocks. */
  perHead?: boolean;
}
/**
 * InfLLM (Xiao et al. 2024): the past is cut into blocks. A key m is scored by the queries that have it in their window,
 * Σ q_i · k_m over the given i in (m, m + local] (of the heads that read it); the `representatives` keys with the highest
 * scores are averaged into the block's key (of a block that no given query has in its window: all keys). Each run of
 * queryBlock positions sees the topK blocks with the highest mean(q) · block key, summed over all heads; the first
 * `initial` keys; and all from the last block on that was whole behind the window of its first query. Causal. Training-free, for models
 * beyond their trained length: there InfLLM also clamps all distances beyond the window to `local`, which is a matter of
 * the positions given to rope, not of the pattern.
 */
export function infLlm(options: InfLlmOptions = {}): Selector {
  const rules = {
    blockSize: count,
    topK: countOrNone,
    representatives: countOrNone,
    local: count,
    initial: countOrNone,
    queryBlock: count,
  };
  const given = parameters("infLlm", options, rules, ["perHead"]);
  const { blockSize = 128, initial = 128, queryBlock = 512 } = given;
  return new Selector("InfLLM", (q, k, base) => {
    const lists = native.selectInfLlm(q, k, given);
    const past = chosenBlocks(lists, { blockQ: queryBlock, blockKV: blockSize, base }, false);
    const seen = { kind: "union", of: [past, { kind: "keys", bounds: [0, initial] }] };
    return { lists, spec: { kind: "intersect", of: [seen, causalSpec] } };
  });
}
