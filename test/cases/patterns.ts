// Every pattern of `patterns`, with its definition written again from the paper: how often query i sees key j. Positions:
// query i of seqLenQ stands at p = i + seqLenKV − seqLenQ.
import { type Pattern, patterns } from "../../lib/index.js";

/** How often the query at position p sees key j. */
export type Definition = (p: number, j: number, at: { head: number; seqLenKV: number }) => number | boolean;
export interface PatternCase {
  name: string;
  pattern: Pattern;
  definition: Definition;
  /** Query heads it is for; 2 if absent. */
  numHeads?: number;
  /** A length it is asked at; 100 if absent. */
  seqLen?: number;
  /** Positions alone decide: a decoded row is the row of the whole. */
  byPosition?: boolean;
}

const causal: Definition = (p, j) => j <= p;
const both =
  (...parts: Definition[]): Definition =>
  (p, j, at) =>
    parts.every((part) => part(p, j, at));
const either =
  (...parts: Definition[]): Definition =>
  (p, j, at) =>
    parts.some((part) => part(p, j, at));
const near =
  (before: number, after = 0): Definition =>
  (p, j) =>
    j >= p - before && j <= p + after;
const block = (x: number, size: number) => Math.floor(x / size);

function longnet(segments: number[], rates: number[], isCausal: boolean, phase: (h: number, r: number) => number) {
  return ((p, j, { head, seqLenKV }) => {
    let times = 0;
    segments.forEach((given, i) => {
      const w = Math.min(given, Math.max(seqLenKV, 1));
      const r = rates[i] as number;
      const s0 = block(p, w) * w;
      const taken = (x: number) => x >= s0 && x < s0 + w && (x - s0) % r === phase(head, r);
      if (p >= 0 && taken(p) && taken(j) && (!isCausal || j <= p)) times++;
    });
    return times;
  }) satisfies Definition;
}

const randomRows = [[], [3], [4, 0], [1], []];
const rows = [[0], [0, 1], [1, 2], [0, 3], [2, 4], [5]];
const parents = [-1, 0, 0, 1, 1, -1, 5];
const isAncestor = (node: number, other: number): boolean =>
  node === other || (node >= 0 && isAncestor(parents[node] as number, other) && parents[node] !== -1);
const global = [0, 7, 8, 60];

