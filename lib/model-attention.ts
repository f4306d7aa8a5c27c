// Attention to a window and the first tokens as StreamingLLM means it: Xiao et al. 2023, "Efficient Streaming Language
// Models with Attention Sinks". Positions are those within the window's cache: however long the text is, the first tokens
// stand right before the window, at distances the model was trained on.
import type { CacheAttentionOptions, KVCache } from "./cache/kv-cache.js";
import { native } from "./binding.js";
import type { PatternSpec } from "./native.d.ts";
import type { Rotary } from "./positions/index.js";
import type { Tensor } from "./tensor.js";

export interface LayerAttention extends CacheAttentionOptions {
  /** With a window: first tokens that stay visible behind it. */
  sinks?: number;
}

/** Keys 0 … sinks − 1, as far as they lie behind the window of a query from `first` on. */
function behind(sinks: number, window: number, first: number): PatternSpec {
  const keys = { kind: "keys", bounds: [0, sinks] };
  if (first >= sinks + window - 1) return keys;
  return { kind: "intersect", of: [keys, { kind: "dilatedWindow", rate: 1, skip: window, before: 2 ** 30 }] };
}

/**
 * q [1, n, numHeads, headDim], rotated, of positions from `first` on, over a layer's keys. Beyond the window the sinks see
 * q as if it were at the cache's last place: turned back by the rest.
 */
export function attendLayer(
  cache: KVCache,
  layer: number,
  q: Tensor,
  first: number,
  { sinks = 0, ...options }: LayerAttention,
  rope: Rotary,
): Tensor {
  const count = q.shape[1]!;
  const window = (options.window?.before ?? 0) + 1;
  if (sinks === 0 || first + count <= window) return cache.attend(layer, q, options);
  const last = sinks + window - 1;
  const back = Int32Array.from({ length: count }, (_, i) => Math.min(0, last - (first + i)));
  const turned = back[count - 1] === 0 ? q : native.rope(q, back, { ...rope, attentionScale: 1 });
  const pattern = { spec: () => behind(sinks, window, first) };
  const { scale } = options;
  return native.mergeAttention([
    cache.attend(layer, q, { ...options, returnLse: true }),
    cache.attend(layer, turned, { ...(scale !== undefined && { scale }), pattern, returnLse: true }),
  ]).out;
}
