// Biases by distance, against vectors and, through flashAttention, against the formula.
import { describe, expect, it } from "vitest";
import { flashAttention, positions, Tensor } from "../../lib/index.js";
import { fixture, readJson } from "../models/fixtures.js";

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  return Math.max(...Array.from(expected, (x, i) => Math.abs(actual[i]! - x)));
}

describe("ALiBi", () => {
  interface Vectors {
    slopes: Record<string, number[]>;
    slopes_max_bias_16_n12: { ggml: number[]; mpt: number[] };
  }
  const vectors = readJson<Vectors>(fixture("vectors", "alibi.json"));
  it.each(Object.entries(vectors.slopes))("slopes of %s heads", (numHeads, expected) => {
    expect(largestDifference(positions.alibiSlopes(Number(numHeads)), expected)).toBeLessThan(1e-15);
  });
  it("slopes with another bias, as ggml and MPT", () => {
    const slopes = positions.alibiSlopes(12, { maxBias: 16 });
    expect(largestDifference(slopes, vectors.slopes_max_bias_16_n12.ggml)).toBeLessThan(1e-15);
    expect(largestDifference(slopes, vectors.slopes_max_bias_16_n12.mpt)).toBeLessThan(1e-15);
  });
  it("Falcon's order: slopes in bfloat16, scaled with the logits", () => {
    const slopes = positions.alibiSlopes(16, { order: "falcon", headDim: 64 });
    expect(slopes[0]).toBe(0.70703125 / 8); // 2^−½ in bfloat16
    expect(slopes[1]).toBe(0.5 / 8);
    expect(() => positions.alibiSlopes(4, { order: "falcon" })).toThrow("for headDim");
    expect(() => positions.alibiSlopes(4, { order: "bloom" as never })).toThrow('"paper" or "falcon"');
    expect(() => positions.alibiSlopes(0)).toThrow("at least 1 for numHeads");
  });
});

describe("T5", () => {
  interface Case {
    bidirectional: boolean;
    num_buckets: number;
    max_distance: number;
    rel_from: number;
    bucket_exact: number[];
  }
  const { cases } = readJson<{ cases: Case[] }>(fixture("vectors", "t5_buckets.json"));
  it.each(cases)("buckets: bidirectional $bidirectional, $num_buckets to $max_distance", (expected) => {
    const { bidirectional, num_buckets: numBuckets, max_distance: maxDistance, rel_from, bucket_exact } = expected;
    const buckets = bucket_exact.map((_, i) =>
      positions.t5Bucket(-(rel_from + i), { bidirectional, numBuckets, maxDistance }),
    );
    expect(buckets).toEqual(bucket_exact);
  });
  it("biases by distance come from the buckets", () => {
    const weight = Array.from({ length: 32 * 3 }, (_, i) => i / 7);
    const table = positions.t5Bias({ numHeads: 3, length: 200, bidirectional: true, weight });
    expect([table.firstDistance, table.numDistances]).toEqual([-199, 399]);
    for (const distance of [-199, -128, -9, -1, 0, 1, 50, 199])
      expect(table.values[2 * 399 + distance + 199]).toBe(
        weight[positions.t5Bucket(distance, { bidirectional: true }) * 3 + 2],
      );
    expect(() => positions.t5Bias({ numHeads: 2, length: 4, weight: [1] })).toThrow("64 numbers for weight");
  });
});

