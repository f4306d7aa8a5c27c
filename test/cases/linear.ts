// Cases of the linear family: shapes that cross chunks, groups and panels, and each op's options.
import {
  deltaNet,
  gatedLinearAttention,
  linearAttention,
  type LinearAttentionOptions,
  performerAttention,
  retention,
  scatterbrainAttention,
  type Tensor,
} from "../../lib/index.js";
import type { Precision } from "../reference/attention.js";
import { dot, featureMaps, productsOf, randomFeatures, recurrence, row, weighted } from "../reference/linear.js";
import { type FloatDType, floatDTypes } from "../support/numbers.js";
import { type Random, random } from "../support/random.js";
import { type Layout, randomValues, tensorOf, type Values } from "../support/tensors.js";

export interface LinearSizes {
  batch: number;
  seqLenQ: number;
  seqLenKV: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
  valueDim: number;
}
export interface Stepped {
  state?: unknown;
  returnState?: boolean;
}
export interface LinearCase {
  op: string;
  name: string;
  sizes: LinearSizes;
  layout: Layout;
  spread: number;
  /** Values besides q, k and v */
  extra: (next: Random, dtype: FloatDType) => Values[];
  run: (q: Tensor, k: Tensor, v: Tensor, extra: Tensor[], stepped?: Stepped) => unknown;
  reference: (q: Values, k: Values, v: Values, extra: Values[], precision: Precision) => Float64Array;
  /** Is it a recurrence, so that it can go in steps? */
  steps: boolean;
}

const base: LinearSizes = {
  batch: 1,
  seqLenQ: 67,
  seqLenKV: 67,
  numHeads: 2,
  numKVHeads: 2,
  headDim: 12,
  valueDim: 12,
};
type Change = Partial<LinearSizes> & { dim?: number; seqLen?: number; layout?: Layout };
function shaped({ dim, seqLen, layout = "dense", ...change }: Change) {
  const sizes = {
    ...base,
    ...(dim === undefined ? {} : { headDim: dim, valueDim: dim }),
    ...(seqLen === undefined ? {} : { seqLenQ: seqLen, seqLenKV: seqLen }),
    ...change,
  };
  return { sizes, layout };
}
const bottomRight = (s: LinearSizes) => (i: number, j: number) => j <= i + s.seqLenKV - s.seqLenQ;
const all = () => true;

function linear(name: string, change: Change, options: LinearAttentionOptions = {}): LinearCase {
  const { sizes, layout } = shaped(change);
  const map = featureMaps[options.featureMap ?? "elu"];
  return {
    op: "linearAttention",
    name: `linearAttention ${name}`,
    sizes,
    layout,
    spread: 1,
    extra: () => [],
    run: (q, k, v, _, stepped) => linearAttention(q, k, v, { ...options, ...(stepped as object) }),
    reference: (q, k, v, _, precision) =>
      weighted(
        q.shape,
        v,
        {
          sees: options.causal ? bottomRight(sizes) : all,
          weights: productsOf(q, k, (x) => x.map(map), precision),
          epsilon: options.epsilon ?? 1e-6,
        },
        precision,
      ),
    steps: options.causal ?? false,
  };
}

interface RandomOptions {
  causal?: boolean;
  hyperbolic?: boolean;
  kernel?: "softmax" | "relu";
  scale?: number;
}
const projection = (features: number, headDim: number) => (next: Random) => [
  randomValues(next, [features, headDim], "float32"),
];

function performer(
  name: string,
  features: number,
  change: Change,
  options: RandomOptions = {},
  spread = 0.5,
): LinearCase {
  const { sizes, layout } = shaped(change);
  const scale = options.scale ?? sizes.headDim ** -0.5;
  return {
    op: "performerAttention",
    name: `performerAttention ${name}`,
    sizes,
    layout,
    spread,
    extra: projection(features, sizes.headDim),
    run: (q, k, v, [w], stepped) =>
      performerAttention(q, k, v, { ...options, projection: w as Tensor, ...(stepped as object) }),
    reference: (q, k, v, [w], precision) =>
      weighted(
        q.shape,
        v,
        {
          sees: options.causal ? bottomRight(sizes) : all,
          weights: productsOf(q, k, randomFeatures(w as Values, { ...options, scale }, precision), precision),
          epsilon: 0,
        },
        precision,
      ),
    steps: options.causal ?? false,
  };
}

