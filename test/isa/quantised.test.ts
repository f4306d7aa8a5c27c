// What a quantised weight keeps, read back bit for bit: the identity times it.
import { expect, it } from "vitest";
import { linear, packWeight, Tensor } from "../../lib/index.js";
import { quantised, quantisedDTypes } from "../reference/quantised.js";
import { random } from "../support/random.js";
import { describeOnIsa, isa } from "./support.js";

const [rows, columns] = [67, 100];

async function kept(weight: Float32Array, dtype: string): Promise<Float32Array> {
  const identity = Float32Array.from({ length: columns * columns }, (_, i) => (i % (columns + 1) === 0 ? 1 : 0));
  const packed = packWeight(new Tensor("float32", weight, [rows, columns]), { dtype });
  const out = linear(new Tensor("float32", identity, [columns, columns]), packed);
  return (await out.transpose(0, 1).data()) as Float32Array;
}

describeOnIsa(`quantised weights on ${isa}`, () => {
  for (const dtype of quantisedDTypes) {
    it(`${dtype} keeps what ggml's definition says, at every magnitude`, async () => {
      const next = random(7);
      const weight = Float32Array.from({ length: rows * columns }, (_, i) => {
        const row = Math.floor(i / columns);
        if (row % 16 === 3) return 0;
        if (row % 16 === 5) return Math.round(20 * (next() - 0.5)); // halves between two whole numbers
        return (next() - 0.5) * 10 ** ((row % 16) - 10);
      });
      const expected = quantised({ data: Float64Array.from(weight), shape: [rows, columns] }, dtype).data;
      expect(Array.from(await kept(weight, dtype), (x) => x + 0)).toEqual(Array.from(expected, (x) => x + 0));
    });

    it(`${dtype} of a row with a value that is no finite number is NaN, and of no other`, async () => {
      const clean = new Float32Array(rows * columns).fill(0.5);
      const weight = clean.slice();
      for (const [row, value] of [Number.NaN, Infinity, -Infinity].entries()) weight[row * columns + 40] = value;
      const [result, expected] = [await kept(weight, dtype), await kept(clean, dtype)];
      expect(result.subarray(0, 3 * columns).every(Number.isNaN)).toBe(true);
      expect(result.subarray(3 * columns)).toEqual(expected.subarray(3 * columns));
    });
  }
});
