// The public types, checked by tsc (npm run check): what must compile, and what must not.
import { describe, expectTypeOf, it } from "vitest";
import {
  type AttentionPart,
  type DType,
  flashAttention,
  type LongspanError,
  mergeAttention,
  type OutOfMemoryError,
  patterns,
  positions,
  type QueryScale,
  rope,
  type Rotary,
  scope,
  type ShapeError,
  Tensor,
  topK,
} from "../lib/index.js";

const x = new Tensor("f32", [1, 2, 3, 4], [1, 2, 1, 2]);

describe("types", () => {
  it("of tensors", () => {
    expectTypeOf(x.dtype).toEqualTypeOf<DType>();
    expectTypeOf(x.shape).toEqualTypeOf<readonly number[]>();
    expectTypeOf(x.item).returns.resolves.toEqualTypeOf<number | bigint>();
    expectTypeOf(x.reshape([4]).to("bf16")).toEqualTypeOf<Tensor>();
    expectTypeOf(scope(() => ({ x, n: 1 }))).toEqualTypeOf<{ x: Tensor; n: number }>();
    // @ts-expect-error shapes are not written to
    void (() => x.shape.push(1));
    // @ts-expect-error a shape is an array
    void (() => x.reshape(4));
  });
  it("of attention", () => {
    expectTypeOf(flashAttention(x, x, x)).toEqualTypeOf<Tensor>();
    expectTypeOf(flashAttention(x, x, x, { causal: true })).toEqualTypeOf<Tensor>();
    expectTypeOf(flashAttention(x, x, x, { returnLse: true })).toEqualTypeOf<AttentionPart>();
    expectTypeOf(mergeAttention).returns.toEqualTypeOf<AttentionPart>();
    flashAttention(x, x, x, { window: { before: 1 }, scale: 1, softcap: 2 });
    flashAttention(x, { type: "float32", data: [1, 2], dims: [1, 1, 1, 2] }, x.narrow(1, 0, 1));
    flashAttention(x, x, x, { pattern: patterns.sinks({ tokens: 1, window: 1 }) });
    // @ts-expect-error a misspelt option
    void (() => flashAttention(x, x, x, { casual: true }));
    // @ts-expect-error a pattern comes from a factory
    void (() => flashAttention(x, x, x, { pattern: { kind: "causal" } }));
  });
  it("of other ops", () => {
    expectTypeOf(topK(x, { k: 1 })).toEqualTypeOf<{ values: Tensor; indices: Tensor }>();
    expectTypeOf(rope(x, [0, 1], { frequencies: [1] })).toEqualTypeOf<Tensor>();
    // @ts-expect-error k is a number
    void (() => topK(x, { k: "1" }));
  });
  it("of positions", () => {
    expectTypeOf(
      positions.yarn({ rotaryDim: 8, factor: 2, originalMaxPositionEmbeddings: 64 }),
    ).toEqualTypeOf<Rotary>();
    expectTypeOf(positions.logN({ trainedLength: 64 })).toEqualTypeOf<QueryScale>();
    expectTypeOf(positions.alibiSlopes(8)).toEqualTypeOf<Float64Array>();
    rope(x, [0, 1], positions.plain({ rotaryDim: 2 }));
    // @ts-expect-error YaRN must know the trained length
    void (() => positions.yarn({ rotaryDim: 8, factor: 2 }));
    // @ts-expect-error a misspelt parameter
    void (() => positions.linear({ rotaryDim: 8, facto: 2 }));
  });
  it("of errors", () => {
    expectTypeOf<ShapeError>().toExtend<LongspanError>();
    expectTypeOf<ShapeError["expected"]>().toEqualTypeOf<string>();
    expectTypeOf<OutOfMemoryError["requiredBytes"]>().toEqualTypeOf<number>();
    expectTypeOf<LongspanError["code"]>().toEqualTypeOf<string>();
  });
});
