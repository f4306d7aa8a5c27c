// Cases of linformerAttention, lunaAttention, hierarchicalAttention and landmarkAttention: shapes and options, the call,
// and the reference. Tests compare each on every instruction set and dtype.
import * as longspan from "../../lib/index.js";
import type { Tensor } from "../../lib/index.js";
import type { Precision } from "../reference/attention.js";
import * as reference from "../reference/compressed-attention.js";
import type { Layout, Values } from "../support/tensors.js";

export interface CompressedCase {
  op: string;
  name: string;
  batch: number;
  seqLenQ: number;
  seqLenKV: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
  valueDim: number;
  layout?: Layout;
  scale?: number;
  /** shapes of further random inputs */
  extra: Readonly<Record<string, readonly number[]>>;
  run(q: Tensor, k: Tensor, v: Tensor, extra: Record<string, Tensor>): Tensor;
  reference(q: Values, k: Values, v: Values, extra: Record<string, Values>, precision?: Precision): Float64Array;
}
type Sizes = Omit<CompressedCase, "op" | "name" | "run" | "reference" | "extra">;
type Change = Partial<Sizes> & { seqLen?: number; dim?: number; heads?: [number, number] };

const base: Sizes = { batch: 1, seqLenQ: 50, seqLenKV: 50, numHeads: 2, numKVHeads: 1, headDim: 20, valueDim: 20 };
function sizes({ seqLen, dim, heads, ...change }: Change): Sizes {
  return {
    ...base,
    ...(seqLen === undefined ? {} : { seqLenQ: seqLen, seqLenKV: seqLen }),
    ...(dim === undefined ? {} : { headDim: dim, valueDim: dim }),
    ...(heads === undefined ? {} : { numHeads: heads[0], numKVHeads: heads[1] }),
    ...change,
  };
}
const scaleOf = (s: Sizes) => Math.fround(s.scale ?? s.headDim ** -0.5);
const withScale = (s: Sizes) => (s.scale === undefined ? {} : { scale: s.scale });
const named = (op: string, options: object, change: Change) => {
  const text = JSON.stringify({ ...options, ...change }).replaceAll('"', "");
  return `${op} ${text}`;
};

function landmark(blockSize: number, change: Change & { topK?: number }): CompressedCase {
  const { topK, ...rest } = change;
  const s = sizes(rest);
  const options = { blockSize, ...(topK === undefined ? {} : { topK }) };
  return {
    ...s,
    op: "landmarkAttention",
    name: named("landmark", options, rest),
    extra: {},
    run: (q, k, v) => longspan.landmarkAttention(q, k, v, { ...options, ...withScale(s) }),
    reference: (q, k, v, _, precision) => reference.landmark(q, k, v, { ...options, scale: scaleOf(s) }, precision),
  };
}
interface HierarchicalChange extends Change {
  causal?: boolean;
  coarsenQueries?: boolean;
}
function hierarchical(
  blockSize: number,
  { causal = false, coarsenQueries, ...rest }: HierarchicalChange,
): CompressedCase {
  const s = sizes(rest);
  const options = { blockSize, causal, ...(coarsenQueries === undefined ? {} : { coarsenQueries }) };
  return {
    ...s,
    op: "hierarchicalAttention",
    name: named("hierarchical", options, rest),
    extra: {},
    run: (q, k, v) => longspan.hierarchicalAttention(q, k, v, { ...options, ...withScale(s) }),
    reference: (q, k, v, _, precision) =>
      reference.hierarchical(q, k, v, { coarsenQueries: !causal, ...options, scale: scaleOf(s) }, precision),
  };
}
function linformer(rows: number, change: Change & { own?: boolean; values?: boolean; spare?: number }): CompressedCase {
  const { own, values, spare = 0, ...rest } = change;
  const s = sizes(rest);
  const shape = [...(own ? [s.numKVHeads] : []), s.seqLenKV + spare, rows];
  return {
    ...s,
    op: "linformerAttention",
    name: named("linformer", { rows, own, values, spare }, rest),
    extra: { projectionK: shape, ...(values ? { projectionV: shape } : {}) },
    run: (q, k, v, extra) => longspan.linformerAttention(q, k, v, { ...extra, ...withScale(s) }),
    reference: (q, k, v, extra, precision) =>
      reference.linformer(q, k, v, { ...(extra as { projectionK: Values }), scale: scaleOf(s) }, precision),
  };
}
function luna(extraLen: number, change: Change & { causal?: boolean; packHeads?: number }): CompressedCase {
  const { causal = false, packHeads, ...rest } = change;
  const s = sizes(rest);
  const heads = packHeads ?? s.numKVHeads;
  return {
    ...s,
    op: "lunaAttention",
    name: named("luna", { extraLen, causal, heads }, rest),
    extra: { extra: [extraLen, heads, s.headDim] },
    run: (q, k, v, extra) => longspan.lunaAttention(q, k, v, { ...extra, causal, ...withScale(s) }) as Tensor,
    reference: (q, k, v, extra, precision) => {
      const o = { extra: extra.extra as Values, scale: scaleOf(s) };
      return causal ? reference.lunaCausal(q, k, v, o, precision) : reference.luna(q, k, v, o, precision);
    },
  };
}

