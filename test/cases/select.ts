// Selections: the selector, and what a row of its lists should be, from the reference.
import { patterns, type Selector } from "../../lib/index.js";
import * as reference from "../reference/select.js";
import type { FloatDType } from "../support/numbers.js";
import type { Layout, Values } from "../support/tensors.js";

export interface SelectCase {
  name: string;
  /** Its name in `patterns`. */
  factory: string;
  selector: Selector;
  /** Keys in a block. */
  blockKV: number;
  causal: boolean;
  /** Keys that all see beside the blocks. */
  initial?: number;
  row: (q: Values, k: Values, batch: number, head: number, query: number) => reference.Row;
}

export interface Size {
  batch?: number;
  seqLenQ: number;
  seqLenKV: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
}
/** Where each is asked for its lists. */
export const selectSizes: { name: string; size: Size; dtype: FloatDType; layout?: Layout }[] = [
  {
    name: "all rows of two sequences",
    size: { batch: 2, seqLenQ: 75, seqLenKV: 75, numHeads: 4, numKVHeads: 2, headDim: 12 },
    dtype: "float32",
  },
  {
    name: "rows after a cache, strided",
    size: { seqLenQ: 21, seqLenKV: 150, numHeads: 3, numKVHeads: 1, headDim: 7 },
    dtype: "bfloat16",
    layout: "columns",
  },
  { name: "one row", size: { seqLenQ: 1, seqLenKV: 97, numHeads: 2, numKVHeads: 2, headDim: 16 }, dtype: "float16" },
  { name: "one key", size: { seqLenQ: 1, seqLenKV: 1, numHeads: 1, numKVHeads: 1, headDim: 3 }, dtype: "float32" },
  {
    name: "more queries than keys",
    size: { seqLenQ: 30, seqLenKV: 19, numHeads: 2, numKVHeads: 1, headDim: 5 },
    dtype: "float32",
  },
];
/** Where attention under the lists is held against dense attention, in float32. */
export const visibleSizes: Size[] = [
  { seqLenQ: 67, seqLenKV: 67, numHeads: 2, numKVHeads: 1, headDim: 8 },
  { seqLenQ: 9, seqLenKV: 70, numHeads: 2, numKVHeads: 1, headDim: 8 },
];

/** The same beyond one tile of keys and one of rows, once (test/many-tiles.test.ts). */
export const longSizes: Size[] = [
  { seqLenQ: 61, seqLenKV: 931, numHeads: 2, numKVHeads: 1, headDim: 4 },
  { seqLenQ: 521, seqLenKV: 521, numHeads: 1, numKVHeads: 1, headDim: 4 },
];
/** Where vertical and slash lines are selected and attended to, in float32. */
export const lineSizes: Size[] = [
  { seqLenQ: 100, seqLenKV: 100, numHeads: 2, numKVHeads: 1, headDim: 8 },
  { seqLenQ: 40, seqLenKV: 130, numHeads: 2, numKVHeads: 1, headDim: 8 },
];

type PerHead<O> = (head: reference.Head, query: number, options: O) => reference.Row;
const perHead =
  <O>(f: PerHead<O>, options: O): SelectCase["row"] =>
  (q, k, batch, head, query) =>
    f(reference.headOf(q, k, batch, head), query, options);

/** The query heads that read the same keys as `head`. */
function groupOf(q: Values, k: Values, batch: number, head: number): reference.Head[] {
  const size = (q.shape[2] as number) / (k.shape[2] as number);
  const first = Math.floor(head / size) * size;
  return Array.from({ length: size }, (_, g) => reference.headOf(q, k, batch, first + g));
}

