// @ts-check
// flashAttention's cases: shapes, masks and score changes; what tests compare and the bench times. Plain JavaScript, so that
// the bench reads the same list.
/** @typedef {import("../../lib/index.js").FlashAttentionOptions} FlashAttentionOptions */
/** @typedef {import("../support/numbers.js").FloatDType} FloatDType */
/**
 * @typedef {object} AttentionCase
 * @property {string} name
 * @property {number} batch
 * @property {number} seqLenQ
 * @property {number} seqLenKV
 * @property {number} numHeads
 * @property {number} numKVHeads
 * @property {number} headDim
 * @property {number} valueDim
 * @property {boolean} [causal]
 * @property {number | { before: number, after?: number }} [window]
 * @property {{ tokens: number, window: number }} [sinks]
 * @property {number} [scale]
 * @property {number} [softcap]
 * @property {boolean} [alibi]
 * @property {readonly number[]} [bias] its shape
 * @property {boolean} [sinkLogits]
 * @property {import("../support/tensors.js").Layout} [layout]
 * @property {readonly FloatDType[]} [dtypes] all three if absent
 * @property {{ from: number, quick: boolean }} [bench] timed at `benchShapes` of at least so many tokens, with --quick or not
 * @property {{ dtypes: readonly FloatDType[], target: number }} [decode] timed beside the cache (kv-cache.mjs)
 */

const base = { batch: 1, seqLenQ: 33, seqLenKV: 33, numHeads: 2, numKVHeads: 2, headDim: 32, valueDim: 32 };
/** @typedef {Partial<AttentionCase> & { dim?: number, seqLen?: number, heads?: [number, number] }} Change */
/** @type {(name: string, change: Change) => AttentionCase} */
function make(name, { dim, seqLen, heads, ...change }) {
  const sizes = {
    ...(dim === undefined ? {} : { headDim: dim, valueDim: dim }),
    ...(seqLen === undefined ? {} : { seqLenQ: seqLen, seqLenKV: seqLen }),
    ...(heads === undefined ? {} : { numHeads: heads[0], numKVHeads: heads[1] }),
  };
  return { ...base, ...sizes, ...change, name };
}

const widths = [1, 3, 20, 64, 80, 96, 128, 192, 255, 256];
/** @type {AttentionCase[]} */
export const attentionCases = [
  make("one query, one key", { seqLen: 1 }),
  make("causal, 130 long", { seqLen: 130, causal: true, dim: 64, bench: { from: 1024, quick: true } }),
  make("full, 65 long", { seqLen: 65, batch: 2, bench: { from: 4096, quick: false } }),
  ...widths.map((dim) => make(`headDim ${dim}`, { dim, seqLen: 37, causal: true, numHeads: 1, numKVHeads: 1 })),
  make("valueDim below headDim", { headDim: 96, valueDim: 40, causal: true }),
  make("valueDim above headDim", { headDim: 24, valueDim: 136 }),
  make("grouped queries 8/2", { heads: [8, 2], dim: 64, causal: true }),
  make("one key head for 6", { heads: [6, 1], dim: 40, causal: true, batch: 2 }),
  make("one new query (decode)", {
    seqLenQ: 1,
    seqLenKV: 301,
    heads: [8, 2],
    dim: 64,
    causal: true,
    decode: { dtypes: ["bfloat16", "float32"], target: 0.65 },
  }),
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
  .../** @type {const} */ (["transposed", "sliced", "columns"]).map((layout) =>
    make(`views: ${layout}`, { layout, batch: 2, heads: [4, 2], dim: 40, seqLen: 45, causal: true }),
  ),
];

/**
 * Several tiles of keys (192) and of rows (to 512) that neither length is a multiple of. The references are dense: on the
 * best instruction set only (test/many-tiles.test.ts).
 * @type {AttentionCase[]}
 */
