// @ts-check
// Every pattern of `patterns`: its parameters at the lengths that tests and the bench use, and its definition written again
// from the paper. Positions: query i of seqLenQ stands at p = i + seqLenKV − seqLenQ. Plain JavaScript, so that the bench
// reads the same list; `patterns` is handed in, since tests have the library's source and the bench its build.
import { block, both, causal, either, isAncestor, longnet, near, stretch } from "../reference/patterns.mjs";

/** @typedef {import("../../lib/index.js").Pattern} Pattern */
/** @typedef {typeof import("../../lib/index.js").patterns} Patterns */
/**
 * How often the query at position p sees key j.
 * @typedef {(p: number, j: number, at: { head: number, seqLenKV: number }) => number | boolean} Definition
 */
/**
 * @typedef {object} PatternEntry
 * @property {string} factory its name in `patterns`
 * @property {string} [name] where one factory has several entries
 * @property {any} small parameters at about 100 tokens
 * @property {any} large parameters at 1,000 tokens and more: some tiles full, some cut, some empty
 * @property {(parameters: any) => Definition} definition
 * @property {(patterns: Patterns, parameters: any) => Pattern} [make] where it is not the factory of the parameters
 * @property {number} [numHeads] query heads it is for; 2 if absent
 * @property {number} [seqLen] keys at the small parameters; 100 if absent
 * @property {boolean} [byLength] the length of its sequence decides too: a decoded row is not the row of the whole, and
 *   sequences of their own lengths in one call are refused
 * @property {boolean} [anyLength] false where its lists are for one length
 * @property {{ kind: string, parameters: any, shapes?: object[] }[]} [bench] what is timed, at `benchShapes` if not its own
 */

export const longNet = { segments: [1024, 2048, 4096], rates: [1, 2, 4], causal: true };
/** The setting of the paper, in segments of 2,048 to 32,768 tokens. */
export const paper = { segments: [2048, 4096, 8192, 16384, 32768], rates: [1, 2, 4, 6, 12], causal: true };
const target = 0.85;
export const benchShapes = [
  { dtype: "float32", numHeads: 32, numKVHeads: 8, headDim: 128, seqLen: 4096, target },
  { dtype: "bfloat16", numHeads: 32, numKVHeads: 8, headDim: 128, seqLen: 4096, target },
  { dtype: "float32", numHeads: 12, numKVHeads: 12, headDim: 64, seqLen: 4096, target },
];
/** The paper's segments need more tokens than the others. */
const longShapes = ["float32", "bfloat16"].map((dtype) => ({
  ...{ dtype, numHeads: 8, numKVHeads: 2, headDim: 128, seqLen: 32768, target },
}));

/** @type {(q: number, kv: number) => "none" | "partial" | "full"} */
const third = (q, kv) => (kv === q ? "partial" : kv < q && (q + kv) % 3 === 0 ? "full" : "none");
/** @type {(q: number, kv: number) => boolean} */
const scattered = (q, kv) => kv <= q && (kv === q || (q * 7 + kv * 13) % 4 === 0);
const rows = [[0], [0, 1], [1, 2], [0, 3], [2, 4], [5]];
const longRows = Array.from({ length: 16 }, (_, i) => [i % 3, 3 + (i % 4), 11].slice(i % 2));
const randomRows = [[], [3], [4, 0], [1], []];
const longRandomRows = Array.from({ length: 24 }, (_, i) => [(i * 5) % 16, (i * 11 + 3) % 16]);