type Window = number | { before: number; after?: number };
function scatter(name: string, window: Window, change: Change, options: RandomOptions = {}): LinearCase {
  const { sizes, layout } = shaped(change);
  const scale = options.scale ?? sizes.headDim ** -0.5;
  const before = typeof window === "number" ? window : window.before;
  const after = options.causal ? 0 : typeof window === "number" ? window : (window.after ?? 0);
  const offset = sizes.seqLenKV - sizes.seqLenQ;
  const near = (i: number, j: number) => j >= i + offset - before && j <= i + offset + after;
  return {
    op: "scatterbrainAttention",
    name: `scatterbrainAttention ${name}`,
    sizes,
    layout,
    spread: 0.5,
    extra: projection(12, sizes.headDim),
    run: (q, k, v, [w]) => scatterbrainAttention(q, k, v, { ...options, window, projection: w as Tensor }),
    reference: (q, k, v, [w], precision) => {
      const estimate = productsOf(q, k, randomFeatures(w as Values, { ...options, scale }, precision), precision);
      const weights = (place: { b: number; h: number; kv: number }) => {
        const far = estimate(place);
        const score = (i: number, j: number) =>
          precision.dtype(dot(row(q, place.b, i, place.h), row(k, place.b, j, place.kv), precision) * scale);
        return (i: number, j: number) => (near(i, j) ? Math.exp(score(i, j)) : far(i, j));
      };
      return weighted(q.shape, v, { sees: options.causal ? bottomRight(sizes) : all, weights, epsilon: 0 }, precision);
    },
    steps: false,
  };
}

function retained(name: string, change: Change, gammas?: number[], scale?: number): LinearCase {
  const { sizes, layout } = shaped(change);
  const offset = sizes.seqLenKV - sizes.seqLenQ;
  const factor = scale ?? sizes.headDim ** -0.5;
  return {
    op: "retention",
    name: `retention ${name}`,
    sizes,
    layout,
    spread: 1,
    extra: () => [],
    run: (q, k, v, _, stepped) =>
      retention(q, k, v, {
        ...(gammas ? { gammas } : {}),
        ...(scale === undefined ? {} : { scale }),
        ...(stepped as object),
      }),
    reference: (q, k, v, _, precision) => {
      const products = productsOf(q, k, (x, of) => (of === "k" ? x.map((y) => y * factor) : x), precision);
      const weights = (place: { b: number; h: number; kv: number }) => {
        const product = products(place);
        const gamma = gammas ? (gammas[place.h] as number) : 1 - 2 ** (-5 - place.h);
        return (i: number, j: number) => precision.float32(gamma ** (i + offset - j)) * product(i, j);
      };
      return weighted(q.shape, v, { sees: bottomRight(sizes), weights }, precision);
    },
    steps: true,
  };
}

/** gate: what a normal random number becomes */
function gated(name: string, change: Change & { gateHeads?: number }, gate: (x: number) => number): LinearCase {
  const { gateHeads, ...rest } = change;
  const { sizes, layout } = shaped(rest);
  const shape = [sizes.batch, sizes.seqLenKV, gateHeads ?? sizes.numHeads, sizes.headDim];
  return {
    op: "gatedLinearAttention",
    name: `gatedLinearAttention ${name}`,
    sizes,
    layout,
    spread: 1,
    extra: (next) => [{ shape, data: randomValues(next, shape, "float32").data.map((x) => Math.fround(gate(x))) }],
    run: (q, k, v, [gates], stepped) =>
      gatedLinearAttention(q, k, v, { gates: gates as Tensor, ...(stepped as object) }),
    reference: (q, k, v, [gates], precision) =>
      recurrence(q, k, v, { scale: sizes.headDim ** -0.5, gates: gates as Values }, precision),
    steps: true,
  };
}

function delta(name: string, change: Change & { betaHeads?: number }): LinearCase {
  const { betaHeads, ...rest } = change;
  const { sizes, layout } = shaped(rest);
  const shape = [sizes.batch, sizes.seqLenKV, betaHeads ?? sizes.numHeads];
  return {
    op: "deltaNet",
    name: `deltaNet ${name}`,
    sizes,
    layout,
    spread: 0.2,
    extra: (next) => [
      { shape, data: randomValues(next, shape, "float32").data.map((x) => Math.fround(1 / (1 + Math.exp(x)))) },
    ],
    run: (q, k, v, [beta], stepped) => deltaNet(q, k, v, { beta: beta as Tensor, ...(stepped as object) }),
    reference: (q, k, v, [beta], precision) =>
      recurrence(q, k, v, { scale: sizes.headDim ** -0.5, beta: beta as Values }, precision),
    steps: true,
  };
}