export const longAttentionCases = [
  make("full", { seqLenQ: 527, seqLenKV: 1021, heads: [2, 1], dim: 8, dtypes: ["float32"] }),
  make("causal", { seqLen: 901, heads: [1, 1], headDim: 4, valueDim: 20, causal: true, dtypes: ["float32"] }),
  make("causal, one chunk of rows", {
    seqLenQ: 69,
    seqLenKV: 1409,
    heads: [4, 1],
    dim: 8,
    causal: true,
    dtypes: ["float32", "bfloat16"],
  }),
  make("headDim 128", {
    seqLenQ: 35,
    seqLenKV: 963,
    heads: [1, 1],
    dim: 128,
    causal: true,
    dtypes: ["float16", "bfloat16"],
  }),
  make("window {before: 301, after: 77}", {
    seqLenQ: 555,
    seqLenKV: 1111,
    heads: [2, 1],
    dim: 8,
    window: { before: 301, after: 77 },
    dtypes: ["bfloat16"],
  }),
  make("window 250, causal", { seqLen: 1001, heads: [1, 1], dim: 8, window: 250, causal: true, dtypes: ["float16"] }),
  make("200 sinks and a window of 350", {
    seqLenQ: 530,
    seqLenKV: 1201,
    heads: [2, 1],
    dim: 8,
    sinks: { tokens: 200, window: 350 },
    dtypes: ["bfloat16"],
  }),
  make("one new query (decode)", { seqLenQ: 1, seqLenKV: 1501, heads: [4, 1], dim: 40, causal: true }),
  make("five new queries", { seqLenQ: 5, seqLenKV: 1333, heads: [2, 1], dim: 40, causal: true }),
  make("more queries than keys: the first see nothing", {
    seqLenQ: 907,
    seqLenKV: 601,
    heads: [1, 1],
    dim: 8,
    causal: true,
    dtypes: ["float32"],
  }),
  make("everything at once, views", {
    softcap: 3,
    alibi: true,
    bias: [1, 2, 1, 941],
    sinkLogits: true,
    window: 400,
    causal: true,
    heads: [2, 1],
    seqLenQ: 523,
    seqLenKV: 941,
    dim: 8,
    layout: "transposed",
    dtypes: ["float16"],
  }),
];

const grouped = { numHeads: 32, numKVHeads: 8 };
const own = { numHeads: 8, numKVHeads: 8 };
const short = [1024, 4096, 16384];
/** Heads, lengths, and the share of the ceiling asked for: at 1,024 tokens, and at more. */
export const benchShapes = [
  { dtype: "float32", ...grouped, headDim: 128, seqLens: short, targets: [0.8, 0.85] },
  { dtype: "float32", ...grouped, headDim: 64, seqLens: short, targets: [0.8, 0.85] },
  { dtype: "float32", ...own, headDim: 128, seqLens: [4096, 16384], targets: [0.8, 0.8] },
  { dtype: "float32", ...own, headDim: 64, seqLens: [4096, 16384], targets: [0.8, 0.8] },
  { dtype: "bfloat16", ...grouped, headDim: 128, seqLens: short, targets: [0.73, 0.8] },
  { dtype: "bfloat16", ...grouped, headDim: 64, seqLens: short, targets: [0.73, 0.75] },
  { dtype: "bfloat16", ...own, headDim: 128, seqLens: [4096], targets: [0.8, 0.8] },
];

/**
 * Which keys a query sees, from the definition (spec: bottom-right alignment).
 * @param {AttentionCase} c
 * @returns {import("../reference/attention.js").Allows}
 */
export function allows(c) {
  const offset = c.seqLenKV - c.seqLenQ;
  const { before, after } = reach(c);
  return (q, kv) => {
    const p = q + offset;
    return kv <= p + after && (kv >= p - before || (c.sinks !== undefined && kv < c.sinks.tokens));
  };
}

/** @typedef {Pick<AttentionCase, "causal" | "window" | "sinks">} Mask */
/** @type {(mask: Mask) => { before: number, after: number }} */
function reach({ causal, window, sinks }) {
  const all = Number.POSITIVE_INFINITY;
  if (sinks) return { before: sinks.window, after: 0 };
  if (window === undefined) return { before: all, after: causal ? 0 : all };
  const given = typeof window === "number" ? { before: window, after: window } : { after: 0, ...window };
  return { before: given.before, after: causal ? 0 : given.after };
}

/**
 * @param {AttentionCase} c
 * @param {import("./patterns.mjs").Patterns} patterns
 * @returns {FlashAttentionOptions}
 */
export function options(c, patterns) {
  return {
    ...(c.sinks ? { pattern: patterns.sinks(c.sinks) } : {}),
    ...(c.causal === undefined ? {} : { causal: c.causal }),
    ...(c.window === undefined ? {} : { window: c.window }),
    ...(c.scale === undefined ? {} : { scale: c.scale }),
    ...(c.softcap === undefined ? {} : { softcap: c.softcap }),
  };
}

/**
 * Allowed pairs counted exactly, row by row; 2 · (headDim + valueDim) for each, in every query head.
 * @param {Omit<AttentionCase, "name">} c
 */
export function flops(c) {
  const { before, after } = reach(c);
  let pairs = 0;
  for (let q = 0; q < c.seqLenQ; q++) {
    const p = q + c.seqLenKV - c.seqLenQ;
    const end = Math.max(0, Math.min(c.seqLenKV, p + after + 1));
    const first = Math.min(end, Math.max(0, p - before));
    pairs += end - first + Math.min(first, c.sinks?.tokens ?? 0);
  }
  return 2 * (c.headDim + c.valueDim) * pairs * c.batch * c.numHeads;
}