/** @type {PatternEntry[]} */
export const patternEntries = [
  { factory: "full", small: undefined, large: undefined, definition: () => () => true },
  { factory: "causal", small: undefined, large: undefined, definition: () => causal },
  {
    factory: "window",
    small: { before: 9, after: 4 },
    large: { before: 301, after: 70 },
    definition: ({ before, after }) => near(before, after),
    bench: [{ kind: "window 1023", parameters: { before: 1023, after: 0 } }],
  },
  {
    factory: "sinks",
    small: { tokens: 4, window: 20 },
    large: { tokens: 70, window: 333 },
    definition: ({ tokens, window }) =>
      both(
        causal,
        either((_, j) => j < tokens, near(window)),
      ),
    bench: [{ kind: "sinks 4 + 1023", parameters: { tokens: 4, window: 1023 } }],
  },
  {
    factory: "lambda",
    small: { globalBranch: 6, localBranch: 16 },
    large: { globalBranch: 100, localBranch: 260 },
    definition: ({ globalBranch, localBranch }) => both(causal, (p, j) => j < globalBranch || p - j < localBranch),
  },
  {
    factory: "aShape",
    small: { initial: 10, local: 12 },
    large: { initial: 200, local: 129 },
    definition: ({ initial, local }) => both(causal, (p, j) => j < initial || p - j < local),
  },
  {
    factory: "chunks",
    small: { size: 13 },
    large: { size: 250 },
    definition: ({ size }) => both(causal, (p, j) => block(p, size) === block(j, size)),
  },
  {
    factory: "chunks",
    name: "chunks with both neighbours",
    small: { size: 8, before: 1, after: 1, causal: false },
    large: { size: 150, before: 1, after: 1, causal: false },
    definition:
      ({ size }) =>
      (p, j) =>
        Math.abs(block(p, size) - block(j, size)) <= 1,
  },
  {
    factory: "prefixLM",
    small: { prefix: 17 },
    large: { prefix: 405 },
    definition: ({ prefix }) => either((_, j) => j < prefix, causal),
  },
  {
    factory: "documents",
    small: { lengths: [10, 0, 25, 70] },
    large: { lengths: [300, 0, 211, 130, 1000] },
    definition: ({ lengths }) => both(causal, (p, j) => p >= 0 && stretch(lengths, p) === stretch(lengths, j)),
  },
  {
    factory: "pcw",
    small: { windows: [20, 30] },
    large: { windows: [400, 333] },
    definition: ({ windows }) =>
      both(causal, (p, j) => stretch(windows, p) === windows.length || stretch(windows, p) === stretch(windows, j)),
  },
  {
    factory: "tree",
    small: { parents: [-1, 0, 0, 1, 1, -1, 5] },
    large: { parents: Array.from({ length: 130 }, (_, i) => (i % 50 === 0 ? -1 : (i - 1) >> 1)) },
    definition:
      ({ parents }) =>
      (p, j, { seqLenKV }) => {
        const committed = seqLenKV - parents.length;
        return j < committed ? j <= p : p >= committed && isAncestor(parents, p - committed, j - committed);
      },
    byLength: true,
  },
  {
    factory: "blocks",
    name: "blocks by predicate",
    small: { blockSize: 16, causal: true, allowed: third },
    large: { blockSize: 64, causal: true, allowed: third },
    definition:
      ({ blockSize }) =>
      (p, j) => {
        const [q, kv] = [block(p, blockSize), block(j, blockSize)];
        return kv === q ? j <= p : kv < q && (q + kv) % 3 === 0;
      },
    bench: [{ kind: "blocks 64 × 64", parameters: { blockSize: 64, allowed: scattered } }],
  },
  {
    factory: "blocks",
    name: "blocks, the partial ones causal by default",
    small: { blockSize: 32 },
    large: { blockSize: 100 },
    make: (patterns, { blockSize }) =>
      patterns.blocks({ blockSize, allowed: (q, kv) => (kv < q ? "full" : kv === q ? "partial" : "none") }),
    definition: () => causal,
  },
  {
    factory: "blocks",
    name: "blocks by lists, within a window",
    small: { blockSize: { q: 20, kv: 18 }, lists: rows, before: 50, after: 9 },
    large: { blockSize: { q: 100, kv: 90 }, lists: longRows, before: 500, after: 290 },
    make: (patterns, { blockSize, lists, ...window }) => {
      const rowStart = [0];
      for (const list of lists) rowStart.push(/** @type {number} */ (rowStart.at(-1)) + list.length);
      return patterns.blocks({ blockSize, rowStart, columns: lists.flat(), within: patterns.window(window) });
    },
    definition: ({ blockSize, lists, before, after }) =>
      both(near(before, after), (p, j) => (lists[block(p, blockSize.q)] ?? []).includes(block(j, blockSize.kv))),
    anyLength: false,
  },
  {
    factory: "mask",
    name: "mask by predicate",
    small: { step: 3 },
    large: { step: 2 },
    make: (patterns, { step }) => patterns.mask({ allowed: (q, kv) => (q * 7 + kv * step) % 5 === 0 }),
    definition:
      ({ step }) =>
      (p, j) =>
        (p * 7 + j * step) % 5 === 0,
  },
  {
    factory: "bigBird",
    name: "BigBird with a table",
    small: { blockSize: 20, table: [randomRows] },
    large: { blockSize: 64, table: [longRandomRows] },
    definition:
      ({ blockSize, table: [lists] }) =>
      (p, j, { seqLenKV }) => {
        const last = Math.ceil(seqLenKV / blockSize) - 1;
        const [q, kv] = [block(p, blockSize), block(j, blockSize)];
        if (q === 0 || q === last || kv === 0 || kv === last) return true;
        return Math.abs(q - kv) <= 1 || (lists[q] ?? []).includes(kv);
      },
    numHeads: 1,
    seqLen: 97,
    byLength: true,
    bench: [{ kind: "BigBird", parameters: {} }],
  },
  {
    factory: "blockBert",
    name: "BlockBERT",
    small: { permutations: [0, 1].map((shift) => [0, 1, 2].map((i) => (i + shift) % 3)) },
    large: { permutations: [0, 3].map((shift) => [0, 1, 2, 3, 4].map((i) => (i + shift) % 5)) },
    definition:
      ({ permutations }) =>
      (p, j, { head, seqLenKV }) => {
        const size = Math.ceil(seqLenKV / permutations[head].length);
        return permutations[head][block(p, size)] === block(j, size);
      },
    byLength: true,
  },
  {
    factory: "dilated",
    name: "dilated (LongNet), mod, causal",
    small: { segments: [8, 16, 64], rates: [1, 2, 4], causal: true },
    large: { segments: [128, 256, 1024], rates: [1, 2, 4], causal: true },
    definition: (parameters) => longnet(parameters, (h, r) => h % r),
    numHeads: 4,
    bench: [
      { kind: "LongNet 1024/1 2048/2 4096/4", parameters: longNet },
      { kind: "LongNet, the paper's setting", parameters: paper, shapes: longShapes },
    ],
  },
  {
    factory: "dilated",
    name: "dilated (LongNet), block, both ways",
    small: { segments: [10, 40], rates: [1, 3], headOffset: "block" },
    large: { segments: [300, 900], rates: [1, 3], headOffset: "block" },
    definition: (parameters) => longnet(parameters, (h, r) => Math.floor(h / Math.ceil(6 / r))),
    numHeads: 6,
  },
  {
    factory: "dilatedWindow",
    name: "dilated window",
    small: { rate: 3, before: 5, after: 2 },
    large: { rate: 3, before: 150, after: 40 },
    definition: ({ rate, before, after }) => both((p, j) => (p - j) % rate === 0, near(rate * before, rate * after)),
  },
  {
    factory: "sparseStrided",
    name: "Sparse Transformer, strided",
    small: { stride: 8 },
    large: { stride: 40 },
    definition: ({ stride }) => both(causal, (p, j) => p - j < stride || (p - j) % stride === 0),
  },
  {
    factory: "sparseStrided",
    name: "Sparse Transformer, strided, column",
    small: { stride: 7, set: "column" },
    large: { stride: 33, set: "column" },
    definition: ({ stride }) => both(causal, (p, j) => (p - j) % stride === 0),
  },
  {
    factory: "sparseFixed",
    name: "Sparse Transformer, fixed",
    small: { stride: 16, summary: 3 },
    large: { stride: 128, summary: 20 },
    definition: ({ stride, summary }) =>
      both(causal, (p, j) => block(p, stride) === block(j, stride) || j % stride >= stride - summary),
  },
  {
    factory: "sparseFixed",
    name: "Sparse Transformer, fixed, summary columns by head",
    small: { stride: 8, summary: 2, verts: 2, numHeads: 4 },
    large: { stride: 64, summary: 9, verts: 2, numHeads: 4 },
    definition: ({ stride, summary }) =>
      both(causal, (p, j, { head }) => {
        const end = stride - (head % 2) * summary;
        return block(p, stride) === block(j, stride) || (j % stride >= end - summary && j % stride < end);
      }),
    numHeads: 4,
  },
  {
    factory: "longformer",
    name: "Longformer",
    small: { window: 6, globals: [0, 7, 8, 60] },
    large: { window: 140, globals: [0, 7, 8, 560, 1000] },
    definition: ({ window, globals }) =>
      either(near(window, window), (p, j) => globals.includes(p) || globals.includes(j)),
    bench: [{ kind: "Longformer 256", parameters: { window: 256, globals: [0] } }],
  },
  {
    factory: "longformer",
    name: "Longformer, causal, dilated by head",
    small: { window: 4, dilation: [1, 3], globals: [5], causal: true },
    large: { window: 60, dilation: [1, 3], globals: [5, 700], causal: true },
    definition: ({ window, dilation, globals }) =>
      both(causal, (p, j, { head }) => {
        const rate = dilation[head];
        const local = (p - j) % rate === 0 && p - j <= window * rate;
        return local || globals.includes(p) || globals.includes(j);
      }),
  },
  {
    factory: "etc",
    name: "ETC",
    small: { globals: 9, radius: 5 },
    large: { globals: 130, radius: 75 },
    definition: ({ globals, radius }) => either(near(radius, radius), (p, j) => (p >= 0 && p < globals) || j < globals),
  },
  {
    factory: "longT5Local",
    name: "LongT5 local",
    small: { radius: 11 },
    large: { radius: 127 },
    definition: ({ radius }) => near(radius, radius),
  },
  {
    factory: "transientGlobal",
    name: "LongT5 transient-global",
    small: { globals: 6, radius: 11 },
    large: { globals: 64, radius: 127 },
    definition:
      ({ globals, radius }) =>
      (p, j, { seqLenKV }) =>
        j >= seqLenKV - globals || Math.abs(p - globals - j) <= radius,
    byLength: true,
  },
  {
    factory: "longLora",
    name: "LongLoRA",
    small: { group: 16, numHeads: 4 },
    large: { group: 256, numHeads: 4 },
    definition: ({ group }) =>
      both(causal, (p, j, { head }) => {
        const shift = head < 2 ? 0 : group / 2;
        return block(p + shift, group) === block(j + shift, group);
      }),
    numHeads: 4,
  },
  {
    factory: "union",
    small: { before: 3, size: 20 },
    large: { before: 100, size: 300 },
    make: (patterns, { before, size }) => patterns.union(patterns.window({ before }), patterns.chunks({ size })),
    definition: ({ before, size }) => both(causal, (p, j) => p - j <= before || block(p, size) === block(j, size)),
  },
  {
    factory: "intersect",
    small: { before: 30, after: 2, rate: 2 },
    large: { before: 400, after: 20, rate: 3 },
    make: (patterns, { rate, ...window }) =>
      patterns.intersect(patterns.window(window), patterns.dilatedWindow({ rate, before: 999 })),
    definition: ({ before, after, rate }) => both(near(before, after), (p, j) => (p - j) % rate === 0, causal),
  },
  {
    factory: "sum",
    name: "sum of overlapping patterns",
    small: { before: 3, tokens: 2, window: 5 },
    large: { before: 100, tokens: 40, window: 200 },
    make: (patterns, { before, tokens, window }) =>
      patterns.sum(patterns.window({ before }), patterns.sinks({ tokens, window })),
    definition:
      ({ before, tokens, window }) =>
      (p, j) =>
        Number(j <= p && j >= p - before) + Number(j <= p && (j < tokens || j >= p - window)),
  },
  {
    factory: "perHead",
    small: { stride: 5 },
    large: { stride: 33 },
    make: (patterns, { stride }) => patterns.perHead(patterns.causal(), patterns.sparseStrided({ stride })),
    definition: ({ stride }) =>
      both(causal, (p, j, { head }) => head === 0 || p - j < stride || (p - j) % stride === 0),
  },
];

