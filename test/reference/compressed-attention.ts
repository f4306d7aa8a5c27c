// Linformer, Luna, H-Transformer-1D and landmark attention, dense and from their definitions. With a `Precision` they are
// the naive computations in that dtype: scores and weights are rounded to it, sums are in float32, the output is rounded.
import type { Values } from "../support/tensors.js";
import { attention, exact, type Precision } from "./attention.js";

type Row = Float64Array;
type Shape4 = [number, number, number, number];
const rowOf = ({ data, shape }: Values, b: number, i: number, h: number): Row => {
  const [, seqLen, heads, dim] = shape as Shape4;
  const at = ((b * seqLen + i) * heads + h) * dim;
  return data.subarray(at, at + dim);
};
const sumOf = (rows: Row[], { float32 }: Precision): Row => {
  const total = new Float64Array((rows[0] as Row).length);
  for (const row of rows)
    for (let c = 0; c < row.length; c++) total[c] = float32((total[c] as number) + (row[c] as number));
  return total;
};
const times = (row: Row, factor: number, { float32 }: Precision): Row => row.map((x) => float32(x * factor));
function dot(a: Row, b: Row, { float32 }: Precision): number {
  let s = 0;
  for (let c = 0; c < a.length; c++) s = float32(s + float32((a[c] as number) * (b[c] as number)));
  return s;
}

/** Key vectors of one KV head, and what a query row makes of them. */
interface Head {
  seqLenKV: number;
  offset: number; // position of query 0
  key(j: number): Row;
  value(j: number): Row;
  query(i: number): Row;
}
/** out[b, i, h] = row(head, i), rounded */
function perRow(
  q: Values,
  k: Values,
  v: Values,
  precision: Precision,
  row: (head: Head, i: number) => Row,
): Float64Array {
  const [batch, seqLenQ, numHeads] = q.shape as Shape4;
  const [, seqLenKV, numKVHeads, valueDim] = v.shape as Shape4;
  const out = new Float64Array(batch * seqLenQ * numHeads * valueDim);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < numHeads; h++) {
      const kvHead = Math.floor(h / (numHeads / numKVHeads));
      const head: Head = {
        seqLenKV,
        offset: seqLenKV - seqLenQ,
        key: (j) => rowOf(k, b, j, kvHead),
        value: (j) => rowOf(v, b, j, kvHead),
        query: (i) => rowOf(q, b, i, h),
      };
      for (let i = 0; i < seqLenQ; i++)
        out.set(row(head, i).map(precision.dtype), ((b * seqLenQ + i) * numHeads + h) * valueDim);
    }
  return out;
}
/** Σ of weights times rows, the weights rounded */
function weighted(weights: number[], rows: Row[], valueDim: number, { dtype, float32 }: Precision): Row {
  const out = new Float64Array(valueDim);
  weights.forEach((weight, j) => {
    const p = dtype(weight);
    for (let c = 0; c < valueDim; c++)
      out[c] = float32((out[c] as number) + float32(p * ((rows[j] as Row)[c] as number)));
  });
  return out;
}
function softmax(scores: number[], { float32 }: Precision): number[] {
  const top = Math.max(...scores);
  const powers = scores.map((s) => float32(Math.exp(s - top)));
  const total = powers.reduce((a, b) => float32(a + b), 0);
  return powers.map((p) => float32(p / total));
}

/** projection [rows of tokens, rows] shared, or [numKVHeads, …]. */
export function project(x: Values, projection: Values, { float32 }: Precision): Values {
  const [batch, seqLen, heads, dim] = x.shape as Shape4;
  const rows = projection.shape.at(-1) as number;
  const perHead = projection.shape.length === 3 ? (projection.shape[1] as number) * rows : 0;
  const data = new Float64Array(batch * rows * heads * dim);
  for (let b = 0; b < batch; b++)
    for (let r = 0; r < rows; r++)
      for (let h = 0; h < heads; h++)
        for (let i = 0; i < seqLen; i++) {
          const weight = projection.data[h * perHead + i * rows + r] as number;
          const from = rowOf(x, b, i, h);
          const to = rowOf({ data, shape: [batch, rows, heads, dim] }, b, r, h);
          for (let c = 0; c < dim; c++) to[c] = float32((to[c] as number) + float32(weight * (from[c] as number)));
        }
  return { data, shape: [batch, rows, heads, dim] };
}
export interface LinformerReference {
  projectionK: Values;
  projectionV?: Values;
  scale: number;
}
export function linformer(q: Values, k: Values, v: Values, o: LinformerReference, precision = exact): Float64Array {
  const keys = project(k, o.projectionK, precision);
  const values = project(v, o.projectionV ?? o.projectionK, precision);
  return attention(q, keys, values, { allows: () => true, scale: o.scale }, precision).out;
}

