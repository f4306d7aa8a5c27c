// flashAttention's cases: shapes, masks and score changes; what tests compare and the bench times.
import { type FlashAttentionOptions, patterns, type Pattern } from "../../lib/index.js";
import type { Allows } from "../reference/attention.js";
import type { FloatDType } from "../support/numbers.js";
import type { Layout } from "../support/tensors.js";

export interface AttentionCase {
  name: string;
  batch: number;
  seqLenQ: number;
  seqLenKV: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
  valueDim: number;
  causal?: boolean;
  window?: number | { before: number; after?: number };
  sinks?: { tokens: number; window: number };
  scale?: number;
  softcap?: number;
  alibi?: boolean;
  bias?: readonly number[]; // its shape
  sinkLogits?: boolean;
  layout?: Layout;
}

const base = { batch: 1, seqLenQ: 33, seqLenKV: 33, numHeads: 2, numKVHeads: 2, headDim: 32, valueDim: 32 };
type Change = Partial<AttentionCase> & { dim?: number; seqLen?: number; heads?: [number, number] };
function make(name: string, { dim, seqLen, heads, ...change }: Change): AttentionCase {
  const sizes = {
    ...(dim === undefined ? {} : { headDim: dim, valueDim: dim }),
    ...(seqLen === undefined ? {} : { seqLenQ: seqLen, seqLenKV: seqLen }),
    ...(heads === undefined ? {} : { numHeads: heads[0], numKVHeads: heads[1] }),
  };
  return { ...base, ...sizes, ...change, name };
}

const widths = [1, 3, 20, 64, 80, 96, 128, 192, 255, 256];
export const attentionCases: AttentionCase[] = [
  make("one query, one key", { seqLen: 1 }),
  make("full, 65 long", { seqLen: 65, batch: 2 }),
  make("causal, 130 long", { seqLen: 130, causal: true, dim: 64 }),
  ...widths.map((dim) => make(`headDim ${dim}`, { dim, seqLen: 37, causal: true, numHeads: 1, numKVHeads: 1 })),
  make("valueDim below headDim", { headDim: 96, valueDim: 40, causal: true }),
  make("valueDim above headDim", { headDim: 24, valueDim: 136 }),
  make("grouped queries 8/2", { heads: [8, 2], dim: 64, causal: true }),
  make("one key head for 6", { heads: [6, 1], dim: 40, causal: true, batch: 2 }),
  make("one new query (decode)", { seqLenQ: 1, seqLenKV: 301, heads: [8, 2], dim: 64, causal: true }),
  make("five new queries after a cache", { seqLenQ: 5, seqLenKV: 170, heads: [4, 1], dim: 64, causal: true }),
  make("a chunk after a cache", { seqLenQ: 70, seqLenKV: 190, causal: true }),
  make("more queries than keys: the first see nothing", { seqLenQ: 50, seqLenKV: 20, causal: true }),
  make("more queries than keys, full", { seqLenQ: 50, seqLenKV: 20 }),
  make("no keys", { seqLenKV: 0 }),
  make("no keys but a sink logit", { seqLenKV: 0, sinkLogits: true }),
  make("no queries", { seqLenQ: 0 }),
  make("no batch", { batch: 0 }),
  make("window 7, causal", { seqLen: 100, window: 7, causal: true }),
  make("window 0: only itself", { seqLen: 40, window: 0, causal: true }),
  make("window 5 on both sides", { seqLen: 100, window: 5 }),
  make("window {before: 2, after: 20}", { seqLen: 90, window: { before: 2, after: 20 } }),
  make("window {before: 40, after: 0}, shorter queries", {
    seqLenQ: 30,
    seqLenKV: 110,
    window: { before: 40, after: 0 },
  }),
  make("window far before, more queries than keys", { seqLenQ: 90, seqLenKV: 25, window: { before: 4, after: 3 } }),
  make("2 sinks and a window of 11", { seqLen: 120, sinks: { tokens: 2, window: 11 } }),
  make("70 sinks, decode", { seqLenQ: 1, seqLenKV: 300, sinks: { tokens: 70, window: 30 } }),
  make("own scale", { scale: 0.3, causal: true }),
  make("negative scale", { scale: -0.2 }),
  make("scale 0", { scale: 0, causal: true }),
  make("softcap", { softcap: 2, causal: true, seqLen: 70 }),
  make("alibi, causal", { alibi: true, causal: true, seqLen: 70, heads: [4, 2] }),
  make("alibi on both sides", { alibi: true, seqLen: 45 }),
  make("bias per pair", { bias: [2, 4, 30, 45], batch: 2, heads: [4, 2], seqLenQ: 30, seqLenKV: 45 }),
  make("bias per key", { bias: [1, 1, 1, 45], batch: 2, seqLenQ: 30, seqLenKV: 45, causal: true }),
  make("bias per head", { bias: [2, 1, 1] }),
  make("bias of rank 2", { bias: [30, 45], seqLenQ: 30, seqLenKV: 45 }),
  make("sink logits", { sinkLogits: true, causal: true, heads: [4, 2], seqLen: 50 }),
  make("everything at once", {
    softcap: 3,
    alibi: true,
    bias: [1, 4, 1, 77],
    sinkLogits: true,
    window: 20,
    causal: true,
    heads: [4, 1],
    seqLenQ: 40,
    seqLenKV: 77,
    dim: 48,
  }),
  ...(["transposed", "sliced", "columns"] as const).map((layout) =>
    make(`views: ${layout}`, { layout, batch: 2, heads: [4, 2], dim: 40, seqLen: 45, causal: true }),
  ),
];

