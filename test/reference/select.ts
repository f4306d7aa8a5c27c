// Selections by content, from their formulas in float64. A row of scores has +inf for what is forced and −inf for what is
// forbidden; the choice is the k highest, or the fewest that hold a share of the sum.
import type { Values } from "../support/tensors.js";

export interface Row {
  scores: number[];
  /** How many; or the share of the sum that they must hold. */
  take: { k: number } | { share: number };
}
/** One sequence and query head: vectors of queries and keys. `start` is the position of query 0. */
export interface Head {
  q: number[][];
  k: number[][];
  start: number;
}
type Vector = number[];

export const dot = (a: Vector, b: Vector) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
export const mean = (rows: Vector[]): Vector =>
  (rows[0] as Vector).map((_, d) => rows.reduce((sum, row) => sum + (row[d] as number), 0) / rows.length);
const range = (n: number, first = 0) => Array.from({ length: Math.max(0, n) }, (_, i) => first + i);
const softmax = (x: number[]) => {
  const top = Math.max(...x);
  const e = x.map((v) => Math.exp(v - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};

const heads = new WeakMap<Values, Map<string, Head>>();
/** The same object for the same arguments. */
export function headOf(q: Values, k: Values, batch: number, head: number): Head {
  const known = heads.get(q) ?? new Map<string, Head>();
  heads.set(q, known);
  const made = known.get(`${batch},${head}`) ?? makeHead(q, k, batch, head);
  known.set(`${batch},${head}`, made);
  return made;
}

function makeHead(q: Values, k: Values, batch: number, head: number): Head {
  const rows = ({ data, shape }: Values, h: number) => {
    const [, n, heads, dim] = shape as [number, number, number, number];
    return range(n).map((i) => Array.from(data.subarray(((batch * n + i) * heads + h) * dim).subarray(0, dim)));
  };
  const group = (q.shape[2] as number) / (k.shape[2] as number);
  const keys = rows(k, Math.floor(head / group));
  return { q: rows(q, head), k: keys, start: keys.length - (q.shape[1] as number) };
}

const keysOfBlocks = new WeakMap<Head, Map<string, Vector>>();

const blocksOf = (k: Vector[], size: number) =>
  range(Math.ceil(k.length / size)).map((b) => k.slice(b * size, (b + 1) * size));
const lastBlock = (p: number, size: number, causal: boolean) =>
  causal ? Math.floor(p / size) : Number.POSITIVE_INFINITY;
const forbid = (scores: number[], last: number) => scores.map((s, b) => (b > last ? Number.NEGATIVE_INFINITY : s));
/** Queries of the block of positions that query i is in. */
function rowOf({ q, start }: Head, i: number, size: number): { queries: Vector[]; first: number; last: number } {
  const base = Math.max(start, 0);
  const block = Math.floor((i + base) / size);
  const members = range(q.length).filter((j) => Math.floor((j + base) / size) === block);
  const at = members.map((j) => j + start);
  return { queries: members.map((j) => q[j] as Vector), first: at[0] as number, last: at.at(-1) as number };
}

export const bound = (q: Vector, page: Vector[]) =>
  q.reduce((sum, x, d) => {
    const values = page.map((key) => key[d] as number);
    return sum + Math.max(x * Math.max(...values), x * Math.min(...values));
  }, 0);

interface Quest {
  pageSize: number;
  tokenBudget: number;
  minPages: number;
  causal: boolean;
}
export function quest({ q, k, start }: Head, i: number, { pageSize, tokenBudget, minPages, causal }: Quest): Row {
  const seen = causal ? k.slice(0, Math.max(0, i + start + 1)) : k;
  const scores = range(Math.ceil(k.length / pageSize)).map((b) => {
    const page = seen.slice(b * pageSize, (b + 1) * pageSize);
    return page.length ? bound(q[i] as Vector, page) : Number.NEGATIVE_INFINITY;
  });
  const all = seen.length <= tokenBudget;
  return { scores, take: { k: all ? scores.length : Math.max(minPages, Math.floor(tokenBudget / pageSize)) } };
}

export function moba({ q, k, start }: Head, i: number, o: { chunkSize: number; topK: number; causal: boolean }): Row {
  const own = Math.floor((i + start) / o.chunkSize);
  const scores = blocksOf(k, o.chunkSize).map((keys, b) =>
    b === own ? Number.POSITIVE_INFINITY : dot(q[i] as Vector, mean(keys)),
  );
  return { scores: forbid(scores, lastBlock(i + start, o.chunkSize, o.causal)), take: { k: o.topK } };
}

export function minferenceBlocks(head: Head, i: number, o: { blockSize: number; topK: number; causal: boolean }): Row {
  const { queries, last } = rowOf(head, i, o.blockSize);
  const scores = blocksOf(head.k, o.blockSize).map((keys) => dot(mean(queries), mean(keys)));
  return { scores: forbid(scores, lastBlock(last, o.blockSize, o.causal)), take: { k: o.topK } };
}

export function topKeys({ q, k, start }: Head, i: number, o: { k: number; causal: boolean }): Row {
  const scores = k.map((key) => dot(q[i] as Vector, key));
  return { scores: forbid(scores, lastBlock(i + start, 1, o.causal)), take: { k: o.k } };
}

interface Nsa {
  blockSize: number;
  compressBlock: number;
  compressStride: number;
  topBlocks: number;
  initialBlocks: number;
  localBlocks: number;
}
/** `group`: the query heads of one key/value head. */
export function nsa(group: Head[], i: number, o: Nsa): Row {
  const { k, start } = group[0] as Head;
  const p = i + start;
  const own = Math.floor(p / o.blockSize);
  const scores = range(Math.ceil(k.length / o.blockSize)).map(() => 0);
  const compressed = range(k.length).filter((c) => c * o.compressStride + o.compressBlock <= p + 1);
  const keys = compressed.map((c) => mean(k.slice(c * o.compressStride, c * o.compressStride + o.compressBlock)));
  for (const { q } of group)
    softmax(keys.map((key) => dot(q[i] as Vector, key) / Math.sqrt(key.length))).forEach((share, c) => {
      for (const unit of range(o.compressBlock / o.compressStride, c)) {
        const block = Math.floor((unit * o.compressStride) / o.blockSize);
        scores[block] = (scores[block] as number) + share;
      }
    });
  const forced = (b: number) => b <= own && (b < o.initialBlocks || b > own - o.localBlocks);
  const all = scores.map((s, b) => (forced(b) ? Number.POSITIVE_INFINITY : s));
  return { scores: forbid(all, own), take: { k: o.topBlocks } };
}

interface InfLlm {
  blockSize: number;
  topK: number;
  representatives: number;
  local: number;
  initial: number;
  queryBlock: number;
}
/** Keys [heads of the group] score with the queries that have them in their window. */
function blockKey(group: Head[], block: number, o: InfLlm): Vector {
  const known = keysOfBlocks.get(group[0] as Head) ?? new Map<string, Vector>();
  keysOfBlocks.set(group[0] as Head, known);
  const made = known.get(`${block},${o.representatives}`) ?? makeBlockKey(group, block, o);
  known.set(`${block},${o.representatives}`, made);
  return made;
}
function makeBlockKey(group: Head[], block: number, o: InfLlm): Vector {
  const { k, start } = group[0] as Head;
  const keys = range(o.blockSize, block * o.blockSize).filter((m) => m < k.length);
  const reach = (m: number) => range(o.local, m + 1).filter((p) => p >= start && p < k.length);
  const score = (m: number) =>
    reach(m).reduce(
      (sum, p) => sum + group.reduce((s, { q }) => s + dot(q[p - start] as Vector, k[m] as Vector), 0),
      0,
    );
  if (o.representatives === 0 || keys.every((m) => reach(m).length === 0)) return mean(keys.map((m) => k[m] as Vector));
  const best = keys.map((m) => ({ m, s: score(m) })).sort((a, b) => b.s - a.s || a.m - b.m);
  return mean(best.slice(0, o.representatives).map(({ m }) => k[m] as Vector));
}
/** `heads`: those that choose together, with the groups that their keys are of. The forced blocks are not counted. */
export function infLlm(heads: { head: Head; group: Head[] }[], i: number, o: InfLlm): Row {
  const { k } = (heads[0] as { head: Head }).head;
  const numBlocks = Math.ceil(k.length / o.blockSize);
  const scores = range(numBlocks).map((b) =>
    heads.reduce((sum, { head, group }) => {
      const { queries } = rowOf(head, i, o.queryBlock);
      return sum + dot(mean(queries), blockKey(group, b, o));
    }, 0),
  );
  const { first, last } = rowOf((heads[0] as { head: Head }).head, i, o.queryBlock);
  const own = Math.floor(last / o.blockSize);
  const closed = Math.min(own + 1, Math.floor(Math.max(0, first + 1 - o.local) / o.blockSize));
  const all = scores.map((s, b) => {
    if ((b + 1) * o.blockSize <= o.initial && b < closed) return Number.NEGATIVE_INFINITY;
    return b >= closed ? Number.POSITIVE_INFINITY : s;
  });
  return { scores: forbid(all, own), take: { k: o.topK + own + 1 - closed } };
}

interface XAttention {
  stride: number;
  blockSize: number;
  threshold: number;
  causal: boolean;
  keepSink: boolean;
  keepRecent: boolean;
}
/** Mass of each block of keys for the row of blocks that query i is in; forced blocks are the caller's. */
export function xAttentionMass(head: Head, i: number, o: XAttention): number[] {
  const { q, k, start } = head;
  const base = Math.max(start, 0);
  const s = o.stride;
  const row = Math.floor((i + base) / o.blockSize);
  const masses = range(Math.ceil(k.length / o.blockSize)).map(() => 0);
  for (const tile of range(o.blockSize / s, (row * o.blockSize) / s)) {
    const queries = range(s).map((t) => q[tile * s - base + s - 1 - t]);
    if (queries.every((x) => x === undefined)) continue;
    const lastPosition = tile * s + s - 1 - base + start;
    const seen = range(Math.ceil(k.length / s)).filter((J) => !o.causal || J * s <= lastPosition);
    const scores = seen.map((J) =>
      queries.reduce((sum, x, t) => sum + (x && k[J * s + t] ? dot(x, k[J * s + t] as Vector) : 0), 0),
    );
    softmax(scores.map((x) => x / (Math.sqrt((k[0] as Vector).length) * s))).forEach((share, J) => {
      const block = Math.floor((J * s) / o.blockSize);
      masses[block] = (masses[block] as number) + share;
    });
  }
  return masses;
}
export function xAttention(head: Head, i: number, o: XAttention): Row {
  const last = lastBlock(rowOf(head, i, o.blockSize).last, o.blockSize, o.causal);
  return { scores: forbid(xAttentionMass(head, i, o), last), take: { share: o.threshold } };
}

/** Sums of the last queries' probabilities over columns, and over diagonals by their offset. */
export function lineSums({ q, k, start }: Head, lastQueries: number): { columns: number[]; diagonals: number[] } {
  const columns = k.map(() => 0);
  const diagonals = k.map(() => 0);
  for (const i of range(q.length).slice(-lastQueries)) {
    const seen = k.slice(0, Math.max(0, i + start + 1));
    softmax(seen.map((key) => dot(q[i] as Vector, key) / Math.sqrt(key.length))).forEach((share, j) => {
      columns[j] = (columns[j] as number) + share;
      diagonals[i + start - j] = (diagonals[i + start - j] as number) + share;
    });
  }
  return { columns, diagonals };
}
