// Misuse of linformerAttention, lunaAttention, hierarchicalAttention and landmarkAttention, as test/errors.test.ts has it
// for the other ops.
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  DTypeError,
  hierarchicalAttention,
  landmarkAttention,
  linformerAttention,
  lunaAttention,
  ShapeError,
  Tensor,
  UnsupportedError,
} from "../lib/index.js";
import { type ErrorClass, refusal } from "./support/refusal.js";

const zeros = (...shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const q = zeros(1, 4, 2, 8);
const loose = (value: unknown) => value as never;

function misuse(run: () => unknown, kind: ErrorClass): string {
  const { name, message } = refusal(run, kind);
  return `${name}: ${message}`;
}

describe("refused", () => {
  it("by all: other shapes and dtypes, unknown options", () => {
    const calls = {
      linformer: (a: Tensor, b: Tensor, more: object) =>
        linformerAttention(a, b, b, { projectionK: zeros(4, 3), ...more }),
      luna: (a: Tensor, b: Tensor, more: object) => lunaAttention(a, b, b, { extra: zeros(3, 2, 8), ...more }),
      hierarchical: (a: Tensor, b: Tensor, more: object) => hierarchicalAttention(a, b, b, more),
      landmark: (a: Tensor, b: Tensor, more: object) => landmarkAttention(a, b, b, { blockSize: 4, ...more }),
    };
    for (const [name, call] of Object.entries(calls)) {
      expect(misuse(() => call(q, zeros(1, 4, 2, 9), {}), ShapeError)).toContain(`${name}Attention: k must be`);
      expect(misuse(() => call(q, zeros(1, 4, 3, 8), {}), ShapeError)).toContain("multiple of numKVHeads = 3");
      expect(misuse(() => call(q, q.to("bf16"), {}), DTypeError)).toContain("k must be float32 like q");
      expect(misuse(() => call(q, q, { casual: true }), ArgumentError)).toContain('unknown option "casual"');
      expect(misuse(() => call(q, q, { scale: Number.NaN }), ArgumentError)).toContain("scale must be a finite number");
      const wide = zeros(1, 1, 1, 257);
      expect(misuse(() => call(wide, wide, {}), UnsupportedError)).toContain("headDim must be in [1, 256]");
    }
  });
  it("by linformerAttention", () => {
    const run = (options: object) => () => linformerAttention(q, q, q, loose(options));
    expect(misuse(run({ projectionK: zeros(4, 3), causal: true }), UnsupportedError)).toMatchInlineSnapshot(
      `"UnsupportedError: linformerAttention: causal is not possible: every projected key is a sum over all tokens, later ones too; lunaAttention and hierarchicalAttention have causal forms"`,
    );
    expect(misuse(run({}), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: linformerAttention: projectionK must be given: it maps the sequence to the keys that are attended"`,
    );
    expect(misuse(run({ projectionK: zeros(3, 3) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: linformerAttention: projectionK must be [seqLen, rows] or [numKVHeads = 2, seqLen, rows] with seqLen of 4 (seqLenKV) or more, got [3, 3]"`,
    );
    expect(misuse(run({ projectionK: zeros(4, 0) }), ShapeError)).toContain("projectionK must be");
    expect(misuse(run({ projectionK: zeros(3, 4, 3) }), ShapeError)).toContain("projectionK must be");
    expect(misuse(run({ projectionK: zeros(4, 3), projectionV: zeros(4, 5) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: linformerAttention: projectionV must have 3 rows like projectionK, got [4, 5]"`,
    );
  });
  it("by lunaAttention", () => {
    const run = (options: object) => () => lunaAttention(q, q, q, loose(options));
    const extra = zeros(3, 2, 8);
    const state = { keySums: zeros(1, 2, 8, 3), valueSums: zeros(1, 2, 3, 8), positions: 5 };
    expect(misuse(run({}), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: lunaAttention: extra must be given: the sequence P that keys and values are packed into"`,
    );
    expect(misuse(run({ extra: zeros(3, 2, 7) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: lunaAttention: extra must be [extraLen, heads, headDim = 8] or [batch = 1, extraLen, heads, headDim], got [3, 2, 7]"`,
    );
    expect(misuse(run({ extra: zeros(3, 3, 8) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: lunaAttention: extra must have heads that numKVHeads = 2 divides and that divide numHeads = 2, got [3, 3, 8]"`,
    );
    expect(misuse(run({ extra: zeros(0, 2, 8) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: lunaAttention: extraLen must be in [1, 1024], got [0, 2, 8]"`,
    );
    expect(misuse(run({ extra, returnState: true }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: lunaAttention: only the causal form has a state: give causal: true"`,
    );
    expect(misuse(run({ extra, state }), ArgumentError)).toContain("give causal: true");
    expect(misuse(run({ extra, causal: true, returnExtra: true }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: lunaAttention: the causal form does not pack the extra sequence: ask for returnState"`,
    );
    expect(
      misuse(run({ extra, causal: true, state: { ...state, keySums: zeros(1, 2, 8, 4) } }), ShapeError),
    ).toMatchInlineSnapshot(`"ShapeError: lunaAttention: state.keySums must be [1, 2, 8, 3], got [1, 2, 8, 4]"`);
    expect(
      misuse(run({ extra, causal: true, state: { ...state, positions: undefined } }), ArgumentError),
    ).toMatchInlineSnapshot(
      `"ArgumentError: lunaAttention: state must have positions, how many keys it has seen: 0 or more"`,
    );
    const keys = zeros(1, 2, 2, 8);
    expect(
      misuse(() => lunaAttention(q, keys, keys, { extra, causal: true, state }), ShapeError),
    ).toMatchInlineSnapshot(
      `"ShapeError: lunaAttention: beside a state seqLenQ must not pass seqLenKV = 2, got seqLenQ = 4"`,
    );
    expect(misuse(() => lunaAttention(q, q, zeros(1, 4, 2, 9), { extra }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: lunaAttention: valueDim must be headDim = 8: packed values are keys as well, got valueDim = 9"`,
    );
  });
  it("by hierarchicalAttention", () => {
    expect(misuse(() => hierarchicalAttention(q, q, q, { blockSize: 0 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: hierarchicalAttention: blockSize must be in [1, 512], got 0"`,
    );
    const longer = zeros(1, 9, 2, 8);
    expect(misuse(() => hierarchicalAttention(q, longer, longer), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError: hierarchicalAttention: with coarsenQueries seqLenQ must be seqLenKV = 9 (means are over all queries), got seqLenQ = 4"`,
    );
    expect(
      misuse(() => hierarchicalAttention(longer, q, q, { coarsenQueries: false }), ShapeError),
    ).toMatchInlineSnapshot(
      `"ShapeError: hierarchicalAttention: without causal seqLenQ must not pass seqLenKV = 4, got seqLenQ = 9"`,
    );
  });
  it("by landmarkAttention", () => {
    const run = (options: object) => () => landmarkAttention(q, q, q, loose(options));
    expect(misuse(run({}), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: landmarkAttention: blockSize must be given: tokens of a block with its landmark"`,
    );
    expect(misuse(run({ blockSize: 1 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: landmarkAttention: blockSize must be in [2, 512], got 1"`,
    );
    expect(misuse(run({ blockSize: 513 }), ArgumentError)).toContain("[2, 512]");
    expect(misuse(run({ blockSize: 4, topK: -1 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError: landmarkAttention: topK must not be negative, got -1"`,
    );
    expect(misuse(run({ blockSize: 4, causal: false }), UnsupportedError)).toMatchInlineSnapshot(
      `"UnsupportedError: landmarkAttention: causal: false is not possible: a block is known by the landmark at its end, and the last block may have none yet"`,
    );
  });
});
