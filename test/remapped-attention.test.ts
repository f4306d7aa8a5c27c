// Remapped distances against the reference vectors, the papers' definitions, and each other.
import { describe, expect, it } from "vitest";
import { ArgumentError, Pattern, positions, remappedAttention, ShapeError, Tensor } from "../lib/index.js";
import { distanceCases } from "./cases/distances.js";
import { fixture, readJson } from "./models/fixtures.js";
import { distance } from "./support/compare.js";
import { vectorInputs } from "./support/numbers.js";
import { read } from "./support/tensors.js";

interface Vectors {
  n: number;
  d: number;
  inv_freq: number[];
  cases: Record<string, { relative_position_lower_triangle: number[][]; output: number[][] }>;
}
const vectors = readJson<Vectors>(fixture("vectors", "remapped_attention.json"));

const shape = [1, vectors.n, 1, vectors.d];
const [q, k, v] = [21, 22, 23].map((seed) => new Tensor("float32", vectorInputs(seed, vectors.n * vectors.d), shape));

describe.each(distanceCases)("$name", ({ vector, make, distance: defined }) => {
  const rotary = make(vectors.d);
  const { keys, regions } = rotary.distances;

  it("has each pair in one region, at the distance of the paper", () => {
    const n = 120;
    const visible = regions.map(({ pairs }) => new Pattern(pairs));
    const at = ({ place, step = 1, offset = 0 }: (typeof keys)[number], position: number) =>
      place(position) * step + offset;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        const own = regions.filter((_, r) => visible[r]!.visible(i, j, { seqLenQ: n }));
        expect(own.length).toBe(defined(i, j) === undefined ? 0 : 1);
        if (!own[0]) continue;
        expect(own[0].from).toBeLessThanOrEqual(i);
        expect(at(own[0].query, i) - at(keys[own[0].keySet]!, j)).toBeCloseTo(defined(i, j)!, 9);
      }
  });

  it.runIf(vector)("equals the reference vectors", async () => {
    const expected = vectors.cases[vector!]!;
    expected.relative_position_lower_triangle.forEach((row, i) => {
      for (const [j, relative] of row.entries()) expect(defined(i, j)).toBeCloseTo(relative, 9);
    });
    const out = remappedAttention(q!, k!, v!, rotary);
    expect(distance(await read(out), Float64Array.from(expected.output.flat()))).toBeLessThan(1e-6);
  });
});

describe("identities", () => {
  const rotaryDim = vectors.d;
  const plain = async () => Float64Array.from(vectors.cases.rope!.output.flat());
  it.each([
    ["ReRoPE with a window beyond the text", positions.rerope({ rotaryDim, window: 24 })],
    ["Leaky ReRoPE with factor 1", positions.leakyRerope({ rotaryDim, window: 5, scalingFactor: 1 })],
    ["Self-Extend with groups of 1", positions.selfExtend({ rotaryDim, windowSize: 5, groupSize: 1 })],
    ["dual chunks of which one holds the text", positions.dualChunk({ rotaryDim, chunkSize: 30, localSize: 5 })],
    ["LM-Infinite with a window beyond the text", positions.lmInfinite({ rotaryDim, window: 24, sinks: 2 })],
  ])("%s is plain RoPE", async (_, rotary) => {
    expect(distance(await read(remappedAttention(q!, k!, v!, rotary)), await plain())).toBeLessThan(1e-6);
  });
  it("Leaky ReRoPE with a huge factor is ReRoPE", async () => {
    const leaky = positions.leakyRerope({ rotaryDim, window: 6, scalingFactor: 1e12 });
    const out = await read(remappedAttention(q!, k!, v!, leaky));
    expect(distance(out, Float64Array.from(vectors.cases.rerope_w6!.output.flat()))).toBeLessThan(1e-6);
  });
});

describe("errors", () => {
  it("name what is wrong", () => {
    const make = (options: object) => () => positions.rerope({ rotaryDim: 8, ...options } as never);
    expect(make({})).toThrow("positions.rerope: expected a whole number above 0 for window");
    expect(make({ window: 2.5 })).toThrow(ArgumentError);
    expect(make({ window: 2, size: 3 })).toThrow('unknown option "size"');
    const chunk = (options: object) => () => positions.dualChunk({ rotaryDim: 8, chunkSize: 8, ...options });
    expect(chunk({ localSize: 8 })).toThrow("a whole number below chunk_size = 8 for localSize");
    expect(chunk({ variant: "vllm" })).toThrow('one of "code", "paper" for variant');
    expect(() => positions.selfExtend({ rotaryDim: 8, groupSize: 0 })).toThrow("groupSize");
    expect(() => positions.leakyRerope({ rotaryDim: 8, window: 4, scalingFactor: 0 })).toThrow("scalingFactor");
    expect(() => positions.lmInfinite({ rotaryDim: 8, window: -1 })).toThrow("window");
    const rotary = positions.rerope({ rotaryDim: 8, window: 4 });
    expect(() => remappedAttention(q!, k!, v!, positions.plain({ rotaryDim: 8 }) as never)).toThrow(ArgumentError);
    expect(() => remappedAttention(q!.reshape([24, 8]), k!, v!, rotary)).toThrow(ShapeError);
    expect(() => remappedAttention(q!, k!, v!, { ...rotary, causal: true } as never)).toThrow('"causal"');
    expect(() => remappedAttention(q!, k!, v!, positions.rerope({ rotaryDim: 16, window: 4 }))).toThrow(ShapeError);
  });
});
