// explainAttention says what runs: its flops are those of the allowed pairs, its parts those of the pattern.
import { expect, it } from "vitest";
import { explainAttention, patterns, ShapeError, Tensor } from "../lib/index.js";

const q = new Tensor("float32", new Float32Array(200 * 4 * 16), [1, 200, 4, 16]);
const k = q.narrow(2, 0, 2);

it("a dense call", () => {
  const { flops, bytes, parts, isa } = explainAttention(q, k, k, { causal: true });
  expect(flops).toBe(4 * 16 * 4 * ((200 * 201) / 2));
  expect(bytes).toBe(4 * 16 * 200 * (4 + 2 + 2 + 4));
  expect(isa).not.toBe("");
  expect(parts).toMatchObject([{ pattern: "window", kernel: "flash attention", product: "float32", headsPerItem: 2 }]);
});

it("decode, sums, sequences", () => {
  expect(explainAttention(q.narrow(1, 0, 1), k, k).parts[0]?.kernel).toBe("decode attention");
  const pattern = patterns.dilated({ segments: [50, 200], rates: [1, 4], causal: true });
  const { parts, flops } = explainAttention(q, k, k, { pattern });
  expect(parts.map((part) => part.pattern)).toEqual(["dilated", "dilated"]);
  const heads = [0, 1, 2, 3].map((head) => pattern.allowedPairs(200, 200, { head, numHeads: 4 }));
  const pairs = heads.reduce((a, b) => a + b, 0);
  expect(parts.reduce((sum, part) => sum + part.allowedPairs, 0)).toBe(pairs);
  expect(flops).toBe(4 * 16 * pairs);
  const packed = explainAttention(q, k, k, { causal: true, cuSeqLensQ: [0, 50, 200] as never });
  expect(packed.parts[0]?.allowedPairs).toBe(4 * ((50 * 51) / 2 + (150 * 151) / 2));
});

it("nothing, and what does not fit", () => {
  expect(explainAttention(q.narrow(1, 0, 0), k, k).flops).toBe(0);
  expect(() => explainAttention(q, k, k.narrow(1, 0, 3))).toThrow(ShapeError);
});
