// Near keys: full, causal, window, sinks, chunks, prefix language models.
import { checkedOptions } from "../options.js";
import { Pattern } from "./pattern.js";

/** Every query sees every key. */
export const full = () => new Pattern({ kind: "full" });

/** A query sees no later key: j ≤ i, the last query aligned with the last key. */
export const causal = () => new Pattern({ kind: "causal" });

export interface WindowOptions {
  /** Keys before the own one. */
  before: number;
  /** Keys after the own one; 0 if absent. */
  after?: number;
}
/** i − before ≤ j ≤ i + after (Beltagy et al. 2020, Longformer; Jiang et al. 2023, Mistral: before = W − 1). */
export function window(options: WindowOptions): Pattern {
  const { before, after = 0 } = checkedOptions("window", options, ["before", "after"]) as WindowOptions;
  return new Pattern({ kind: "window", before, after });
}

export interface SinksOptions {
  /** First keys that everyone keeps. */
  tokens: number;
  /** Keys before the own one that are seen too. */
  window: number;
}
/** j < tokens or i − window ≤ j ≤ i (Xiao et al. 2023, StreamingLLM). To use in a model that has no use for the middle. */
export function sinks(options: SinksOptions): Pattern {
  const { tokens, window: before } = checkedOptions("sinks", options, ["tokens", "window"]) as SinksOptions;
  return new Pattern({ kind: "sinks", tokens, before, after: 0 });
}

export interface LambdaOptions {
  /** First keys that everyone sees (global_branch). */
  globalBranch: number;
  /** Keys seen counting the own one (local_branch): distances below it. */
  localBranch: number;
}
/**
 * The Λ-shaped mask: j < globalBranch or i − localBranch < j ≤ i (Han et al. 2023, LM-Infinite). The paper also limits the
 * distance of the global keys: rotate queries for them separately (position schemes).
 */
export function lambda(options: LambdaOptions): Pattern {
  const names = ["globalBranch", "localBranch"];
  const { globalBranch, localBranch } = checkedOptions("lambda", options, names) as LambdaOptions;
  return new Pattern({ kind: "sinks", tokens: globalBranch, before: localBranch - 1, after: 0 }, { title: "Λ-shaped" });
}

/** A-shape: first `initial` keys and the last `local` ones, the own one counted (Jiang et al. 2024, MInference). */
export function aShape(options: { initial?: number; local?: number } = {}): Pattern {
  const { initial = 128, local = 3968 } = checkedOptions("aShape", options, ["initial", "local"]);
  return new Pattern({ kind: "sinks", tokens: initial, before: local - 1, after: 0 }, { title: "A-shape" });
}

export interface ChunksOptions {
  /** Positions in a chunk. */
  size: number;
  /** Chunks before the own one that are seen; 0 if absent. */
  before?: number;
  /** Chunks after the own one; 0 if absent. */
  after?: number;
  /** By how much the first chunk is shorter; 0 if absent. */
  shift?: number;
  /** No later key; true if absent. */
  causal?: boolean;
}
/**
 * ⌊j / size⌋ = ⌊i / size⌋ and j ≤ i (Llama 4's attention chunks). With before = after = 1 and causal false it is
 * Longformer's sliding_chunks_no_overlap.
 */
export function chunks(options: ChunksOptions): Pattern {
  const names = ["size", "before", "after", "shift", "causal"];
  const { causal = true, ...rest } = checkedOptions("chunks", options, names) as ChunksOptions;
  return new Pattern({ kind: "chunks", causal, ...rest });
}

/** The first `prefix` keys are seen by all, the others causally: j < prefix or j ≤ i (Raffel et al. 2020, T5). */
export function prefixLM(options: { prefix: number }): Pattern {
  const { prefix } = checkedOptions("prefixLM", options, ["prefix"]) as { prefix: number };
  return new Pattern({ kind: "prefix", tokens: prefix }, { title: "prefix LM" });
}