export interface LunaReference {
  extra: Values; // [extraLen, heads, headDim]
  scale: number;
}
/** Not causal; k and v have the heads of `extra` or fewer. */
export function luna(q: Values, k: Values, v: Values, o: LunaReference, precision = exact): Float64Array {
  const batch = q.shape[0] as number;
  const repeated = new Float64Array(batch * o.extra.data.length);
  for (let b = 0; b < batch; b++) repeated.set(o.extra.data, b * o.extra.data.length);
  const all = { allows: () => true, scale: o.scale };
  const shape = [batch, ...o.extra.shape];
  const packed = { data: attention({ data: repeated, shape }, k, v, all, precision).out, shape };
  return attention(q, packed, packed, all, precision).out;
}
/** Causal: every sum written out over the keys up to the query's own. */
export function lunaCausal(q: Values, k: Values, v: Values, o: LunaReference, precision = exact): Float64Array {
  const { dtype, float32 } = precision;
  const [extraLen, heads, headDim] = o.extra.shape as [number, number, number];
  const group = (q.shape[2] as number) / heads;
  const valueDim = v.shape[3] as number;
  let at = 0; // perRow goes batch by batch, head by head
  const seqLenQ = q.shape[1] as number;
  return perRow(q, k, v, precision, (head, i) => {
    const h = Math.floor((Math.floor(at++ / seqLenQ) % (q.shape[2] as number)) / group);
    const last = i + head.offset;
    if (last < 0) return new Float64Array(valueDim);
    const extra = Array.from({ length: extraLen }, (_, l) =>
      o.extra.data.subarray((l * heads + h) * headDim, (l * heads + h + 1) * headDim),
    );
    const omega = Array.from({ length: last + 1 }, (_, j) =>
      extra.map((p) => float32(Math.log2(1 + 2 ** dtype(dot(p, head.key(j), precision))))),
    );
    const scores = omega.map((_, j) => dtype(o.scale * dot(head.query(i), head.key(j), precision)));
    const average = (f: (j: number) => number) => {
      let total = 0;
      for (let j = 0; j <= last; j++) total = float32(total + f(j));
      return float32(total / (last + 1));
    };
    const logits = extra.map((_, l) =>
      dtype(average((j) => float32((scores[j] as number) * (omega[j]?.[l] as number)))),
    );
    const a = softmax(logits, precision).map(dtype);
    const weights = omega.map((w) => a.reduce((s, x, l) => float32(s + float32(x * (w[l] as number))), 0) / (last + 1));
    return weighted(
      weights,
      omega.map((_, j) => head.value(j)),
      valueDim,
      precision,
    );
  });
}

