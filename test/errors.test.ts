// Every misuse is a typed error that names the op, the argument, what was expected and what came; its stack begins at the
// caller's line.
import { describe, expect, it } from "vitest";
import * as longspan from "../lib/index.js";
import {
  add,
  argmax,
  ArgumentError,
  DeviceError,
  DTypeError,
  embedding,
  flashAttention,
  gatedActivation,
  idle,
  layerNorm,
  linear,
  LongspanError,
  matmul,
  mergeAttention,
  multiply,
  nll,
  packWeight,
  patterns,
  rmsNorm,
  rope,
  setMemoryBudget,
  setQueueBytes,
  setThreads,
  ShapeError,
  softmax,
  Tensor,
  topK,
  UnsupportedError,
} from "../lib/index.js";
import { type ErrorClass, refusal } from "./support/refusal.js";

const zeros = (...shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const integers = new Tensor("int32", [1, 2, 3], [3]);
const q = zeros(1, 4, 2, 8);

/** The error of `misuse`, as class and message; its stack must begin in this file. */
function misuse(run: () => unknown, kind: ErrorClass): string {
  const { name, code, message, stack } = refusal(run, kind);
  const frame = stack?.split("\n").find((line) => /^\s+at /.test(line));
  expect(frame, stack).toContain("errors.test.ts");
  expect(stack).toContain(message);
  return `${name} ${code}: ${message}`;
}
const loose = (value: unknown) => value as never;

describe("flashAttention refuses", () => {
  it("a wrong rank", () =>
    expect(misuse(() => flashAttention(zeros(4, 8), q, q), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: q must be [batch, seqLenQ, numHeads, headDim], got [4, 8]"`,
    ));
  it("another headDim", () =>
    expect(misuse(() => flashAttention(q, zeros(1, 4, 2, 9), q), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: k must be [batch, seqLenKV, numKVHeads, headDim] with headDim = 8 (from q), got [1, 4, 2, 9]"`,
    ));
  it("keys and values of other lengths", () =>
    expect(misuse(() => flashAttention(q, zeros(1, 9, 2, 8), q), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: v must be [batch, seqLenKV, numKVHeads, valueDim] with seqLenKV = 9 (from k), got [1, 4, 2, 8]"`,
    ));
  it("another batch", () =>
    expect(misuse(() => flashAttention(q, zeros(2, 4, 2, 8), zeros(2, 4, 2, 8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: k must be [batch, seqLenKV, numKVHeads, headDim] with batch = 1 (from q), got [2, 4, 2, 8]"`,
    ));
  it("heads that do not divide", () =>
    expect(
      misuse(() => flashAttention(zeros(1, 4, 4, 8), zeros(1, 4, 3, 8), zeros(1, 4, 3, 8)), ShapeError),
    ).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: numHeads must be a multiple of numKVHeads = 3, got numHeads = 4"`,
    ));
  it("no key heads", () =>
    expect(misuse(() => flashAttention(q, zeros(1, 4, 0, 8), zeros(1, 4, 0, 8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: numHeads must be a multiple of numKVHeads = 0, got numHeads = 2"`,
    ));
  it("whole numbers", () =>
    expect(misuse(() => flashAttention(q.to("int32"), q, q), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: flashAttention: q must be float32 or float16 or bfloat16, got int32"`,
    ));
  it("mixed dtypes", () =>
    expect(misuse(() => flashAttention(q, q.to("bf16"), q), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: flashAttention: k must be float32 like q, got bfloat16"`,
    ));
  it("an unknown option", () =>
    expect(misuse(() => flashAttention(q, q, q, loose({ casual: true })), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: unknown option "casual"; did you mean "causal"? (it takes causal, window, pattern, scale, softcap, alibiSlopes, bias, sinkLogits, queryScale, distanceBias, firstDistance, expireSpans, expireRamp, cuSeqLensQ, cuSeqLensKV, seqLensKV, blockTable, returnLse)"`,
    ));
  it("an option that is nothing like ours", () =>
    expect(misuse(() => flashAttention(q, q, q, loose({ dropout: 0 })), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: unknown option "dropout" (it takes causal, window, pattern, scale, softcap, alibiSlopes, bias, sinkLogits, queryScale, distanceBias, firstDistance, expireSpans, expireRamp, cuSeqLensQ, cuSeqLensKV, seqLensKV, blockTable, returnLse)"`,
    ));
  it("a scale that is not a number", () =>
    expect(misuse(() => flashAttention(q, q, q, { scale: Number.NaN }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: scale must be a finite number, got NaN"`,
    ));
  it("an infinite scale", () =>
    expect(misuse(() => flashAttention(q, q, q, { scale: Infinity }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: scale must be a finite number, got Infinity"`,
    ));
  it("a softcap of 0", () =>
    expect(misuse(() => flashAttention(q, q, q, { softcap: 0 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: softcap must be positive, got 0"`,
    ));
  it("a negative window", () =>
    expect(misuse(() => flashAttention(q, q, q, { window: -1 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: window must not be negative, got -1"`,
    ));
  it("half a token of window", () =>
    expect(misuse(() => flashAttention(q, q, q, { window: 1.5 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected an integer for window, got 1.5"`,
    ));
  it("a window with a misspelt side", () =>
    expect(misuse(() => flashAttention(q, q, q, { window: loose({ befor: 1 }) }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: unknown option "befor"; did you mean "before"? (it takes before, after)"`,
    ));
  it("a string for a boolean", () =>
    expect(misuse(() => flashAttention(q, q, q, { causal: loose("yes") }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected boolean for causal, got the string "yes""`,
    ));
  it("options that are no object", () =>
    expect(misuse(() => flashAttention(q, q, q, loose(true)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected an object { causal, window, pattern, scale, softcap, alibiSlopes, bias, sinkLogits, queryScale, distanceBias, firstDistance, expireSpans, expireRamp, cuSeqLensQ, cuSeqLensKV, seqLensKV, blockTable, returnLse } for options, got a boolean"`,
    ));
  it("a pattern made by hand", () =>
    expect(
      misuse(() => flashAttention(q, q, q, { pattern: loose({ kind: "causal" }) }), ArgumentError),
    ).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: pattern must be made by one of the factories of \`patterns\`"`,
    ));
  it("headDim 257", () => {
    const wide = zeros(1, 1, 1, 257);
    expect(misuse(() => flashAttention(wide, wide, wide), UnsupportedError)).toMatchInlineSnapshot(
      `"UnsupportedError ERR_LONGSPAN_UNSUPPORTED: flashAttention: headDim must be in [1, 256], got 257"`,
    );
    const v = zeros(1, 4, 2, 300);
    expect(misuse(() => flashAttention(q, q, v), UnsupportedError)).toMatchInlineSnapshot(
      `"UnsupportedError ERR_LONGSPAN_UNSUPPORTED: flashAttention: valueDim must be in [1, 256], got 300"`,
    );
    const none = zeros(1, 4, 2, 0);
    expect(misuse(() => flashAttention(none, none, q), UnsupportedError)).toMatchInlineSnapshot(
      `"UnsupportedError ERR_LONGSPAN_UNSUPPORTED: flashAttention: headDim must be in [1, 256], got 0"`,
    );
  });
  it("slopes, logits and biases of another shape", () => {
    const message = (options: object) => misuse(() => flashAttention(q, q, q, options), ShapeError);
    expect(message({ alibiSlopes: zeros(3) })).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: alibiSlopes must be [numHeads = 2], got [3]"`,
    );
    expect(message({ sinkLogits: zeros(2, 1) })).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: sinkLogits must be [numHeads = 2], got [2, 1]"`,
    );
    expect(message({ bias: zeros(3, 4) })).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: bias must be broadcastable to [batch, numHeads, seqLenQ, seqLenKV] = [1, 2, 4, 4], got [3, 4]"`,
    );
    expect(message({ bias: zeros(1, 1, 2, 4, 4) })).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: flashAttention: bias must be broadcastable to [batch, numHeads, seqLenQ, seqLenKV] = [1, 2, 4, 4], got [1, 1, 2, 4, 4]"`,
    );
  });
  it("no tensor at all", () => {
    expect(misuse(() => flashAttention(q, loose(undefined), q), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected Tensor for k, got undefined"`,
    );
    expect(misuse(() => flashAttention(q, loose([1, 2]), q), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected Tensor for k, got an array"`,
    );
    expect(misuse(() => flashAttention(loose({ data: [1] }), q, q), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected Tensor for q, got an object"`,
    );
    expect(misuse(() => flashAttention(loose(new Map()), q, q), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: flashAttention: expected Tensor for q, got an object"`,
    );
  });
  it("with fields that say what was wrong", () => {
    try {
      flashAttention(q, zeros(1, 4, 2, 9), q);
    } catch (error) {
      expect(error).toMatchObject({ op: "flashAttention", argument: "k", actual: "[1, 4, 2, 9]" });
      expect((error as ShapeError).expected).toContain("headDim");
    }
  });
});

describe("new Tensor refuses", () => {
  it("an unknown dtype", () =>
    expect(misuse(() => new Tensor("float8", [1], [1]), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: new Tensor: unknown dtype "float8"; known: float32, float16, bfloat16, int8, uint8, int32, int64"`,
    ));
  it("a dtype that is no string", () =>
    expect(misuse(() => new Tensor(loose(32), [1], [1]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: expected string for dtype, got the number 32"`,
    ));
  it("too few numbers", () =>
    expect(misuse(() => new Tensor("float32", [1, 2], [3]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: new Tensor: data must have as many elements as shape [3] says, 3, got 2"`,
    ));
  it("what is no number", () =>
    expect(misuse(() => new Tensor("float32", loose([1, "2"]), [2]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: expected a number for data[1], got the string "2""`,
    ));
  it("nested arrays", () =>
    expect(misuse(() => new Tensor("float32", loose([[1], [2]]), [2, 1]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: expected a number for data[0], got an array"`,
    ));
  it("negative and broken extents", () => {
    expect(misuse(() => new Tensor("float32", [], [-1]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: extents must not be negative, got -1 at axis 0"`,
    );
    expect(misuse(() => new Tensor("float32", [1], [0.5]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: expected an integer for shape[0], got 0.5"`,
    );
    expect(misuse(() => new Tensor("float32", [1], loose("1")), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: expected number[] for shape, got the string "1""`,
    );
  });
  it("typed arrays of another kind", () =>
    expect(misuse(() => new Tensor("float32", Int32Array.of(1), [1]), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: new Tensor: a float32 tensor cannot take Int32Array"`,
    ));
  it("devices that are not there", () => {
    const message = misuse(() => new Tensor("float32", [1], [1], { device: "cuda" }), DeviceError);
    expect(message).toMatch(/^DeviceError ERR_LONGSPAN_DEVICE: new Tensor: device "cuda" cannot be used: \S/);
    expect(misuse(() => new Tensor("float32", [1], [1], { device: "tpu" }), DeviceError)).toMatchInlineSnapshot(
      `"DeviceError ERR_LONGSPAN_DEVICE: new Tensor: device "tpu" cannot be used: the devices are cpu, cuda and cuda:<number>"`,
    );
    expect(misuse(() => zeros(1).to("cuda:1"), DeviceError)).toContain('device "cuda:1"');
  });
  it("unknown options", () =>
    expect(
      misuse(() => new Tensor("float32", [1], [1], loose({ devise: "cpu" })), ArgumentError),
    ).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: new Tensor: unknown option "devise"; did you mean "device"? It takes device"`,
    ));
});

describe("views refuse", () => {
  const t = zeros(2, 3, 4);
  it("reshape", () => {
    expect(misuse(() => t.reshape([5, 5]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: reshape: shape [5, 5] has 25 elements, the tensor [2, 3, 4] has 24"`,
    );
    expect(misuse(() => t.reshape([-1, -1]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: reshape: shape may hold one -1 and no other negative number, got [-1, -1]"`,
    );
    expect(misuse(() => t.reshape([-1, 5]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: reshape: shape [-1, 5] has 20 elements, the tensor [2, 3, 4] has 24"`,
    );
    expect(misuse(() => t.reshape([2 ** 40, 2 ** 40]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: reshape: shape [1099511627776, 1099511627776] is too large"`,
    );
    expect(misuse(() => t.reshape(loose(24)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: reshape: expected number[] for shape, got the number 24"`,
    );
    expect(misuse(() => zeros(0).reshape([-1, 0]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: reshape: beside an extent of 0, -1 may be anything: give its number in [-1, 0]"`,
    );
  });
  it("transpose", () =>
    expect(misuse(() => t.transpose(0, 3), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: transpose: b must be in [-3, 3) for a tensor of shape [2, 3, 4], got 3"`,
    ));
  it("narrow", () => {
    expect(misuse(() => t.narrow(1, 2, 2), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: narrow: [start, start + length) must lie in [0, 3) of axis 1, got start 2, length 2"`,
    );
    expect(misuse(() => t.narrow(1, 4, 0), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: narrow: [start, start + length) must lie in [0, 3) of axis 1, got start 4, length 0"`,
    );
    expect(misuse(() => t.narrow(1, 0, -1), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: narrow: [start, start + length) must lie in [0, 3) of axis 1, got start 0, length -1"`,
    );
    expect(misuse(() => t.narrow(1, 2 ** 53 - 1, 2 ** 53 - 1), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: narrow: [start, start + length) must lie in [0, 3) of axis 1, got start 9007199254740991, length 9007199254740991"`,
    );
  });
  it("slice", () =>
    expect(misuse(() => t.slice([0, 0, 0, 0]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: slice: slice takes at most one start and end per axis of [2, 3, 4]"`,
    ));
  it("to", () =>
    expect(misuse(() => t.to("int4"), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: to: unknown dtype "int4"; known: float32, float16, bfloat16, int8, uint8, int32, int64"`,
    ));
});

describe("ops refuse", () => {
  const x = zeros(3, 8);
  it("rope", () => {
    const run =
      (options: object, positions: unknown = [0, 1, 2, 3]) =>
      () =>
        rope(q, loose(positions), loose(options));
    const frequencies = [1, 0.1];
    expect(misuse(run({}), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: frequencies is required: one number per pair of rotated dims"`,
    );
    expect(misuse(run({ frequencies, layout: "halves" }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: layout must be "half" or "interleaved", got "halves""`,
    );
    expect(misuse(run({ frequencies: [1, 2, 3, 4, 5] }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: rope: 2 · frequencies must not pass headDim = 8, got 5 frequencies"`,
    );
    expect(misuse(run({ frequencies: [Number.NaN] }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: frequencies must be a finite number, got NaN"`,
    );
    expect(misuse(run({ frequencies }, [0, 1]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: rope: positions must be [seqLen] with seqLen = 4 (from x), got [2]"`,
    );
    expect(misuse(run({ frequencies }, [0, 1, 2, 3.5]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: expected an integer for positions[3], got 3.5"`,
    );
    expect(misuse(run({ frequencies }, [0, 1, 2, 2 ** 31]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: expected 32-bit integers for positions, got 2147483648 at place 3"`,
    );
    expect(misuse(run({ frequencies }, Float32Array.of(0, 1, 2, 0.5)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rope: expected 32-bit integers for positions, got 0.5 at place 3"`,
    );
    expect(misuse(run({ frequencies }, zeros(4)), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: rope: positions must be int32 or int64, got float32"`,
    );
    expect(misuse(() => rope(x, [0], { frequencies }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: rope: x must be [batch, seqLen, numHeads, headDim], got [3, 8]"`,
    );
  });
  it("norms", () => {
    expect(misuse(() => rmsNorm(x, zeros(7)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: rmsNorm: weight must be [hiddenSize] with hiddenSize = 8 (from x), got [7]"`,
    );
    expect(misuse(() => layerNorm(x, zeros(8), zeros(7)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: layerNorm: bias must be [hiddenSize] with hiddenSize = 8 (from x), got [7]"`,
    );
    expect(misuse(() => rmsNorm(x, null, { epsilon: -1 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rmsNorm: epsilon must not be negative, got -1"`,
    );
    expect(misuse(() => rmsNorm(x, null, loose({ eps: 1 })), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: rmsNorm: unknown option "eps" (it takes epsilon)"`,
    );
    expect(misuse(() => rmsNorm(zeros()), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: rmsNorm: x must have at least one axis, got []"`,
    );
    expect(misuse(() => rmsNorm(integers), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: rmsNorm: x must be float32 or float16 or bfloat16, got int32"`,
    );
  });
  it("products", () => {
    const weight = packWeight(zeros(5, 8));
    expect(misuse(() => matmul(x, zeros(3, 8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: matmul: the last axis of a must be k = 3 (from b), got [3, 8]"`,
    );
    expect(misuse(() => matmul(x, zeros(8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: matmul: b must be [k, n], got [8]"`,
    );
    expect(misuse(() => matmul(x, zeros(8, 4), { bias: zeros(8) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: matmul: bias must be [4], got [8]"`,
    );
    expect(misuse(() => matmul(x, zeros(8, 4), { residual: zeros(4) }), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: matmul: residual must be [3, 4], got [4]"`,
    );
    expect(misuse(() => matmul(x, zeros(8, 4), { activation: "swish" }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: matmul: activation must be none, silu, gelu, geluTanh or relu, got "swish""`,
    );
    expect(misuse(() => linear(zeros(3, 7), weight), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: linear: the last axis of x must be 8, the weight's inFeatures, got [3, 7]"`,
    );
    expect(misuse(() => linear(x, loose(x)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: linear: expected PackedMatrix for weight, got an object"`,
    );
    expect(misuse(() => linear(x, weight, { transposeB: true }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: linear: transposeB has no meaning for a packed weight"`,
    );
    expect(misuse(() => packWeight(zeros(5, 8), { dtype: "int8" }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: packWeight: dtype must be float32, float16, bfloat16, q8_0, q4_0"`,
    );
    expect(misuse(() => x.to("q8_0" as "int8"), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: to: unknown dtype "q8_0"; known: float32, float16, bfloat16, int8, uint8, int32, int64"`,
    );
    expect(misuse(() => softmax(loose(weight)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: softmax: expected Tensor for x, got an object"`,
    );
  });
  it("elementwise", () => {
    expect(misuse(() => add(x, zeros(3, 7)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: add: b must be broadcastable with a = [3, 8], got [3, 7]"`,
    );
    expect(misuse(() => multiply(x, x.to("f16")), DTypeError)).toMatchInlineSnapshot(
      `"DTypeError ERR_LONGSPAN_DTYPE: multiply: b must be float32 like a, got float16"`,
    );
    expect(misuse(() => gatedActivation(x, zeros(8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: gatedActivation: up must be [3, 8] like gate, got [8]"`,
    );
    expect(misuse(() => gatedActivation(x, x, { activation: "tanh" }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: gatedActivation: activation must be silu, gelu, geluTanh or relu, got "tanh""`,
    );
  });
  it("top k and its kin", () => {
    expect(misuse(() => topK(x, { k: 9 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: topK: k must be in [1, 8], the length of the last axis, got 9"`,
    );
    expect(misuse(() => topK(x, { k: 0 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: topK: k must be in [1, 8], the length of the last axis, got 0"`,
    );
    expect(misuse(() => argmax(zeros(3, 0)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: argmax: x must have a last axis of at least one element, got [3, 0]"`,
    );
    expect(misuse(() => nll(x, [1, 2]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: nll: targets must be [n] with n = 3 (from logits), got [2]"`,
    );
    expect(misuse(() => embedding([1], zeros(8)), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: embedding: weight must be [vocabSize, hiddenSize], got [8]"`,
    );
    expect(misuse(() => embedding(loose("1"), x), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: embedding: expected Tensor for ids, got the string "1""`,
    );
  });
  it("merging", () => {
    const part = flashAttention(q, q, q, { returnLse: true });
    expect(misuse(() => mergeAttention([]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: mergeAttention: parts must hold at least one {out, lse}"`,
    );
    expect(misuse(() => mergeAttention(loose(part)), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: mergeAttention: expected { /** [batch, seqLenQ, numHeads, valueDim] */ out: Tensor; /** [batch, numHeads, seqLenQ] float32 */ lse: Tensor; }[] for parts, got an object"`,
    );
    expect(misuse(() => mergeAttention([loose({ out: part.out })]), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: mergeAttention: parts[0] must have lse"`,
    );
    expect(misuse(() => mergeAttention([part, { ...part, lse: zeros(1, 2, 5) }]), ShapeError)).toMatchInlineSnapshot(
      `"ShapeError ERR_LONGSPAN_SHAPE: mergeAttention: lse must be [batch, numHeads, seqLenQ] with seqLenQ = 4 (from out), got [1, 2, 5]"`,
    );
  });
  it("limits", () => {
    expect(misuse(() => setThreads(-1), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: setThreads: threads must be in [1, 256], or 0 for the default, got -1"`,
    );
    expect(misuse(() => setThreads(1.5), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: setThreads: expected an integer for threads, got 1.5"`,
    );
    expect(misuse(() => setQueueBytes(0), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: setQueueBytes: bytes must be positive"`,
    );
    expect(misuse(() => setMemoryBudget(Number.NaN), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: setMemoryBudget: bytes must be 0 (no own limit) or more"`,
    );
  });
  it("patterns", () => {
    expect(misuse(() => patterns.window({ before: -1 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: pattern: before must not be negative, got -1"`,
    );
    expect(misuse(() => patterns.sinks(loose({ tokens: "2", window: 3 })), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: patternMultiplicity: expected number for tokens, got the string "2""`,
    );
    expect(misuse(() => patterns.causal().visible(0, -1), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: pattern: kv must be in [0, 1), got -1"`,
    );
    expect(misuse(() => patterns.causal().toSvg({ seqLen: 1000 }), ArgumentError)).toMatchInlineSnapshot(
      `"ArgumentError ERR_LONGSPAN_ARGUMENT: toSvg: expected an integer at least 1 and at most 512 for seqLen, got 1000"`,
    );
  });
});

describe("faults in flight", () => {
  it("an id that is not in the table rejects", async () => {
    const rows = embedding([0, 3, 9], zeros(4, 8));
    await expect(rows.data()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ArgumentError: embedding: every id must be in [0, 4), the one at place 2 is not]`,
    );
    await expect(rows.data()).rejects.toBeInstanceOf(ArgumentError);
    await expect(nll(zeros(2, 4), [0, -1]).data()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ArgumentError: nll: every target must be in [0, 4), the one at place 1 is not]`,
    );
    await expect(softmax(rows).data(), "what depends on it").rejects.toBeInstanceOf(ArgumentError);
  });
  it("and the process goes on", async () => {
    await idle();
    expect(await add(zeros(2), zeros(2)).toArray()).toEqual([0, 0]);
  });
});

it("every class has its code and extends LongspanError alone", () => {
  const codes = {
    ShapeError: "SHAPE",
    DTypeError: "DTYPE",
    ArgumentError: "ARGUMENT",
    DeviceError: "DEVICE",
    UnsupportedError: "UNSUPPORTED",
    OutOfMemoryError: "OUT_OF_MEMORY",
    QueueFullError: "QUEUE_FULL",
    ContextOverflowError: "CONTEXT_OVERFLOW",
    ModelFormatError: "MODEL_FORMAT",
    CacheMismatchError: "CACHE_MISMATCH",
    NativeBindingError: "NATIVE_BINDING",
    DisposedError: "DISPOSED",
    ExecutionError: "EXECUTION",
  };
  for (const [name, code] of Object.entries(codes)) {
    const kind = longspan[name as keyof typeof codes] as new (message: string, fields?: object) => LongspanError;
    const error = new kind("why", { op: "add", cause: 3 });
    expect(error).toBeInstanceOf(LongspanError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name, code: `ERR_LONGSPAN_${code}`, message: "why", cause: 3, op: "add" });
    expect(error).not.toBeInstanceOf(TypeError);
  }
});
