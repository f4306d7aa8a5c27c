// @ts-check
// Products of matmul, and of linear where the weight is packed: rows, inner and outer features, and what is added. Plain
// JavaScript, so that the bench reads the same list.
/** @typedef {import("../support/numbers.js").FloatDType} FloatDType */
/**
 * @typedef {object} Product
 * @property {string} name
 * @property {readonly number[]} rows
 * @property {number} inFeatures
 * @property {number} outFeatures
 * @property {string} [activation]
 * @property {boolean} [bias]
 * @property {boolean} [residual]
 * @property {boolean} [transposeB]
 * @property {FloatDType | import("../reference/quantised.js").QuantisedDType | true} [packed] the panels' dtype; true: the
 *   weight's
 * @property {Readonly<Record<string, FloatDType>>} [otherDTypes]
 * @property {import("../support/tensors.js").Layout} [layout]
 * @property {{ op: "gemm" | "gemv", sizes: [number, number, number][] }} [bench] sizes that are timed, the first with --quick
 */

/** @typedef {Omit<Product, "name" | "rows" | "inFeatures" | "outFeatures">} More */
/** @type {(name: string, rows: number[], inFeatures: number, outFeatures: number, more?: More) => Product} */
const make = (name, rows, inFeatures, outFeatures, more = {}) => ({ name, rows, inFeatures, outFeatures, ...more });

/** @type {FloatDType[]} */
const dtypes = ["float32", "float16", "bfloat16"];
const activations = ["silu", "gelu", "geluTanh", "relu"];
const layouts = /** @type {const} */ (["dense", "transposed", "sliced", "columns"]);
/** @type {import("../reference/quantised.js").QuantisedDType[]} */
const quantised = ["q8_0", "q4_0"];
export const products = [
  make("1 × 1 × 1", [1], 1, 1),
  make("a vector", [], 70, 33),
  make("1 row (gemv)", [1], 300, 130),
  make("5 rows", [5], 129, 65, { transposeB: true }),
  make("70 rows, no multiple of a tile", [70], 67, 190),
  make("130 rows", [130], 256, 96, { transposeB: true }),
  make("batches of rows", [2, 3, 4], 48, 20),
  make("no rows", [0], 16, 8),
  make("no columns", [3], 16, 0),
  make("an empty sum", [3], 0, 8, { bias: true }),
  make("bias and residual", [9], 64, 70, { bias: true, residual: true }),
  ...activations.map((activation) => make(`bias and ${activation}`, [3], 40, 50, { bias: true, activation })),
  make("packed", [6], 100, 75, {
    packed: true,
    bias: true,
    residual: true,
    bench: {
      op: "gemm",
      sizes: [
        [2048, 2048, 2048],
        [512, 896, 4864],
        [512, 4864, 896],
        [512, 2048, 8192],
      ],
    },
  }),
  make("packed, 1 row", [1], 515, 200, {
    packed: true,
    bench: {
      op: "gemv",
      sizes: [
        [1, 4096, 14336],
        [1, 14336, 4096],
      ],
    },
  }),
  ...dtypes.map((weight) =>
    make(`${weight} panels`, [4], 96, 80, { packed: true, otherDTypes: { b: weight, bias: "float32" }, bias: true }),
  ),
  ...quantised.flatMap((packed) => [
    make(`${packed}, 1 row`, [1], 544, 200, { packed }),
    make(`${packed}, 1 row, a depth of no whole block`, [1], 77, 70, { packed, bias: true }),
    make(`${packed}, 5 rows`, [5], 96, 130, { packed, bias: true, residual: true, activation: "silu" }),
    make(`${packed}, 24 rows of views`, [2, 12], 80, 67, { packed, layout: "transposed" }),
    make(`${packed}, 70 rows`, [70], 160, 132, { packed }),
    make(`${packed} of float16, 40 rows`, [40], 65, 9, { packed, otherDTypes: { b: "float16" } }),
  ]),
  ...layouts.map((layout) => make(`views: ${layout}`, [3, 8], 40, 36, { layout, transposeB: true })),
];

/** Dtypes that are timed, and the share of the ceiling asked for: of products by several rows, of a plain read by one. */
export const benchDTypes = [
  { activations: "bfloat16", weights: "bfloat16", targets: { gemm: 0.93, gemv: 0.95 } },
  { activations: "float32", weights: "float32", targets: { gemm: 0.92, gemv: 0.95 } },
  { activations: "float32", weights: "float16", targets: { gemm: 0.85, gemv: 0.95 } },
  { activations: "float32", weights: "q8_0", targets: { gemm: 0.85, gemv: 0.8 } },
  { activations: "float32", weights: "q4_0", targets: { gemm: 0.85, gemv: 0.8 } },
];
