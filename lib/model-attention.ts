// Attention to a window and the first tokens as StreamingLLM means it: Xiao et al. 2023, "Efficient Streaming Language
// Models with Attention Sinks". Positions are those within the window's cache: however long the text is, the first tokens
// stand right before the window, at distances the model was trained on.
import { mergeAttention } from "./attention.js";
import { mergedParts, turned } from "./attention/remapped.js";
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
  const turned = back[count - 1] === 0 ? q : native.rope(q, back, { frequencies: rope.frequencies });
  const pattern = { spec: () => behind(sinks, window, first) };
  const { scale } = options;
  return mergeAttention([
    cache.attend(layer, q, { ...options, returnLse: true }),
    cache.attend(layer, turned, { ...(scale !== undefined && { scale }), pattern, returnLse: true }),
  ]).out;
}

export interface LayerHeads {
  /** [1, n, numHeads, headDim], not turned, of positions from `first` on. */
  q: Tensor;
  /** [1, n, numKVHeads, headDim], not turned. */
  k: Tensor;
  v: Tensor;
  first: number;
}

/** The pairs of a region that the layer's window or pattern allows too. */
function within(pairs: PatternSpec, { window, pattern }: LayerAttention): { spec: PatternOf } {
  const own: PatternSpec | undefined = window && { kind: "window", before: window.before, after: 0 };
  return {
    spec(lengths) {
      const limit = pattern?.spec(lengths) ?? own;
      return limit ? { kind: "intersect", of: [limit, pairs] } : pairs;
    },
  };
}
type PatternOf = NonNullable<CacheAttentionOptions["pattern"]>["spec"];

/** Attention at the distances of `rotary.distances`: keys are kept turned in each of its ways, queries are turned here. */
export function attendRemapped(
  cache: KVCache,
  layer: number,
  { q, k, v, first }: LayerHeads,
  options: LayerAttention,
  rotary: Rotary,
): Tensor {
  const { keys, regions } = rotary.distances!;
  const [near, far] = keys.map((placement) => turned(k, first, placement, rotary));
  cache.append(layer, near!, v, far);
  const { scale } = options;
  const parts = regions
    .filter(({ from }) => from < first + q.shape[1]!)
    .map(({ pairs, query, keySet }) =>
      cache.attend(layer, turned(q, first, query, rotary), {
        ...(scale !== undefined && { scale }),
        pattern: within(pairs, options),
        keySet,
        returnLse: true,
      }),
    );
  return mergedParts(parts).out;
}