const causal = true;
const grouped = { numHeads: 4, numKVHeads: 2 };
const after = { seqLenQ: 5, seqLenKV: 83 };
const short = { seqLenQ: 40, seqLenKV: 13 };
export const linearCases: LinearCase[] = [
  linear("one token", { seqLen: 1 }, { causal }),
  linear("over all keys", { batch: 2, seqLen: 40 }),
  linear("causal", { seqLen: 131, dim: 17, numHeads: 1, numKVHeads: 1 }, { causal }),
  linear("causal, in groups of tokens", { seqLen: 523, dim: 3, numHeads: 1, numKVHeads: 1 }, { causal }),
  linear("over all keys, in groups", { seqLenQ: 30, seqLenKV: 700, dim: 3, numHeads: 1, numKVHeads: 1 }),
  linear("wide values", { headDim: 8, valueDim: 136, seqLen: 35 }, { causal }),
  linear("wide keys", { headDim: 255, valueDim: 3, seqLen: 30 }, { causal }),
  linear("grouped heads", { ...grouped, batch: 2, seqLen: 40 }, { causal }),
  linear("a chunk after a cache", after, { causal }),
  linear("one query after many keys", { seqLenQ: 1, seqLenKV: 600, dim: 8, numHeads: 1, numKVHeads: 1 }, { causal }),
  linear("more queries than keys", short, { causal }),
  linear("no keys", { seqLenKV: 0 }, { causal }),
  linear("no queries", { seqLenQ: 0 }),
  linear("no batch", { batch: 0 }),
  linear("relu", { seqLen: 40 }, { causal, featureMap: "relu", epsilon: 0.1 }),
  ...(["transposed", "sliced", "columns"] as const).map((layout) =>
    linear(`views: ${layout}`, { ...grouped, batch: 2, seqLen: 21, layout }, { causal }),
  ),
  performer("over all keys", 20, { batch: 2, seqLen: 40 }),
  performer("causal", 37, { seqLen: 131, dim: 20, numHeads: 1, numKVHeads: 1 }, { causal }),
  performer("causal, in groups of tokens", 5, { seqLen: 517, dim: 3, numHeads: 1, numKVHeads: 1 }, { causal }),
  performer("over all keys, in groups", 5, { seqLenQ: 520, seqLenKV: 30, dim: 3, numHeads: 1, numKVHeads: 1 }),
  performer("hyperbolic, grouped heads", 67, { ...grouped, seqLen: 33 }, { causal, hyperbolic: true }),
  performer("relu", 30, { layout: "columns" }, { causal, kernel: "relu" }),
  performer("large norms", 16, { seqLen: 90 }, { causal }, 4),
  performer("own scale, after a cache", 16, after, { causal, scale: 0.1 }),
  performer("more queries than keys", 9, short, { causal }),
  scatter("window 3", 3, { batch: 2 }),
  scatter("window 3, causal", 3, grouped, { causal }),
  scatter("before 2, after 9, views", { before: 2, after: 9 }, { ...grouped, layout: "columns" }),
  scatter("everything in the window", 100, {}),
  scatter("window 0, hyperbolic", 0, { seqLen: 33 }, { hyperbolic: true }),
  scatter("after a cache", 4, after, { causal }),
  scatter("after a cache, both sides", 4, after),
  scatter("more queries than keys", 2, short, { causal }),
  scatter("more queries than keys, both sides", 2, short),
  scatter("no keys", 2, { seqLenKV: 0 }),
  retained("causal", { seqLen: 131, dim: 17, numHeads: 1, numKVHeads: 1 }),
  retained("in groups of tokens", { seqLen: 530, dim: 3, numHeads: 1, numKVHeads: 1 }),
  retained("own gammas, grouped heads", { ...grouped, batch: 2, seqLen: 40 }, [0.9, 1, 0.3, 0.001], 1),
  retained("gamma 0", { seqLen: 20 }, [0, 1e-30]),
  retained("after a cache, views", { ...after, layout: "columns" }),
  retained("more queries than keys", short),
  gated("slow decay", { seqLen: 131, dim: 17, numHeads: 1, numKVHeads: 1 }, (x) => -0.05 * Math.abs(x)),
  gated("in groups of tokens", { seqLen: 530, dim: 3, numHeads: 1, numKVHeads: 1 }, (x) => -0.02 * Math.abs(x)),
  gated("fast decay", { ...grouped, seqLen: 40, gateHeads: 2 }, (x) => -Math.exp(2 * x)),
  gated("resets", {}, (x) => (x > 1.5 ? Number.NEGATIVE_INFINITY : -0.1)),
  gated("after a cache, views", { ...after, layout: "columns" }, (x) => -Math.abs(x)),
  delta("causal", { seqLen: 131, dim: 17, numHeads: 1, numKVHeads: 1 }),
  delta("grouped heads, wide values", { ...grouped, batch: 2, seqLen: 20, valueDim: 70, betaHeads: 2 }),
  delta("after a cache, views", { ...after, layout: "columns" }),
  delta("more queries than keys", short),
];

/** The references are quadratic: long ones in float32 alone. */
export const dtypesOf = ({ sizes }: LinearCase): readonly FloatDType[] =>
  sizes.seqLenQ * sizes.seqLenKV > 10_000 ? ["float32"] : floatDTypes;

export interface LinearInputs {
  q: Values;
  k: Values;
  v: Values;
  extra: Values[];
}
export function inputsOf(c: LinearCase, dtype: FloatDType): LinearInputs {
  const s = c.sizes;
  const next = random(c.name.length * 7 + s.seqLenKV);
  return {
    q: randomValues(next, [s.batch, s.seqLenQ, s.numHeads, s.headDim], dtype, c.spread),
    k: randomValues(next, [s.batch, s.seqLenKV, s.numKVHeads, s.headDim], dtype, c.spread),
    v: randomValues(next, [s.batch, s.seqLenKV, s.numKVHeads, s.valueDim], dtype),
    extra: c.extra(next, dtype),
  };
}
export function tensorsOf(inputs: LinearInputs, dtype: FloatDType, layout: Layout) {
  const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((x) => tensorOf(x, dtype, layout)) as [Tensor, Tensor, Tensor];
  return { q, k, v, extra: inputs.extra.map((x) => tensorOf(x, "float32", layout)) };
}