const both = [false, true];
export const compressedCases: CompressedCase[] = [
  landmark(4, { seqLen: 1 }),
  landmark(2, { seqLen: 37, heads: [3, 1] }),
  landmark(4, { seqLen: 41, heads: [4, 2], batch: 2 }),
  landmark(51, { seqLen: 110, headDim: 33, valueDim: 20, numHeads: 1 }),
  landmark(64, { seqLen: 63, dim: 7 }),
  landmark(512, { seqLen: 40, dim: 1 }),
  landmark(5, { seqLen: 23, headDim: 256, valueDim: 255, numHeads: 1 }),
  landmark(7, { seqLenQ: 1, seqLenKV: 95, heads: [2, 2] }),
  landmark(7, { seqLenQ: 40, seqLenKV: 95, heads: [6, 2] }),
  landmark(4, { seqLenQ: 30, seqLenKV: 21 }),
  landmark(4, { seqLenQ: 3, seqLenKV: 0 }),
  landmark(6, { seqLen: 40, scale: 0.9, layout: "transposed" }),
  landmark(6, { seqLen: 40, layout: "columns" }),
  ...[0, 1, 3, 100].map((topK) => landmark(5, { topK, seqLen: 72, heads: [4, 2] })),
  landmark(9, { topK: 2, seqLenQ: 1, seqLenKV: 130, headDim: 40, valueDim: 66 }),
  landmark(3, { topK: 2, seqLenQ: 12, seqLenKV: 9, layout: "sliced" }),
  ...both.flatMap((causal) => [
    ...both.flatMap((coarsenQueries) => [
      hierarchical(16, { causal, coarsenQueries, seqLen: 1 }),
      hierarchical(2, { causal, coarsenQueries, seqLen: 37, heads: [3, 1], headDim: 5, valueDim: 9 }),
      hierarchical(3, { causal, coarsenQueries, seqLen: 29, dim: 6, batch: 2, scale: 0.7 }),
      hierarchical(1, { causal, coarsenQueries, seqLen: 21 }),
      hierarchical(16, { causal, coarsenQueries, seqLen: 69, dim: 10, numHeads: 1 }),
      hierarchical(40, { causal, coarsenQueries, seqLen: 51, headDim: 17, valueDim: 19, numHeads: 1 }),
      hierarchical(4, { causal, coarsenQueries, seqLen: 19, layout: "transposed" }),
    ]),
    hierarchical(16, { causal, seqLen: 48, dim: 8, numHeads: 1 }),
    hierarchical(4, { causal, coarsenQueries: false, seqLenQ: 1, seqLenKV: 77, heads: [6, 2] }),
    hierarchical(4, { causal, coarsenQueries: false, seqLenQ: 19, seqLenKV: 50, layout: "columns" }),
  ]),
  hierarchical(4, { causal: true, seqLenQ: 30, seqLenKV: 17 }),
  hierarchical(4, { seqLen: 0 }),
  // several tiles, with their own sums below the table's level
  hierarchical(1, { causal: true, seqLen: 530, dim: 4, numHeads: 1 }),
  hierarchical(1, { seqLen: 530, dim: 4, numHeads: 1 }),
  linformer(5, { seqLen: 1 }),
  linformer(6, { seqLen: 30, batch: 2, heads: [4, 2], own: true, values: true, spare: 3 }),
  linformer(34, { seqLen: 140, dim: 18, numHeads: 1, values: true }),
  linformer(3, { seqLenQ: 70, seqLenKV: 129, headDim: 20, valueDim: 7, layout: "transposed" }),
  linformer(33, { seqLenQ: 2, seqLenKV: 40, scale: 0.1, layout: "columns", own: true }),
  ...both.flatMap((causal) => [
    luna(1, { causal, seqLen: 1 }),
    luna(16, { causal, seqLen: 23, heads: [4, 2], batch: 2, dim: 9 }),
    luna(5, { causal, seqLen: 70, packHeads: 2, dim: 17 }),
    luna(20, { causal, seqLenQ: 9, seqLenKV: 75, scale: 0.4, layout: "transposed" }),
  ]),
  luna(7, { causal: true, seqLen: 34, headDim: 16, valueDim: 27, numHeads: 1, layout: "columns" }),
  luna(3, { causal: true, seqLenQ: 8, seqLenKV: 5, heads: [6, 1], packHeads: 3 }),
];
