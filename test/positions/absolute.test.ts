// Absolute positions: sinusoidal tables against vectors, learned rows with their bounds, stretched tables.
import { describe, expect, it } from "vitest";
import { ArgumentError, positions } from "../../lib/index.js";
import { fixture, readJson } from "../models/fixtures.js";

const vectors = readJson<Record<string, number[][]>>(fixture("vectors", "sinusoidal.json"));

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  return Math.max(...Array.from(expected, (x, i) => Math.abs(actual[i]! - x)));
}

describe("sinusoidal", () => {
  it.each([
    ["interleaved_sin_cos_(paper)", {}],
    ["concat_sin_then_cos_(tensor2tensor,marian,fairseq_style)", { order: "blocks" }],
    ["fairseq_exact", { order: "blocks", spacing: "fairseq" }],
  ] as const)("%s", (name, options) => {
    const table = positions.sinusoidal({ length: 16, dim: 8, ...options });
    expect(largestDifference(table, vectors[name]!.flat())).toBeLessThan(1e-12);
  });

  it("has one sin more than cos for an odd dim, in both orders", () => {
    const interleaved = positions.sinusoidal({ length: 3, dim: 5 });
    const blocks = positions.sinusoidal({ length: 3, dim: 5, order: "blocks" });
    for (let row = 0; row < 3; row++)
      for (const [from, to] of [
        [0, 0],
        [1, 3],
        [2, 1],
        [3, 4],
        [4, 2],
      ] as const)
        expect(interleaved[row * 5 + from]).toBe(blocks[row * 5 + to]);
  });

  it("starts at an offset, and ends its frequencies at 1 / base in fairseq's spacing", () => {
    const whole = positions.sinusoidal({ length: 9, dim: 6 });
    expect(positions.sinusoidal({ length: 4, dim: 6, offset: 5 })).toEqual(whole.slice(30));
    const fairseq = positions.sinusoidal({ length: 2, dim: 6, order: "blocks", spacing: "fairseq", base: 100 });
    expect(fairseq[8]).toBeCloseTo(Math.sin(1 / 100), 15);
    expect(() => positions.sinusoidal({ length: 2 } as never)).toThrow("at least 1 for dim");
  });

  it("has inner products that depend on the distance only: Sandwich's table", () => {
    const [length, dim] = [12, 16];
    const table = positions.sinusoidal({ length, dim });
    const { values } = positions.sandwich({ numHeads: 1, length, dim, first: 0, centered: false });
    for (let m = 0; m < length; m++)
      for (let n = 0; n <= m; n++) {
        let product = 0;
        for (let i = 0; i < dim; i++) product += table[m * dim + i]! * table[n * dim + i]!;
        expect(product / 8).toBeCloseTo(values[m - n]!, 12);
      }
  });
});

describe("learned", () => {
  it("rows are positions + offset, over tokens that are no padding where a mask is given", () => {
    expect([...positions.learnedRows(3, { tableLength: 8 })]).toEqual([0, 1, 2]);
    expect([...positions.learnedRows(3, { tableLength: 8, offset: 2, start: 3 })]).toEqual([5, 6, 7]);
    const roberta = { tableLength: 514, offset: 2, mask: [0, 1, 1, 0, 1] };
    expect([...positions.learnedRows(5, roberta)]).toEqual([1, 2, 3, 1, 4]);
    expect(positions.learnedRows(512, { tableLength: 514, offset: 2 }).at(-1)).toBe(513);
  });
  it("beyond the table are an error, not a wrap", () => {
    expect(() => positions.learnedRows(513, { tableLength: 514, offset: 2 })).toThrow(ArgumentError);
    expect(() => positions.learnedRows(513, { tableLength: 514, offset: 2 })).toThrow(
      "position 512 has no row in a table of 514 with offset 2",
    );
    expect(() => positions.learnedRows(2, { tableLength: 4, mask: [1] })).toThrow("a list of 2 for mask");
  });
  it("tables are resampled between their ends", () => {
    const table = [0, 10, 1, 20, 2, 30];
    expect([...positions.resampled(table, 2, 3)]).toEqual(table);
    expect([...positions.resampled(table, 2, 5)]).toEqual([0, 10, 0.5, 15, 1, 20, 1.5, 25, 2, 30]);
    expect([...positions.resampled(table, 2, 2)]).toEqual([0, 10, 2, 30]);
    expect([...positions.resampled(table, 2, 1)]).toEqual([0, 10]);
    expect([...positions.resampled([4, 5], 2, 3)]).toEqual([4, 5, 4, 5, 4, 5]);
    expect(() => positions.resampled(table, 4, 5)).toThrow("rows of dim = 4 for table");
  });
  it("tables are extended hierarchically without changing their own rows", () => {
    const table = [3, 1, 4, 1, 5, 9, 2, 6];
    const longer = positions.hierarchical(table, 2, 16);
    expect(largestDifference(longer.slice(0, 8), table)).toBeLessThan(1e-14);
    const u = (row: number, column: number) => (table[row * 2 + column]! - 0.4 * table[column]!) / 0.6;
    expect(longer[2 * 7 + 1]).toBeCloseTo(0.4 * u(1, 1) + 0.6 * u(3, 1), 14);
    expect(() => positions.hierarchical(table, 2, 17)).toThrow("at most 16 for length");
  });
});