export const patternCases: PatternCase[] = [
  { name: "full", pattern: patterns.full(), definition: () => true },
  { name: "causal", pattern: patterns.causal(), definition: causal },
  { name: "window", pattern: patterns.window({ before: 9, after: 4 }), definition: near(9, 4) },
  {
    name: "sinks",
    pattern: patterns.sinks({ tokens: 4, window: 20 }),
    definition: both(
      causal,
      either((_, j) => j < 4, near(20)),
    ),
  },
  {
    name: "lambda",
    pattern: patterns.lambda({ globalBranch: 6, localBranch: 16 }),
    definition: both(
      causal,
      either(
        (_, j) => j < 6,
        (p, j) => p - j < 16,
      ),
    ),
  },
  {
    name: "aShape",
    pattern: patterns.aShape({ initial: 10, local: 12 }),
    definition: both(
      causal,
      either(
        (_, j) => j < 10,
        (p, j) => p - j < 12,
      ),
    ),
  },
  {
    name: "chunks",
    pattern: patterns.chunks({ size: 13 }),
    definition: both(causal, (p, j) => block(p, 13) === block(j, 13)),
  },
  {
    name: "chunks with both neighbours",
    pattern: patterns.chunks({ size: 8, before: 1, after: 1, causal: false }),
    definition: (p, j) => Math.abs(block(p, 8) - block(j, 8)) <= 1,
  },
  { name: "prefixLM", pattern: patterns.prefixLM({ prefix: 17 }), definition: either((_, j) => j < 17, causal) },
  {
    name: "documents",
    pattern: patterns.documents({ lengths: [10, 0, 25, 70] }),
    definition: both(causal, (p, j) => {
      const doc = (x: number) => (x < 10 ? 0 : x < 35 ? 2 : 3);
      return p >= 0 && doc(p) === doc(j);
    }),
  },
  {
    name: "pcw",
    pattern: patterns.pcw({ windows: [20, 30] }),
    definition: both(causal, (p, j) => p >= 50 || block(p + 1, 20.5) === block(j + 1, 20.5) || (p >= 20 && j >= 20)),
  },
  {
    name: "tree",
    pattern: patterns.tree({ parents }),
    definition: (p, j, { seqLenKV }) => {
      const committed = seqLenKV - parents.length;
      return j < committed ? j <= p : p >= committed && isAncestor(p - committed, j - committed);
    },
    byPosition: false,
  },
  {
    name: "dilated (LongNet), mod, causal",
    pattern: patterns.dilated({ segments: [8, 16, 64], rates: [1, 2, 4], causal: true }),
    definition: longnet([8, 16, 64], [1, 2, 4], true, (h, r) => h % r),
    numHeads: 4,
  },
  {
    name: "dilated (LongNet), block, both ways",
    pattern: patterns.dilated({ segments: [10, 40], rates: [1, 3], headOffset: "block" }),
    definition: longnet([10, 40], [1, 3], false, (h, r) => Math.floor(h / Math.ceil(6 / r))),
    numHeads: 6,
  },
  {
    name: "dilated window",
    pattern: patterns.dilatedWindow({ rate: 3, before: 5, after: 2 }),
    definition: (p, j) => (p - j) % 3 === 0 && near(15, 6)(p, j, { head: 0, seqLenKV: 0 }),
  },
  {
    name: "Sparse Transformer, strided",
    pattern: patterns.sparseStrided({ stride: 8 }),
    definition: both(
      causal,
      either(
        (p, j) => p - j < 8,
        (p, j) => (p - j) % 8 === 0,
      ),
    ),
  },
  {
    name: "Sparse Transformer, strided, column",
    pattern: patterns.sparseStrided({ stride: 7, set: "column" }),
    definition: both(causal, (p, j) => (p - j) % 7 === 0),
  },
  {
    name: "Sparse Transformer, fixed",
    pattern: patterns.sparseFixed({ stride: 16, summary: 3 }),
    definition: both(
      causal,
      either(
        (p, j) => block(p, 16) === block(j, 16),
        (_, j) => j % 16 >= 13,
      ),
    ),
  },
  {
    name: "Sparse Transformer, fixed, summary columns by head",
    pattern: patterns.sparseFixed({ stride: 8, summary: 2, verts: 2, numHeads: 4 }),
    definition: both(
      causal,
      either(
        (p, j) => block(p, 8) === block(j, 8),
        (_, j, { head }) => (head % 2 ? j % 8 >= 4 && j % 8 < 6 : j % 8 >= 6),
      ),
    ),
    numHeads: 4,
  },
  {
    name: "blocks by predicate",
    pattern: patterns.blocks({
      blockSize: 16,
      causal: true,
      allowed: (q, kv) => (kv === q ? "partial" : kv < q && (q + kv) % 3 === 0 ? "full" : "none"),
    }),
    definition: (p, j) => {
      const [q, kv] = [block(p, 16), block(j, 16)];
      return kv === q ? j <= p : kv < q && (q + kv) % 3 === 0;
    },
  },
  {
    name: "blocks, the partial ones causal by default",
    pattern: patterns.blocks({ blockSize: 32, allowed: (q, kv) => (kv < q ? "full" : kv === q ? "partial" : "none") }),
    definition: causal,
  },
  {
    name: "blocks by lists, within a window",
    pattern: patterns.blocks({
      blockSize: { q: 20, kv: 18 },
      rowStart: [0, 1, 3, 5, 7, 9, 10],
      columns: rows.flat(),
      within: patterns.window({ before: 50, after: 9 }),
    }),
    definition: both(near(50, 9), (p, j) => (rows[block(p, 20)] ?? []).includes(block(j, 18))),
  },
  {
    name: "mask by predicate",
    pattern: patterns.mask({ allowed: (q, kv) => (q * 7 + kv * 3) % 5 === 0 }),
    definition: (p, j) => (p * 7 + j * 3) % 5 === 0,
  },
  {
    name: "Longformer",
    pattern: patterns.longformer({ window: 6, globals: global }),
    definition: either(near(6, 6), (p, j) => global.includes(p) || global.includes(j)),
  },
  {
    name: "Longformer, causal, dilated by head",
    pattern: patterns.longformer({ window: 4, dilation: [1, 3], globals: [5], causal: true }),
    definition: both(
      causal,
      either(
        (p, j, { head }) => (p - j) % (head ? 3 : 1) === 0 && p - j <= 4 * (head ? 3 : 1),
        (p, j) => p === 5 || j === 5,
      ),
    ),
  },
  {
    name: "ETC",
    pattern: patterns.etc({ globals: 9, radius: 5 }),
    definition: either(near(5, 5), (p, j) => (p >= 0 && p < 9) || j < 9),
  },
  { name: "LongT5 local", pattern: patterns.longT5Local({ radius: 11 }), definition: near(11, 11) },
  {
    name: "LongT5 transient-global",
    pattern: patterns.transientGlobal({ globals: 6, radius: 11 }),
    definition: (p, j, { seqLenKV }) => j >= seqLenKV - 6 || Math.abs(p - 6 - j) <= 11,
    byPosition: false,
  },
  {
    name: "BigBird with a table",
    pattern: patterns.bigBird({ blockSize: 20, table: [randomRows] }),
    definition: (p, j, { seqLenKV }) => {
      const last = Math.ceil(seqLenKV / 20) - 1;
      const [q, kv] = [block(p, 20), block(j, 20)];
      if (q === 0 || q === last || kv === 0 || kv === last) return true;
      return Math.abs(q - kv) <= 1 || (randomRows[q] ?? []).includes(kv);
    },
    numHeads: 1,
    seqLen: 97,
    byPosition: false,
  },
  {
    name: "BlockBERT",
    pattern: patterns.blockBert({
      permutations: [
        [0, 1, 2],
        [1, 2, 0],
      ],
    }),
    definition: (p, j, { head, seqLenKV }) => {
      const size = Math.ceil(seqLenKV / 3);
      return (block(p, size) + head) % 3 === block(j, size);
    },
    byPosition: false,
  },
  {
    name: "LongLoRA",
    pattern: patterns.longLora({ group: 16, numHeads: 4 }),
    definition: both(causal, (p, j, { head }) => {
      const shift = head < 2 ? 0 : 8;
      return block(p + shift, 16) === block(j + shift, 16);
    }),
    numHeads: 4,
  },
  {
    name: "union",
    pattern: patterns.union(patterns.window({ before: 3 }), patterns.chunks({ size: 20 })),
    definition: either(
      near(3),
      both(causal, (p, j) => block(p, 20) === block(j, 20)),
    ),
  },
  {
    name: "intersect",
    pattern: patterns.intersect(
      patterns.window({ before: 30, after: 2 }),
      patterns.dilatedWindow({ rate: 2, before: 99 }),
    ),
    definition: both(near(30, 2), (p, j) => (p - j) % 2 === 0, causal),
  },
  {
    name: "sum of overlapping patterns",
    pattern: patterns.sum(patterns.window({ before: 3 }), patterns.sinks({ tokens: 2, window: 5 })),
    definition: (p, j) => Number(j <= p && j >= p - 3) + Number(j <= p && (j < 2 || j >= p - 5)),
  },
  {
    name: "perHead",
    pattern: patterns.perHead(patterns.causal(), patterns.sparseStrided({ stride: 5 })),
    definition: both(causal, (p, j, { head }) => head === 0 || p - j < 5 || (p - j) % 5 === 0),
  },
];

/** How often query i of seqLenQ sees key j. */
export function multiplicity(c: PatternCase, seqLenQ: number, seqLenKV: number) {
  return (i: number, j: number, head = 0) => Number(c.definition(i + seqLenKV - seqLenQ, j, { head, seqLenKV }));
}
