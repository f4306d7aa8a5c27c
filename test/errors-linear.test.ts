// Misuse of the linear family: typed errors that name the op and the argument, with a stack that begins at the caller.
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  deltaNet,
  DTypeError,
  gatedLinearAttention,
  linearAttention,
  performerAttention,
  performerProjection,
  retention,
  scatterbrainAttention,
  ShapeError,
  Tensor,
  UnsupportedError,
} from "../lib/index.js";
import { type ErrorClass, refusal } from "./support/refusal.js";

const zeros = (...shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const x = zeros(1, 4, 2, 8);
const loose = (value: unknown) => value as never;

function misuse(run: () => unknown, kind: ErrorClass): string {
  const { message, stack } = refusal(run, kind);
  const frame = stack?.split("\n").find((line) => /^\s+at /.test(line));
  expect(frame, stack).toContain("errors-linear.test.ts");
  return message;
}

const shapes: [string, () => unknown][] = [
  ["a wrong rank", () => linearAttention(zeros(4, 8), x, x)],
  ["another headDim", () => retention(x, zeros(1, 4, 2, 9), x)],
  ["keys and values of other lengths", () => performerAttention(x, zeros(1, 9, 2, 8), x)],
  ["heads that do not divide", () => scatterbrainAttention(zeros(1, 4, 4, 8), zeros(1, 4, 3, 8), zeros(1, 4, 3, 8))],
  ["gates of another length", () => gatedLinearAttention(x, x, x, { gates: zeros(1, 5, 2, 8) })],
  ["beta of three heads", () => deltaNet(x, x, x, { beta: zeros(1, 4, 3) })],
  ["gammas for another number of heads", () => retention(x, x, x, { gammas: [0.9] })],
  ["a state of another width", () => retention(x, x, x, { state: zeros(1, 2, 8, 7) })],
  [
    "a state of another number of features",
    () => linearAttention(x, x, x, { state: { values: zeros(1, 2, 9, 8), keys: zeros(1, 2, 9) } }),
  ],
  ["a projection of another width", () => performerAttention(x, x, x, { projection: zeros(5, 9) })],
];
const dtypes: [string, () => unknown][] = [
  ["whole numbers", () => linearAttention(x.to("int32"), x, x)],
  ["mixed dtypes", () => deltaNet(x, x.to("bf16"), x, { beta: zeros(1, 4, 2) })],
  ["gates of whole numbers", () => gatedLinearAttention(x, x, x, { gates: zeros(1, 4, 2, 8).to("int32") })],
];
const widths: [string, () => unknown][] = [
  ["headDim 257", () => linearAttention(zeros(1, 1, 1, 257), zeros(1, 1, 1, 257), zeros(1, 1, 1, 8))],
  ["valueDim 257", () => performerAttention(zeros(1, 1, 1, 8), zeros(1, 1, 1, 8), zeros(1, 1, 1, 257))],
  ["headDim 0", () => retention(zeros(1, 1, 1, 0), zeros(1, 1, 1, 0), zeros(1, 1, 1, 8))],
];
const wrong: [string, () => unknown][] = [
  ["an unknown option", () => linearAttention(x, x, x, loose({ casual: true }))],
  ["an unknown option of performerAttention", () => performerAttention(x, x, x, loose({ redraw: 1000 }))],
  ["an unknown feature map", () => linearAttention(x, x, x, { featureMap: loose("softmax") })],
  ["a negative epsilon", () => linearAttention(x, x, x, { epsilon: -1 })],
  ["a state without keys", () => linearAttention(x, x, x, { state: loose({ values: zeros(1, 2, 8, 8) }) })],
  [
    "a state without logScale",
    () => performerAttention(x, x, x, { features: 3, state: { values: zeros(1, 2, 3, 8), keys: zeros(1, 2, 3) } }),
  ],
  ["an unknown kernel", () => performerAttention(x, x, x, { kernel: loose("gelu") })],
  ["hyperbolic relu", () => performerAttention(x, x, x, { kernel: "relu", hyperbolic: true })],
  ["an epsilon of the softmax kernel", () => performerAttention(x, x, x, { epsilon: 1e-4 })],
  ["a scale of 0", () => performerAttention(x, x, x, { scale: 0 })],
  ["no features", () => performerAttention(x, x, x, { features: 0 })],
  ["too many features", () => performerProjection({ headDim: 8, features: 8193 })],
  ["half a feature", () => performerProjection({ headDim: 8, features: 1.5 })],
  ["a negative seed", () => performerProjection({ headDim: 8, seed: -1 })],
  ["a projection without headDim", () => performerProjection(loose({}))],
  ["features beside another projection", () => performerAttention(x, x, x, { features: 6, projection: zeros(5, 8) })],
  ["a negative window", () => scatterbrainAttention(x, x, x, { window: { before: 2, after: -1 } })],
  ["a gamma above 1", () => retention(x, x, x, { gammas: [0.9, 1.1] })],
  ["an infinite scale", () => retention(x, x, x, { scale: Infinity })],
  ["no gates", () => gatedLinearAttention(x, x, x, loose(undefined))],
  ["no beta", () => deltaNet(x, x, x, loose({}))],
];

const messages = (list: [string, () => unknown][], kind: ErrorClass) =>
  list.map(([name, run]) => `${name}: ${misuse(run, kind)}`);

describe("the linear family refuses", () => {
  it("wrong shapes", () =>
    expect(messages(shapes, ShapeError)).toMatchInlineSnapshot(`
    [
      "a wrong rank: linearAttention: q must be [batch, seqLenQ, numHeads, headDim], got [4, 8]",
      "another headDim: retention: k must be [batch, seqLenKV, numKVHeads, headDim] with headDim = 8 (from q), got [1, 4, 2, 9]",
      "keys and values of other lengths: performerAttention: v must be [batch, seqLenKV, numKVHeads, valueDim] with seqLenKV = 9 (from k), got [1, 4, 2, 8]",
      "heads that do not divide: scatterbrainAttention: numHeads must be a multiple of numKVHeads = 3, got numHeads = 4",
      "gates of another length: gatedLinearAttention: gates must be [batch, seqLenKV, numHeads or numKVHeads, headDim] = [1, 4, 2, 8], got [1, 5, 2, 8]",
      "beta of three heads: deltaNet: beta must be [batch, seqLenKV, numHeads or numKVHeads] = [1, 4, 2], got [1, 4, 3]",
      "gammas for another number of heads: retention: gammas must have numHeads = 2, got 1",
      "a state of another width: retention: state must be [batch, numHeads, headDim, valueDim] = [1, 2, 8, 8], got [1, 2, 8, 7]",
      "a state of another number of features: linearAttention: state.values must be [batch, numHeads, features, valueDim] = [1, 2, 8, 8], got [1, 2, 9, 8]",
      "a projection of another width: performerAttention: projection must be [features, headDim = 8], got [5, 9]",
    ]
  `));
  it("wrong dtypes", () =>
    expect(messages(dtypes, DTypeError)).toMatchInlineSnapshot(`
    [
      "whole numbers: linearAttention: q must be float32 or float16 or bfloat16, got int32",
      "mixed dtypes: deltaNet: k must be float32 like q, got bfloat16",
      "gates of whole numbers: gatedLinearAttention: gates must be float32 or float16 or bfloat16, got int32",
    ]
  `));
  it("widths it has no kernel for", () =>
    expect(messages(widths, UnsupportedError)).toMatchInlineSnapshot(`
    [
      "headDim 257: linearAttention: headDim must be in [1, 256], got 257",
      "valueDim 257: performerAttention: valueDim must be in [1, 256], got 257",
      "headDim 0: retention: headDim must be in [1, 256], got 0",
    ]
  `));
  it("wrong options", () =>
    expect(messages(wrong, ArgumentError)).toMatchInlineSnapshot(`
    [
      "an unknown option: linearAttention: unknown option "casual"; did you mean "causal"? (it takes causal, featureMap, epsilon, state, returnState)",
      "an unknown option of performerAttention: performerAttention: unknown option "redraw" (it takes causal, features, projection, seed, orthogonalScaling, kernel, epsilon, hyperbolic, scale, state, returnState)",
      "an unknown feature map: linearAttention: featureMap must be "elu", "relu" or "identity", got "softmax"",
      "a negative epsilon: linearAttention: epsilon must not be negative, got -1",
      "a state without keys: linearAttention: state must have keys",
      "a state without logScale: performerAttention: state must have logScale",
      "an unknown kernel: performerAttention: kernel must be "softmax" or "relu", got "gelu"",
      "hyperbolic relu: performerAttention: hyperbolic has a meaning only for kernel "softmax"",
      "an epsilon of the softmax kernel: performerAttention: epsilon has a meaning only for kernel "relu"",
      "a scale of 0: performerAttention: scale must be positive, got 0",
      "no features: performerAttention: features must be in [1, 8192], got 0",
      "too many features: performerProjection: features must be in [1, 8192], got 8193",
      "half a feature: performerProjection: expected an integer for features, got 1.5",
      "a negative seed: performerProjection: seed must not be negative, got -1",
      "a projection without headDim: performerProjection: headDim must be in [1, 256], got 0",
      "features beside another projection: performerAttention: features is 6, but projection has 5 rows",
      "a negative window: scatterbrainAttention: window must not be negative, got -1",
      "a gamma above 1: retention: gammas must be in [0, 1], got 1.1",
      "an infinite scale: retention: scale must be a finite number, got Infinity",
      "no gates: gatedLinearAttention: gates is required: [batch, seqLenKV, numHeads or numKVHeads, headDim]",
      "no beta: deltaNet: beta is required: [batch, seqLenKV, numHeads or numKVHeads]",
    ]
  `));
});