export interface HierarchicalReference {
  blockSize: number;
  causal: boolean;
  coarsenQueries: boolean;
  scale: number;
}
/** The coarse rows a position meets: level, first token, number of tokens; level 0 of its own block one by one. */
export function pieces(position: number, seqLenKV: number, o: HierarchicalReference) {
  const met: { level: number; first: number; tokens: number }[] = [];
  const add = (level: number, block: number, last: number) => {
    for (let r = 0; r < o.blockSize; r++) {
      const first = (block * o.blockSize + r) * 2 ** level;
      const tokens = Math.min(2 ** level, seqLenKV - first);
      if (tokens > 0 && first <= last) met.push({ level, first, tokens });
    }
  };
  const own = Math.floor(position / o.blockSize);
  add(0, own, o.causal ? position : Number.POSITIVE_INFINITY);
  for (let level = 0; o.blockSize * 2 ** level < seqLenKV; level++) {
    const block = Math.floor(own / 2 ** level);
    if (!o.causal || block % 2 === 1) add(level, block ^ 1, Number.POSITIVE_INFINITY);
  }
  return met;
}
export function hierarchical(
  q: Values,
  k: Values,
  v: Values,
  o: HierarchicalReference,
  precision = exact,
): Float64Array {
  const valueDim = v.shape[3] as number;
  const { dtype, float32 } = precision;
  const known = new Map<Head, Map<string, Row>>(); // sums that many rows ask for
  return perRow(q, k, v, precision, (head, i) => {
    const position = i + head.offset;
    if (position < 0) return new Float64Array(valueDim);
    const sums = known.get(head) ?? new Map<string, Row>();
    known.set(head, sums);
    const sumOver = (what: string, first: number, tokens: number, row: (j: number) => Row, share = 1) => {
      const name = `${what} ${first} ${tokens}`;
      const known = sums.get(name);
      if (known) return known;
      const total = sumOf(
        Array.from({ length: tokens }, (_, j) => row(first + j)),
        precision,
      );
      const result = times(total, share, precision);
      sums.set(name, result);
      return result;
    };
    const mean = (what: string, first: number, tokens: number, row: (j: number) => Row) =>
      sumOver(what, first, tokens, row, 1 / tokens);
    const met = pieces(position, head.seqLenKV, o).map(({ level, first, tokens }) => {
      const from = Math.floor(position / 2 ** level) * 2 ** level;
      const query = o.coarsenQueries
        ? mean("q", from, Math.min(2 ** level, head.seqLenKV - from), (j) => head.query(j - head.offset))
        : head.query(i);
      const score = dtype(o.scale * dot(query, mean("k", first, tokens, head.key), precision));
      return { score, value: sumOver("v", first, tokens, head.value), tokens };
    });
    const top = Math.max(...met.map(({ score }) => score));
    const powers = met.map(({ score }) => float32(Math.exp(score - top)));
    const total = met.reduce((sum, { tokens }, j) => float32(sum + tokens * (powers[j] as number)), 0);
    const weights = powers.map((p) => float32(p / total));
    return weighted(
      weights,
      met.map(({ value }) => value),
      valueDim,
      precision,
    );
  });
}

export interface LandmarkReference {
  blockSize: number;
  topK?: number;
  scale: number;
}
export function landmark(q: Values, k: Values, v: Values, o: LandmarkReference, precision = exact): Float64Array {
  const valueDim = v.shape[3] as number;
  const size = o.blockSize;
  return perRow(q, k, v, precision, (head, i) => {
    const position = i + head.offset;
    if (position < 0) return new Float64Array(valueDim);
    const own = Math.floor(position / size);
    const score = (j: number, p = precision) => p.dtype(o.scale * dot(head.query(i), head.key(j), p));
    const mark = (block: number) => block * size + size - 1;
    const marks = Array.from({ length: own }, (_, block) => score(mark(block), exact));
    const opened = [...marks.keys()]
      .sort((a, b) => (marks[b] as number) - (marks[a] as number) || a - b)
      .slice(0, o.topK ?? own);
    const tokens = Array.from({ length: Math.min(position - own * size + 1, size - 1) }, (_, j) => own * size + j);
    const shares = softmax([...tokens.map((j) => score(j)), ...opened.map((block) => score(mark(block)))], precision);
    const weights = shares.slice(0, tokens.length);
    const keys = [...tokens];
    opened.forEach((block, n) => {
      const inside = Array.from({ length: size - 1 }, (_, j) => block * size + j);
      const share = shares[tokens.length + n] as number;
      for (const p of softmax(
        inside.map((j) => score(j)),
        precision,
      ))
        weights.push(precision.float32(p * share));
      keys.push(...inside);
    });
    return weighted(
      weights,
      keys.map((j) => head.value(j)),
      valueDim,
      precision,
    );
  });
}
