// Selections: the selector, and what a row of its lists should be, from the reference.
import { patterns, type Selector } from "../../lib/index.js";
import * as reference from "../reference/select.js";
import type { Values } from "../support/tensors.js";

export interface SelectCase {
  name: string;
  selector: Selector;
  /** Keys in a block. */
  blockKV: number;
  causal: boolean;
  /** Keys that all see beside the blocks. */
  initial?: number;
  row: (q: Values, k: Values, batch: number, head: number, query: number) => reference.Row;
}

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
    selector: patterns.quest(questPages),
    blockKV: 4,
    causal: true,
    row: perHead(reference.quest, questPages),
  },
  {
    name: "Quest, both ways",
    selector: patterns.quest(questWide),
    blockKV: 2,
    causal: false,
    row: perHead(reference.quest, questWide),
  },
  { name: "MoBA", selector: patterns.moba(chunks), blockKV: 8, causal: true, row: perHead(reference.moba, chunks) },
  {
    name: "MoBA, both ways",
    selector: patterns.moba(openChunks),
    blockKV: 5,
    causal: false,
    row: perHead(reference.moba, openChunks),
  },
  {
    name: "MInference, block-sparse",
    selector: patterns.minferenceBlocks(blocks),
    blockKV: 8,
    causal: true,
    row: perHead(reference.minferenceBlocks, blocks),
  },
  {
    name: "NSA, overlapping compressed keys",
    selector: patterns.nsa(compressed),
    blockKV: 8,
    causal: true,
    row: (q, k, batch, head, query) => reference.nsa(groupOf(q, k, batch, head), query, compressed),
  },
  {
    name: "NSA, compressed keys as long as blocks",
    selector: patterns.nsa(compressedApart),
    blockKV: 8,
    causal: true,
    row: (q, k, batch, head, query) => reference.nsa(groupOf(q, k, batch, head), query, compressedApart),
  },
  {
    name: "InfLLM",
    selector: patterns.infLlm(past),
    blockKV: 6,
    causal: true,
    initial: 7,
    row: infLlmRow(past, true),
  },
  {
    name: "InfLLM, each head by itself, by the mean of all keys",
    selector: patterns.infLlm({ ...past, representatives: 0, perHead: true }),
    blockKV: 6,
    causal: true,
    initial: 7,
    row: infLlmRow({ ...past, representatives: 0 }, false),
  },
  {
    name: "XAttention",
    selector: patterns.xAttention(tiles),
    blockKV: 16,
    causal: true,
    row: perHead(reference.xAttention, tiles),
  },
  {
    name: "XAttention, both ways",
    selector: patterns.xAttention(openTiles),
    blockKV: 8,
    causal: false,
    row: perHead(reference.xAttention, openTiles),
  },
  {
    name: "nearest keys",
    selector: patterns.topKeys({ k: 7 }),
    blockKV: 1,
    causal: true,
    row: perHead(reference.topKeys, { k: 7, causal: true }),
  },
  {
    name: "nearest keys of another sequence",
    selector: patterns.topKeys({ k: 5, causal: false }),
    blockKV: 1,
    causal: false,
    row: perHead(reference.topKeys, { k: 5, causal: false }),
  },
];