describe("tables by distance", () => {
  const vectors = readJson<Record<string, number[][] | number[][][]>>(fixture("vectors", "bias_kernels.json"));
  const length = 10;
  const square = (values: ArrayLike<number>) =>
    Array.from({ length }, (_, i) => Array.from({ length }, (_, j) => values[Math.max(0, i - j)]!)).flat();

  it("KERPLE", () => {
    const of = (kernel: "log" | "power", r1: number, r2: number) =>
      square(positions.kerple({ numHeads: 1, length, kernel, r1: [r1], r2: [r2] }).values);
    expect(
      largestDifference(of("log", 1.3, 0.7), vectors["kerple_log_r1_1.3_r2_0.7"]!.flat() as number[]),
    ).toBeLessThan(1e-12);
    expect(
      largestDifference(of("power", 0.5, 1.5), vectors["kerple_power_a_0.5_p_1.5"]!.flat() as number[]),
    ).toBeLessThan(1e-12);
    const slopes = positions.alibiSlopes(4);
    const power = positions.kerple({ numHeads: 4, length, kernel: "power", r1: slopes, r2: [1, 1, 1, 1] });
    expect(power.values.every((x, at) => Math.abs(x + slopes[Math.floor(at / length)]! * (at % length)) < 1e-15)).toBe(
      true,
    );
    const bad = (options: object) => () => positions.kerple({ numHeads: 1, length, r1: [1], r2: [1], ...options });
    expect(bad({ r1: [0] })).toThrow("1 numbers above 0 for r1");
    expect(bad({ kernel: "power", r2: [3] })).toThrow("at most 2 for r2");
  });

  it("Sandwich", () => {
    const { values } = positions.sandwich({ numHeads: 4, length });
    const heads = [0, 1, 2, 3].flatMap((head) => square(values.subarray(head * length, (head + 1) * length)));
    expect(largestDifference(heads, vectors["sandwich_H4_dbar128_i1_centered_(NeMo)"]!.flat(2))).toBeLessThan(1e-11);
    const variant = positions.sandwich({ numHeads: 4, length, first: 0, centered: false }).values;
    const variants = [0, 1, 2, 3].flatMap((head) => square(variant.subarray(head * length, (head + 1) * length)));
    expect(largestDifference(variants, vectors["sandwich_H4_dbar128_i0_uncentered_(variant)"]!.flat(2))).toBeLessThan(
      1e-11,
    );
    const long = positions.sandwich({ numHeads: 4, length: 513, bidirectional: true });
    const far = vectors.sandwich_H4_dbar128_i1_centered_distances_0_512_step64 as number[][];
    far.forEach((row, head) => {
      row.forEach((x, step) => {
        const at = head * long.numDistances - long.firstDistance;
        expect(Math.abs(long.values[at + 64 * step]! - x)).toBeLessThan(1e-11);
        expect(long.values[at - 64 * step]).toBe(long.values[at + 64 * step]);
      });
    });
  });

  it("ALiBi as a bias of flashAttention equals its slopes", async () => {
    const [numHeads, headDim] = [3, 4];
    const slopes = positions.alibiSlopes(numHeads);
    const tensor = (seed: number) => {
      const data = Float32Array.from({ length: length * numHeads * headDim }, (_, i) => Math.sin(seed + 3 * i));
      return new Tensor("float32", data, [1, length, numHeads, headDim]);
    };
    const [q, k, v] = [tensor(1), tensor(2), tensor(3)] as const;
    const options = { numHeads, length, kernel: "power" as const, r1: slopes, r2: [1, 1, 1] };
    const { values } = positions.kerple(options);
    const bias = [0, 1, 2].flatMap((head) => square(values.subarray(head * length, (head + 1) * length)));
    const biased = flashAttention(q, k, v, { causal: true, bias: new Tensor("float32", bias, [1, 3, length, length]) });
    const sloped = flashAttention(q, k, v, { causal: true, alibiSlopes: new Tensor("float32", [...slopes], [3]) });
    expect(
      largestDifference((await biased.data()) as Float32Array, (await sloped.data()) as Float32Array),
    ).toBeLessThan(1e-6);
  });
});

describe("FIRE", () => {
  interface Vector {
    L: number;
    c: number;
    L_threshold: number;
    mlp_hidden: number;
    W1_seed: number;
    b1_seed: number;
    W2_seed: number;
    b2: number;
    bias: number[][];
  }
  const vector = readJson<{ fire_one_head: Vector }>(fixture("vectors", "bias_kernels.json")).fire_one_head;
  const drawn = (seed: number, length: number) => {
    let x = seed;
    return Float64Array.from({ length }, () => {
      x = (Math.imul(1664525, x) + 1013904223) >>> 0;
      return -1 + (2 * x) / 2 ** 32;
    });
  };
  const mlp = {
    weight1: drawn(vector.W1_seed, 32),
    bias1: drawn(vector.b1_seed, 32),
    weight2: drawn(vector.W2_seed, 32),
    bias2: [vector.b2],
  };
  const options = { ...mlp, c: vector.c, threshold: vector.L_threshold };

  it("is its vector, from the table of kinks", () => {
    const { L } = vector;
    expect(largestDifference(positions.fire(options).biases(L, L), vector.bias.flat())).toBeLessThan(1e-12);
    expect(largestDifference(positions.fire(options).biases(2, L), vector.bias.slice(-2).flat())).toBeLessThan(1e-12);
  });
  it("bends only where a hidden unit does, and is exact between", () => {
    const two = { ...options, weight2: [...mlp.weight2, ...mlp.weight2.map((x) => -2 * x)], bias2: [0.25, 1] };
    const { knots, values, bias, relative } = positions.fire(two);
    expect(knots.length).toBeLessThanOrEqual(34);
    expect(values).toHaveLength(2 * knots.length);
    for (const [query, key] of [
      [0, 0],
      [3, 0],
      [500, 17],
      [100_000, 99_999],
    ] as const) {
      const x = relative(query, key);
      const sum = mlp.weight1.reduce((total, w, i) => total + Math.max(0, w * x + mlp.bias1[i]!) * mlp.weight2[i]!, 0);
      expect(bias(0, query, key)).toBeCloseTo(0.25 + sum, 12);
      expect(bias(1, query, key)).toBeCloseTo(1 - 2 * sum, 12);
    }
    expect(positions.fire({ ...options, threshold: 0 }).relative(0, 0)).toBe(0);
    expect(() => positions.fire({ ...options, bias1: [1] })).toThrow("32 numbers for bias1");
  });
});
