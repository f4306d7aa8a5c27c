// The cases of all ops beside attention: inputs, the call, the reference, and what the call costs. Tests compare each on
// every instruction set and dtype. Products are listed in matmul.mjs, which the bench reads too.
import * as longspan from "../../lib/index.js";
import type { Tensor } from "../../lib/index.js";
import { type Product, products } from "./matmul.mjs";
import * as reference from "../reference/ops.js";
import type { Round } from "../reference/ops.js";
import { type QuantisedDType, quantised, quantisedDTypes } from "../reference/quantised.js";
import { type FloatDType, floatDTypes } from "../support/numbers.js";
import { type Layout, layouts, sizeOf, type Values } from "../support/tensors.js";

export interface OpCase {
  op: string;
  name: string;
  /** of the first input and of the result */
  dtypes: readonly FloatDType[];
  /** shapes of the random inputs; all of the case's dtype but those named in `otherDTypes` */
  inputs: Readonly<Record<string, readonly number[]>>;
  otherDTypes?: Readonly<Record<string, FloatDType>>;
  layout?: Layout;
  spread?: number;
  /** where it is not the case's dtype */
  resultDType?: (dtype: FloatDType) => FloatDType;
  run(t: Record<string, Tensor>): Tensor;
  reference(x: Record<string, Values>, f: Round): Values;
  flops(): number;
}

/** Inputs read once, the result written once. */
export function bytes(c: OpCase, dtype: FloatDType, resultSize: number): number {
  const width = (name: FloatDType) => (name === "float32" ? 4 : 2);
  const inputs = Object.entries(c.inputs).map(([name, shape]) => sizeOf(shape) * width(c.otherDTypes?.[name] ?? dtype));
  return inputs.reduce((a, b) => a + b, 0) + resultSize * width(c.resultDType?.(dtype) ?? dtype);
}

type Inputs = Record<string, Tensor>;
const dtypes = floatDTypes;
const x = (t: Inputs) => t.x as Tensor;
const cases: OpCase[] = [];

const rowShapes = [[1], [7], [5, 64], [3, 4, 100], [2, 1, 1], [0, 16], [130, 257], [2, 4097]];
for (const shape of rowShapes) {
  const n = [shape.at(-1) as number];
  const common = { dtypes, inputs: { x: shape, weight: n, bias: n } };
  const named = `[${shape.join(", ")}]`;
  cases.push(
    {
      ...common,
      op: "rmsNorm",
      name: named,
      run: (t) => longspan.rmsNorm(x(t), t.weight, { epsilon: 1e-6 }),
      reference: (g, f) => reference.rmsNorm(g.x as Values, { weight: g.weight, epsilon: 1e-6 }, f),
      flops: () => 4 * sizeOf(shape),
    },
    {
      ...common,
      op: "layerNorm",
      name: named,
      run: (t) => longspan.layerNorm(x(t), t.weight, t.bias),
      reference: (g, f) => reference.layerNorm(g.x as Values, { ...(g as object), epsilon: 1e-5 }, f),
      flops: () => 7 * sizeOf(shape),
    },
    {
      op: "softmax",
      name: named,
      dtypes,
      inputs: { x: shape },
      spread: 4,
      run: (t) => longspan.softmax(x(t)),
      reference: (g, f) => reference.softmax(g.x as Values, f),
      flops: () => 4 * sizeOf(shape),
    },
  );
}
cases.push(
  {
    op: "layerNorm",
    name: "without weight and bias, float32 weights beside halves",
    dtypes,
    inputs: { x: [3, 33] },
    run: (t) => longspan.layerNorm(x(t), null, undefined, { epsilon: 0.1 }),
    reference: (g, f) => reference.layerNorm(g.x as Values, { epsilon: 0.1 }, f),
    flops: () => 7 * 99,
  },
  {
    op: "rmsNorm",
    name: "float32 weight on any dtype",
    dtypes,
    inputs: { x: [4, 96], weight: [96] },
    otherDTypes: { weight: "float32" },
    run: (t) => longspan.rmsNorm(x(t), t.weight),
    reference: (g, f) => reference.rmsNorm(g.x as Values, { weight: g.weight, epsilon: 1e-5 }, f),
    flops: () => 4 * 384,
  },
  ...layouts.map(
    (layout): OpCase => ({
      op: "layerNorm",
      name: `views: ${layout}`,
      dtypes,
      layout,
      inputs: { x: [3, 5, 4, 40] },
      run: (t) => longspan.layerNorm(x(t)),
      reference: (g, f) => reference.layerNorm(g.x as Values, { epsilon: 1e-5 }, f),
      flops: () => 7 * 2400,
    }),
  ),
  ...layouts.map(
    (layout): OpCase => ({
      op: "softmax",
      name: `views: ${layout}`,
      dtypes,
      layout,
      inputs: { x: [3, 5, 4, 40] },
      run: (t) => longspan.softmax(x(t)),
      reference: (g, f) => reference.softmax(g.x as Values, f),
      flops: () => 4 * 2400,
    }),
  ),
);

