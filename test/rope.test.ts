// rope against the vectors of the specification, which agree with the transformers library.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { rope, Tensor } from "../lib/index.js";
import { distance } from "./support/compare.js";
import { read } from "./support/tensors.js";

const vectors = JSON.parse(readFileSync(new URL("fixtures/rope_apply.json", import.meta.url), "utf8"));
const x = new Tensor("float32", vectors.x.flat(), [1, 5, 1, 8]);
const all: number[] = vectors.inv_freq;
const first4 = [1, 0.01];

describe("rope", () => {
  for (const [name, options] of [
    ["half_split", { frequencies: all }],
    ["interleaved", { frequencies: all, layout: "interleaved" }],
    ["partial_first_4_half_split", { frequencies: first4 }],
    ["partial_first_4_interleaved", { frequencies: first4, layout: "interleaved" }],
    ["half_split_times_attention_factor_1.25", { frequencies: all, attentionScale: 1.25 }],
  ] as const)
    it(name, async () => {
      const out = rope(x, vectors.positions, { ...options, frequencies: [...options.frequencies] });
      expect(distance(await read(out), Float64Array.from(vectors[name].flat()))).toBeLessThan(3e-7);
    });

  it("turns the last dims through a view", async () => {
    const turned = rope(x.narrow(3, 4, 4), vectors.positions, { frequencies: first4, layout: "interleaved" });
    const name = "partial_last_4_interleaved_(DeepSeek_MLA_pe_part)";
    const expected = (vectors[name] as number[][]).flatMap((row) => row.slice(4));
    expect(distance(await read(turned), Float64Array.from(expected))).toBeLessThan(3e-7);
  });

  it("is undone by negative positions", async () => {
    const there = rope(x, vectors.positions, { frequencies: all });
    const back = rope(
      there,
      (vectors.positions as number[]).map((p) => -p),
      { frequencies: all },
    );
    expect(distance(await read(back), await read(x))).toBeLessThan(5e-7);
  });

  it("is exact at a million tokens", async () => {
    const position = 1_000_003;
    const unit = new Tensor("float32", [1, 0], [1, 1, 1, 2]);
    const [cos, sin] = await read(rope(unit, [position], { frequencies: Float64Array.of(0.7) }));
    expect(cos).toBeCloseTo(Math.cos(position * 0.7), 6);
    expect(sin).toBeCloseTo(Math.sin(position * 0.7), 6);
  });

  it("takes positions as Int32Array, BigInt64Array, numbers and tensors, frequencies as arrays and tensors", async () => {
    const expected = await rope(x, vectors.positions, { frequencies: Float32Array.from(all) }).data();
    const numbers = vectors.positions as number[];
    for (const positions of [
      Int32Array.from(numbers),
      BigInt64Array.from(numbers, BigInt),
      new Tensor("int32", numbers, [5]),
      new Tensor("int64", numbers, [1, 5]),
    ])
      for (const frequencies of [Float32Array.from(all), new Tensor("float32", all, [4])])
        expect(await rope(x, positions, { frequencies }).data()).toEqual(expected);
  });
});
