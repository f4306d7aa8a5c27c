// Misuse of the cache's ops: typed errors that name the op, the argument, what was expected and what came.
import { describe, expect, it } from "vitest";
import { ArgumentError, DTypeError, KVCache, ShapeError, Tensor } from "../lib/index.js";
import { native } from "../lib/binding.js";
import { type ErrorClass, refusal } from "./support/refusal.js";

const misuse = (run: () => unknown, kind: ErrorClass) => refusal(run, kind).message;
const zeros = (...shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const ints = (...shape: number[]) => new Tensor("int32", new Int32Array(shape.reduce((a, b) => a * b, 1)), shape);

const shape = { numLayers: 1, numKVHeads: 2, headDim: 8, dtype: "float32", device: "cpu" } as const;
const given = { q: zeros(1, 3, 4, 8), k: zeros(1, 3, 2, 8), v: zeros(1, 3, 2, 8), positions: [0, 1, 2] as unknown };
const frequencies = [1, 0.1];

describe("ropeAppend refuses", () => {
  const cache = native.createKVCache(shape);
  const run =
    (change: Partial<typeof given>, options: object = { frequencies }, layer = 0) =>
    () => {
      const { q, k, v, positions } = { ...given, ...change };
      native.ropeAppend(cache, layer, q, k, v, positions as number[], options);
    };
  it.each([
    ["a layer that is not there", run({}, { frequencies }, 1), ArgumentError, "layer must be in [0, 1), got 1"],
    [
      "queries of another rank",
      run({ q: zeros(3, 8) }),
      ShapeError,
      "q must be [batch, seqLen, numHeads, headDim], got [3, 8]",
    ],
    ["other lengths", run({ k: zeros(1, 2, 2, 8) }), ShapeError, "with seqLen = 3 (from q), got [1, 2, 2, 8]"],
    ["other widths", run({ q: zeros(1, 3, 4, 6) }), ShapeError, "with headDim = 6 (from q), got [1, 3, 2, 8]"],
    [
      "other heads",
      run({ k: zeros(1, 3, 1, 8), v: zeros(1, 3, 1, 8) }),
      ShapeError,
      "k must be [1, seqLen, 2, 8] as the cache was made, got [1, 3, 1, 8]",
    ],
    ["other values", run({ v: zeros(1, 3, 2, 4) }), ShapeError, "valueDim must be 8 as the cache was made"],
    ["whole numbers", run({ q: ints(1, 3, 4, 8) }), DTypeError, "q must be float32 or float16 or bfloat16, got int32"],
    ["whole keys", run({ k: ints(1, 3, 2, 8) }), DTypeError, "k must be float32 or float16 or bfloat16, got int32"],
    ["too few positions", run({ positions: [0] }), ShapeError, "positions must be [seqLen] with seqLen = 3 (from q)"],
    ["fractions", run({ positions: [0, 1, 0.5] }), ArgumentError, "expected an integer for positions[2], got 0.5"],
    ["no frequencies", run({}, {}), ArgumentError, "frequencies is required: one number per pair of rotated dims"],
    ["too many", run({}, { frequencies: [1, 1, 1, 1, 1] }), ShapeError, "frequencies must not pass headDim = 8, got 5"],
    [
      "a layout",
      run({}, { frequencies, layout: "x" }),
      ArgumentError,
      'layout must be "half" or "interleaved", got "x"',
    ],
  ] as const)("%s", (_, call, kind, text) => {
    const message = misuse(call, kind);
    expect(message).toMatch(/^ropeAppend: /);
    expect(message).toContain(text);
    expect(native.cacheLength(cache, 0)).toBe(0);
  });

  it("a cache with two sets of keys", () => {
    using two = new KVCache({ ...shape, keySets: 2 });
    const { q, k, v } = given;
    expect(misuse(() => two.ropeAppend(0, q, k, v, [0, 1, 2], { frequencies }), ArgumentError)).toMatch(
      /^ropeAppend: the cache has two sets of keys/,
    );
  });
});