/** @param {PatternEntry} entry @param {any} parameters @param {Patterns} patterns @returns {Pattern} */
export function makePattern({ factory, make }, parameters, patterns) {
  if (make) return make(patterns, parameters);
  return /** @type {any} */ (patterns)[factory](parameters);
}

/**
 * How tests run each, on every instruction set, in each dtype.
 * @type {{ form: "whole" | "after a cache" | "decoded", name: string, seqLenQ?: number, headDim: number }[]}
 */
export const patternForms = [
  { form: "whole", name: "all rows", headDim: 12 },
  { form: "after a cache", name: "37 rows after a cache", seqLenQ: 37, headDim: 8 },
  { form: "decoded", name: "one row", seqLenQ: 1, headDim: 8 },
];

/**
 * The list with its patterns made.
 * @typedef {ReturnType<typeof patternCases>[number]} PatternCase
 * @param {Patterns} patterns
 * @param {"small" | "large"} size
 */
export const patternCases = (patterns, size) =>
  patternEntries.map((entry) => ({
    name: entry.name ?? entry.factory,
    factory: entry.factory,
    pattern: makePattern(entry, entry[size], patterns),
    definition: entry.definition(entry[size]),
    numHeads: entry.numHeads ?? 2,
    seqLen: entry.seqLen ?? 100,
    byLength: entry.byLength ?? false,
    anyLength: entry.anyLength ?? true,
  }));

/**
 * How often query i of seqLenQ sees key j.
 * @param {{ definition: Definition }} c @param {number} seqLenQ @param {number} seqLenKV
 * @returns {(i: number, j: number, head?: number) => number}
 */
export const multiplicity =
  (c, seqLenQ, seqLenKV) =>
  (i, j, head = 0) =>
    Number(c.definition(i + seqLenKV - seqLenQ, j, { head, seqLenKV }));
