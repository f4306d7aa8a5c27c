// Quest: pages of keys by an upper bound on their scores.
import { native } from "../binding.js";
import { blockSelector, count, countOrNone, parameters, type Selector } from "./select.js";

export interface QuestOptions {
  /** Keys in a page; 16 if absent. */
  pageSize?: number;
  /** Keys that a query may see. */
  tokenBudget: number;
  /** Pages at least; 3 if absent. */
  minPages?: number;
  /** No later key; true if absent. */
  causal?: boolean;
}
/**
 * Quest (Tang et al. 2024): for each query and query head the max(minPages, ⌊tokenBudget / pageSize⌋) pages with the
 * highest bound Σ_d max(q_d · max_d, q_d · min_d) ≥ max q·k, from the largest and smallest value of every dim in a page;
 * among equals the earlier page. A query that sees at most tokenBudget keys sees them all. Of the page that a query
 * stands in only the keys that it sees count. Made for decoding, where cost is that of the pages instead of all keys;
 * the paper leaves the first two layers and the prefill dense.
 */
export function quest(options: QuestOptions): Selector {
  const rules = { pageSize: count, tokenBudget: { ...countOrNone, required: true }, minPages: count };
  const given = parameters("quest", options, rules, ["causal"]);
  const { pageSize = 16, causal = true } = given;
  return blockSelector("Quest", (q, k) => native.selectQuest(q, k, given), { blockQ: 1, blockKV: pageSize, causal });
}