const frequencies = (pairs: number) => Array.from({ length: pairs }, (_, i) => 10000 ** (-i / pairs));
function ropeCase(
  name: string,
  shape: number[],
  pairs: number,
  change: Partial<reference.RopeOptions> = {},
  layout?: Layout,
): void {
  const [batch, seqLen] = shape as [number, number];
  const positions = change.positions ?? Array.from({ length: seqLen }, (_, i) => 4000 + 77 * i);
  const options = { frequencies: frequencies(pairs), layout: "half" as const, ...change };
  const rank2 = positions.length === batch * seqLen && batch > 1;
  cases.push({
    op: "rope",
    name,
    dtypes,
    inputs: { x: shape },
    ...(layout ? { layout } : {}),
    run: (t) => {
      const given = rank2
        ? new longspan.Tensor("int32", [...(positions as number[])], [batch, seqLen])
        : Int32Array.from(positions as number[]);
      const { frequencies, attentionScale = 1 } = options;
      return longspan.rope(x(t), given, {
        frequencies: [...(frequencies as number[])],
        attentionScale,
        layout: options.layout,
      });
    },
    reference: (g, f) => reference.rope(g.x as Values, { ...options, positions }, f),
    flops: () => 6 * pairs * sizeOf(shape.slice(0, 3)),
  });
}
ropeCase("half", [2, 9, 4, 64], 32);
ropeCase("interleaved", [2, 9, 4, 64], 32, { layout: "interleaved" });
ropeCase("a part of the dims, odd width", [1, 5, 3, 37], 10);
ropeCase("a part of the dims, interleaved", [1, 5, 3, 37], 10, { layout: "interleaved", attentionScale: 1.25 });
ropeCase("no pairs: a copy", [1, 3, 2, 8], 0);
ropeCase("positions per batch, far and negative", [2, 3, 2, 16], 8, { positions: [0, 1, 1_000_000, -5, 131071, 7] });
ropeCase("no tokens", [1, 0, 2, 16], 8);
for (const layout of layouts) ropeCase(`views: ${layout}`, [3, 6, 4, 24], 12, {}, layout);

function product({ name, rows: m, inFeatures: k, outFeatures: n, bench, ...given }: Product): void {
  const { activation = "none", bias, residual, transposeB, packed, ...rest } = given;
  const inputs: Record<string, readonly number[]> = { x: [...m, k], b: packed || transposeB ? [n, k] : [k, n] };
  if (bias) inputs.bias = [n];
  if (residual) inputs.residual = [...m, n];
  cases.push({
    op: packed ? "linear" : "matmul",
    name,
    dtypes,
    inputs,
    run: (t) => {
      const extra = {
        activation,
        ...(t.bias ? { bias: t.bias } : {}),
        ...(t.residual ? { residual: t.residual } : {}),
      };
      if (!packed) return longspan.matmul(x(t), t.b as Tensor, { ...extra, ...(transposeB ? { transposeB } : {}) });
      const weight = longspan.packWeight(t.b as Tensor, packed === true ? {} : { dtype: packed });
      return longspan.linear(x(t), weight, extra);
    },
    reference: (g, f) => {
      const b = g.b as Values;
      const isQuantised = quantisedDTypes.includes(packed as QuantisedDType);
      const kept = isQuantised ? quantised(b, packed as QuantisedDType) : b;
      const rows = packed || transposeB ? kept : transposed(kept);
      return reference.product(g.x as Values, rows, { ...(g as { bias?: Values; residual?: Values }), activation }, f);
    },
    flops: () => 2 * sizeOf(m) * k * n,
    ...rest,
  });
}
function transposed({ data, shape }: Values): Values {
  const [rows, columns] = shape as [number, number];
  return {
    shape: [columns, rows],
    data: Float64Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)] as number),
  };
}
products.forEach(product);

