// The factories of patterns: one word each.
import { Pattern } from "./pattern.js";

export { Pattern } from "./pattern.js";

export const patterns = {
  /** Every query sees every key. */
  full: () => new Pattern({ kind: "full" }),
  /** A query sees no later key. */
  causal: () => new Pattern({ kind: "causal" }),
  /** Its own key, `before` keys before it and `after` keys after it (Beltagy et al. 2020, Longformer). */
  window: ({ before, after = 0 }: { before: number; after?: number }) => new Pattern({ kind: "window", before, after }),
  /** The first `tokens` keys and a window of the last `window` keys before its own (Xiao et al. 2023, StreamingLLM). */
  sinks: ({ tokens, window }: { tokens: number; window: number }) =>
    new Pattern({ kind: "sinks", tokens, before: window, after: 0 }),
};