const questPages = { pageSize: 4, tokenBudget: 18, minPages: 3, causal: true };
const questWide = { pageSize: 2, tokenBudget: 4, minPages: 5, causal: false };
const chunks = { chunkSize: 8, topK: 3, causal: true };
const openChunks = { chunkSize: 5, topK: 2, causal: false };
const blocks = { blockSize: 8, topK: 3, causal: true };
const compressed = {
  blockSize: 8,
  compressBlock: 4,
  compressStride: 2,
  topBlocks: 5,
  initialBlocks: 1,
  localBlocks: 2,
};
const compressedApart = { ...compressed, compressBlock: 8, compressStride: 8, topBlocks: 4, localBlocks: 1 };
const past = { blockSize: 6, topK: 2, representatives: 2, local: 14, initial: 7, queryBlock: 10 };
const tiles = { stride: 4, blockSize: 16, threshold: 0.7, causal: true, keepSink: false, keepRecent: false };
const openTiles = { ...tiles, stride: 2, blockSize: 8, threshold: 0.5, causal: false };

const infLlmRow =
  (options: typeof past, together: boolean): SelectCase["row"] =>
  (q, k, batch, head, query) => {
    const heads = together ? Array.from({ length: q.shape[2] as number }, (_, h) => h) : [head];
    const chosen = heads.map((h) => ({ head: reference.headOf(q, k, batch, h), group: groupOf(q, k, batch, h) }));
    return reference.infLlm(chosen, query, options);
  };

export const selectCases: SelectCase[] = [
  {
    name: "Quest",
    factory: "quest",
    selector: patterns.quest(questPages),
    blockKV: 4,
    causal: true,
    row: perHead(reference.quest, questPages),
  },
  {
    name: "Quest, both ways",
    factory: "quest",
    selector: patterns.quest(questWide),
    blockKV: 2,
    causal: false,
    row: perHead(reference.quest, questWide),
  },
  {
    name: "MoBA",
    factory: "moba",
    selector: patterns.moba(chunks),
    blockKV: 8,
    causal: true,
    row: perHead(reference.moba, chunks),
  },
  {
    name: "MoBA, both ways",
    factory: "moba",
    selector: patterns.moba(openChunks),
    blockKV: 5,
    causal: false,
    row: perHead(reference.moba, openChunks),
  },
  {
    name: "MInference, block-sparse",
    factory: "minferenceBlocks",
    selector: patterns.minferenceBlocks(blocks),
    blockKV: 8,
    causal: true,
    row: perHead(reference.minferenceBlocks, blocks),
  },
  {
    name: "NSA, overlapping compressed keys",
    factory: "nsa",
    selector: patterns.nsa(compressed),
    blockKV: 8,
    causal: true,
    row: (q, k, batch, head, query) => reference.nsa(groupOf(q, k, batch, head), query, compressed),
  },
  {
    name: "NSA, compressed keys as long as blocks",
    factory: "nsa",
    selector: patterns.nsa(compressedApart),
    blockKV: 8,
    causal: true,
    row: (q, k, batch, head, query) => reference.nsa(groupOf(q, k, batch, head), query, compressedApart),
  },
  {
    name: "InfLLM",
    factory: "infLlm",
    selector: patterns.infLlm(past),
    blockKV: 6,
    causal: true,
    initial: 7,
    row: infLlmRow(past, true),
  },
  {
    name: "InfLLM, each head by itself, by the mean of all keys",
    factory: "infLlm",
    selector: patterns.infLlm({ ...past, representatives: 0, perHead: true }),
    blockKV: 6,
    causal: true,
    initial: 7,
    row: infLlmRow({ ...past, representatives: 0 }, false),
  },
  {
    name: "XAttention",
    factory: "xAttention",
    selector: patterns.xAttention(tiles),
    blockKV: 16,
    causal: true,
    row: perHead(reference.xAttention, tiles),
  },
  {
    name: "XAttention, both ways",
    factory: "xAttention",
    selector: patterns.xAttention(openTiles),
    blockKV: 8,
    causal: false,
    row: perHead(reference.xAttention, openTiles),
  },
  {
    name: "nearest keys",
    factory: "topKeys",
    selector: patterns.topKeys({ k: 7 }),
    blockKV: 1,
    causal: true,
    row: perHead(reference.topKeys, { k: 7, causal: true }),
  },
  {
    name: "nearest keys of another sequence",
    factory: "topKeys",
    selector: patterns.topKeys({ k: 5, causal: false }),
    blockKV: 1,
    causal: false,
    row: perHead(reference.topKeys, { k: 5, causal: false }),
  },
];