for (const activation of ["silu", "gelu", "geluTanh", "relu"])
  for (const shape of [[1], [3, 50], [2, 1025]])
    cases.push({
      op: "gatedActivation",
      name: `${activation}, [${shape.join(", ")}]`,
      dtypes,
      spread: 3,
      inputs: { x: shape, up: shape },
      run: (t) => longspan.gatedActivation(x(t), t.up, { activation }),
      reference: (g, f) => reference.gatedActivation(g.x as Values, g.up, activation, f),
      flops: () => 8 * sizeOf(shape),
    });
for (const layout of layouts)
  cases.push({
    op: "gatedActivation",
    name: `without up, views: ${layout}`,
    dtypes,
    layout,
    inputs: { x: [3, 5, 4, 21] },
    run: (t) => longspan.gatedActivation(x(t)),
    reference: (g, f) => reference.gatedActivation(g.x as Values, undefined, "silu", f),
    flops: () => 8 * 1260,
  });

const pairs: [number[], number[]][] = [
  [[5], [5]],
  [[3, 70], [70]],
  [
    [3, 70],
    [3, 1],
  ],
  [
    [4, 1, 6],
    [5, 1],
  ],
  [[2, 3, 33], [1]],
  [[7], [4, 7]],
  [[0, 4], [4]],
  [[], [3]],
];
for (const operation of ["add", "multiply"] as const) {
  const run = longspan[operation];
  for (const [a, b] of pairs)
    cases.push({
      op: operation,
      name: `[${a.join(", ")}] and [${b.join(", ")}]`,
      dtypes,
      inputs: { x: a, y: b },
      run: (t) => run(x(t), t.y as Tensor),
      reference: (g, f) => reference.binary(g.x as Values, g.y as Values, operation, f),
      flops: () => sizeOf(a),
    });
  for (const layout of layouts)
    cases.push({
      op: operation,
      name: `views: ${layout}`,
      dtypes,
      layout,
      inputs: { x: [3, 5, 4, 21], y: [3, 5, 4, 21] },
      run: (t) => run(x(t), t.y as Tensor),
      reference: (g, f) => reference.binary(g.x as Values, g.y as Values, operation, f),
      flops: () => 1260,
    });
}

for (const [n, vocabSize] of [
  [1, 1],
  [5, 33],
  [3, 5000],
  [0, 7],
] as [number, number][]) {
  const targets = Array.from({ length: n }, (_, i) => (i * 31 + 7) % vocabSize);
  cases.push({
    op: "nll",
    name: `[${n}, ${vocabSize}]`,
    dtypes,
    spread: 5,
    inputs: { x: [n, vocabSize] },
    resultDType: () => "float32",
    run: (t) => longspan.nll(x(t), targets),
    reference: (g, f) => reference.nll(g.x as Values, targets, f),
    flops: () => 3 * n * vocabSize,
  });
}
for (const ids of [[0], [3, 3, 0, 10, 5], []])
  cases.push({
    op: "embedding",
    name: `${ids.length} ids`,
    dtypes,
    inputs: { x: [11, 37] },
    resultDType: (dtype) => (dtype === "bfloat16" ? "bfloat16" : "float32"),
    run: (t) => longspan.embedding(ids, x(t)),
    reference: (g) => reference.embedding(ids, g.x as Values),
    flops: () => 0,
  });

export const opCases: readonly OpCase[] = cases;