/** Which keys a query sees, from the definition (spec: bottom-right alignment). */
export function allows(c: AttentionCase): Allows {
  const offset = c.seqLenKV - c.seqLenQ;
  const { before, after } = reach(c);
  return (q, kv) => {
    const p = q + offset;
    return kv <= p + after && (kv >= p - before || (c.sinks !== undefined && kv < c.sinks.tokens));
  };
}

function reach({ causal, window, sinks }: AttentionCase): { before: number; after: number } {
  const all = Number.POSITIVE_INFINITY;
  if (sinks) return { before: sinks.window, after: 0 };
  if (window === undefined) return { before: all, after: causal ? 0 : all };
  const given = typeof window === "number" ? { before: window, after: window } : { after: 0, ...window };
  return { before: given.before, after: causal ? 0 : given.after };
}

export function options(c: AttentionCase): FlashAttentionOptions {
  const pattern: Pattern | undefined = c.sinks && patterns.sinks(c.sinks);
  return {
    ...(pattern ? { pattern } : {}),
    ...(c.causal === undefined ? {} : { causal: c.causal }),
    ...(c.window === undefined ? {} : { window: c.window }),
    ...(c.scale === undefined ? {} : { scale: c.scale }),
    ...(c.softcap === undefined ? {} : { softcap: c.softcap }),
  };
}

/** Allowed pairs counted exactly; 2 · (headDim + valueDim) for each, in every query head. */
export function flops(c: AttentionCase): number {
  const sees = allows(c);
  let pairs = 0;
  for (let i = 0; i < c.seqLenQ; i++) for (let j = 0; j < c.seqLenKV; j++) pairs += sees(i, j) ? 1 : 0;
  return 2 * (c.headDim + c.valueDim) * pairs * c.batch * c.numHeads;
}

/** Inputs read once, the output written once. */
export function bytes(c: AttentionCase, dtype: FloatDType): number {
  const perElement = dtype === "float32" ? 4 : 2;
  const queries = c.seqLenQ * c.numHeads * (c.headDim + c.valueDim);
  const keys = c.seqLenKV * c.numKVHeads * (c.headDim + c.valueDim);
  return c.batch * (queries + keys) * perElement;
}
