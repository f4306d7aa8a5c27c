// Attention at distances other than those in the text: ReRoPE, Leaky ReRoPE, Self-Extend, Dual Chunk Attention,
// LM-Infinite. Queries and keys come unturned. Each region of pairs is one pass of the kernel over its pattern, with
// queries and keys turned for it; only tiles that a border crosses are met by two passes.
import { type AttentionPart, flashAttention, mergeAttention } from "../attention.js";
import { native } from "../binding.js";
import { ShapeError } from "../errors.js";
import { checkedOptions, wrongArgument } from "../options.js";
import { Pattern, patterns } from "../patterns/index.js";
import type { Placement, RemappedRotary, RopeLayout, Rotary } from "../positions/index.js";
import { scope, shapeOf, type Tensor, type TensorLike } from "../tensor.js";

/** x [batch, n, heads, headDim] of tokens from `first` on, turned as they are placed; x itself where that is no turn. */
export function turned<T extends TensorLike>(
  x: T,
  first: number,
  { place, step = 1, offset = 0 }: Placement,
  { frequencies, attentionScale }: Rotary,
  layout: RopeLayout = "half",
): T | Tensor {
  const places = Int32Array.from({ length: shapeOf(x)[1]! }, (_, i) => place(first + i));
  if (attentionScale === 1 && offset === 0 && places.every((at) => at === 0)) return x;
  return native.rope(x as unknown as Tensor, places, {
    frequencies,
    attentionScale,
    layout,
    positionStep: step,
    positionOffset: offset,
  });
}

/** Parts of disjoint keys as one; the only one as it is. */
export function mergedParts(parts: readonly AttentionPart[]): AttentionPart {
  return parts.length === 1 ? parts[0]! : mergeAttention(parts);
}

export interface RemappedAttentionOptions extends RemappedRotary {
  /** How pairs of dims lie, "half" if absent. */
  layout?: RopeLayout;
  /** Factor on q·k; headDim ** -0.5 if absent. */
  scale?: number;
  /** Only pairs that this pattern allows as well. */
  pattern?: Pattern;
  /** Factor on a query's scores, broadcastable to [batch, numHeads, seqLenQ]. */
  queryScale?: Tensor;
  returnLse?: boolean;
}
const optionNames = [
  "frequencies",
  "attentionScale",
  "distances",
  "layout",
  "scale",
  "pattern",
  "queryScale",
  "returnLse",
];

/**
 * Attention of unturned q [batch, seqLenQ, numHeads, headDim] and k [batch, seqLenKV, numKVHeads, headDim] at the distances
 * of a map, as in `remappedAttention(q, k, v, positions.rerope({ rotaryDim, window }))`; the last query is aligned with the
 * last key. With no bidirectional map a query sees no later key. Holds, beside q, k and v, their turned copies and one
 * output for each region. Throws as flashAttention does.
 */
export function remappedAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: RemappedAttentionOptions & { returnLse: true },
): AttentionPart;
export function remappedAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: RemappedAttentionOptions & { returnLse?: false },
): Tensor;
export function remappedAttention(
  q: TensorLike,
  k: TensorLike,
  v: TensorLike,
  options: RemappedAttentionOptions,
): Tensor | AttentionPart {
  const op = "remappedAttention";
  const given = checkedOptions(op, options, optionNames);
  const { distances, frequencies, attentionScale = 1, layout, pattern, returnLse, ...rest } = given;
  if (!distances || !frequencies)
    wrongArgument(op, "options", "frequencies and distances, as positions.rerope and its kin make them", options);
  const seqLenKV = seqLenOf(op, "k", k);
  const first = seqLenKV - seqLenOf(op, "q", q);
  const rotary = { frequencies, attentionScale };
  return scope(() => {
    const keys = distances.keys.map((placement) => turned(k, 0, placement, rotary, layout));
    const parts = distances.regions
      .filter(({ from }) => from < seqLenKV)
      .map(({ pairs, query, keySet }) => {
        const region = new Pattern(pairs);
        return flashAttention(turned(q, first, query, rotary, layout), keys[keySet]!, v, {
          ...rest,
          pattern: pattern ? patterns.intersect(region, pattern) : region,
          returnLse: true,
        });
      });
    const { out, lse } = mergedParts(parts);
    return returnLse ? { out, lse } : out;
  });
}

function seqLenOf(op: string, argument: string, x: TensorLike): number {
  const shape = shapeOf(x);
  if (shape.length === 4) return shape[1]!;
  const expected = `[batch, seqLen, heads, headDim]`;
  throw new ShapeError(`${op}: ${argument} must be ${expected}, got [${shape.join(", ")}]`, {
    op,
    argument,
    expected,
    actual: `[${shape.join(", ")}]`,
  });
}
