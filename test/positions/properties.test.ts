// What the schemes promise of rotated dot products, in float64, and through the kernel: norms stay, only the distance
// counts, layouts agree, and what was turned can be turned back.
import { describe, expect, it } from "vitest";
import { positions, rope, Tensor } from "../../lib/index.js";
import { randomNumbers } from "../../lib/random.js";
import { fixture, readJson } from "../models/fixtures.js";

const width = 16;
const random = randomNumbers(5);
const vector = () => Float64Array.from({ length: width }, () => 2 * random() - 1);
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a, (x, i) => x * b[i]!).reduce((s, x) => s + x);

/** Interleaved pairs in float64; `magnitudes` scales each pair. */
function turned(x: ArrayLike<number>, position: number, frequencies: Float64Array, magnitudes?: Float64Array) {
  const out = Float64Array.from(x);
  frequencies.forEach((frequency, k) => {
    const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
    const m = magnitudes?.[k] ?? 1;
    out[2 * k] = (x[2 * k]! * cos - x[2 * k + 1]! * sin) * m;
    out[2 * k + 1] = (x[2 * k + 1]! * cos + x[2 * k]! * sin) * m;
  });
  return out;
}
const reordered = (x: ArrayLike<number>, order: Int32Array) => Float64Array.from(order, (from) => x[from]!);
const tensorOf = (x: ArrayLike<number>) => new Tensor("float32", Float32Array.from(x), [1, 1, 1, x.length]);
const read = async (tensor: Tensor) => Array.from((await tensor.data()) as Float32Array);

const schemes = {
  plain: positions.plain({ rotaryDim: width }),
  linear: positions.linear({ rotaryDim: width, factor: 4 }),
  ntk: positions.ntk({ rotaryDim: width, factor: 4 }),
  dynamic: positions.dynamic({ rotaryDim: width, factor: 2, maxPositionEmbeddings: 64, seqLen: 900 }),
  yarn: positions.yarn({ rotaryDim: width, factor: 8, originalMaxPositionEmbeddings: 64 }),
  llama3: positions.llama3({
    rotaryDim: width,
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 64,
  }),
  proportional: positions.proportional({ headDim: width, partialRotaryFactor: 0.5 }),
  giraffe: positions.giraffe({ rotaryDim: width, power: 0.3, truncate: 64 }),
};

describe.each(Object.entries(schemes))("%s", (_, { frequencies, attentionScale }) => {
  it("keeps norms and depends on the distance only", () => {
    for (const [i, j, shift] of [
      [5, 2, 100],
      [70, 0, 4096],
      [9, 9, 1_000_000],
    ] as const) {
      const [q, k] = [vector(), vector()];
      expect(dot(turned(q, i, frequencies), turned(q, i, frequencies))).toBeCloseTo(dot(q, q), 12);
      const here = dot(turned(q, i, frequencies), turned(k, j, frequencies));
      expect(dot(turned(q, i + shift, frequencies), turned(k, j + shift, frequencies))).toBeCloseTo(here, 8);
      expect(dot(turned(q, i - j, frequencies), k)).toBeCloseTo(here, 12);
    }
  });

  it("goes through the kernel in both layouts, and back", async () => {
    const x = vector();
    const half = reordered(x, positions.interleavedToHalf(width));
    const expected = turned(x, 1000, frequencies).map((value) => value * attentionScale);
    const options = { frequencies, attentionScale };
    const inter = await read(rope(tensorOf(x), [1000], { ...options, layout: "interleaved" }));
    const halves = await read(rope(tensorOf(half), [1000], { ...options, layout: "half" }));
    const back = reordered(halves, positions.halfToInterleaved(width));
    for (let i = 0; i < width; i++) {
      expect(inter[i]).toBeCloseTo(expected[i]!, 5);
      expect(back[i]).toBeCloseTo(expected[i]!, 5);
    }
    const there = rope(tensorOf(x), [77], { frequencies });
    const again = await read(rope(there, [-77], { frequencies }));
    for (let i = 0; i < width; i++) expect(again[i]).toBeCloseTo(x[i]!, 5);
  });
});

describe("layouts", () => {
  it("orders are inverse to each other and those of the vectors", () => {
    const { permutation_interleaved_to_half: order } = readJson<{ permutation_interleaved_to_half: number[] }>(
      fixture("rope_apply.json"),
    );
    expect([...positions.interleavedToHalf(8)]).toEqual(order);
    const x = Array.from({ length: 10 }, (_, i) => i);
    const there = reordered(x, positions.interleavedToHalf(10));
    expect([...reordered(there, positions.halfToInterleaved(10))]).toEqual(x);
  });
});

describe("xPos", () => {
  interface Vector {
    head_dim: number;
    n: number;
    center: number;
    q_seed: number;
    k_seed: number;
    zeta: number[];
    q_rotated_upscaled: number[][];
    k_rotated_downscaled: number[][];
    logits_unscaled: number[][];
  }
  const expected = readJson<Vector>(fixture("vectors", "xpos.json"));
  const { head_dim: d, n, center } = expected;
  const drawn = (seed: number) => {
    let x = seed;
    const next = () => {
      x = (Math.imul(1664525, x) + 1013904223) >>> 0;
      return -1 + (2 * x) / 2 ** 32;
    };
    return Array.from({ length: n }, () => Array.from({ length: d }, next));
  };
  const [q, k] = [drawn(expected.q_seed), drawn(expected.k_seed)];
  const rotated = (origin: number) => {
    const { frequencies, queryMagnitudes, keyMagnitudes } = positions.xpos({ rotaryDim: d, center: origin });
    return [
      q.map((x, i) => turned(x, i, frequencies, queryMagnitudes(i))),
      k.map((x, j) => turned(x, j, frequencies, keyMagnitudes(j))),
    ] as const;
  };

  it("is its vectors, whatever the center", () => {
    positions.xpos({ rotaryDim: d }).decays.forEach((x, i) => {
      expect(x).toBeCloseTo(expected.zeta[i]!, 14);
    });
    const [queries, keys] = rotated(center);
    const worst = (a: Float64Array[], b: number[][]) =>
      Math.max(...b.flatMap((row, i) => row.map((x, c) => Math.abs(a[i]![c]! - x))));
    expect(worst([...queries], expected.q_rotated_upscaled)).toBeLessThan(1e-12);
    expect(worst([...keys], expected.k_rotated_downscaled)).toBeLessThan(1e-12);
    for (const origin of [0, center, 5000]) {
      const [a, b] = rotated(origin);
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) expect(dot(a[i]!, b[j]!)).toBeCloseTo(expected.logits_unscaled[i]![j]!, 10);
    }
  });
  it("becomes RoPE as scaleBase grows", () => {
    const { queryMagnitudes, keyMagnitudes } = positions.xpos({ rotaryDim: d, scaleBase: 1e15 });
    for (const magnitudes of [queryMagnitudes(4000), keyMagnitudes(4000)])
      for (const x of magnitudes) expect(x).toBeCloseTo(1, 10);
    expect(() => positions.xpos({ rotaryDim: 8, scaleBase: 0 })).toThrow("above 0 for scaleBase");
  });
});

describe("MRoPE", () => {
  const vectors = readJson<Record<string, number[]>>(fixture("vectors", "mrope.json"));
  it.each([
    ["qwen2_vl_section_16_24_24", { sections: [16, 24, 24] }],
    ["qwen3_vl_interleaved_24_20_20_transformers", { sections: [24, 20, 20], interleaved: true }],
    ["qwen3_vl_interleaved_24_20_20_ggml", { sections: [24, 20, 20], interleaved: true, convention: "ggml" }],
    ["interleaved_11_11_10_transformers", { sections: [11, 11, 10], interleaved: true }],
    ["interleaved_11_11_10_ggml", { sections: [11, 11, 10], interleaved: true, convention: "ggml" }],
  ] as const)("axes of %s", (name, options) => {
    const expected = vectors[name]!;
    expect([...positions.mrope({ rotaryDim: 2 * expected.length, ...options }).axes]).toEqual(expected);
  });

  it("turned by three axes in turn is RoPE for text, and each pair by its own axis otherwise", async () => {
    const { axes, frequencies, frequenciesOfAxes } = positions.mrope({ rotaryDim: width, sections: [3, 3, 2] });
    const x = Float64Array.from(vector());
    const turn = async (places: number[]) => {
      let out = tensorOf(x);
      frequenciesOfAxes.forEach((own, axis) => {
        out = rope(out, [places[axis]!], { frequencies: own });
      });
      return read(out);
    };
    const text = await turn([9, 9, 9]);
    const plain = await read(rope(tensorOf(x), [9], { frequencies }));
    text.forEach((value, i) => {
      expect(value).toBeCloseTo(plain[i]!, 6);
    });
    const image = await turn([4, 7, 1]);
    axes.forEach((axis, pair) => {
      const angle = [4, 7, 1][axis]! * frequencies[pair]!;
      const [a, b] = [x[pair]!, x[pair + width / 2]!];
      expect(image[pair]).toBeCloseTo(a * Math.cos(angle) - b * Math.sin(angle), 6);
    });
  });

  it("positions count on behind a grid by its longest side", () => {
    const { positions: axes, next, delta } = positions.mropePositions([{ text: 2 }, { grid: [1, 2, 3] }, { text: 2 }]);
    expect(axes.map((axis) => [...axis])).toEqual([
      [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
      [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
      [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]);
    expect([next, delta]).toEqual([7, -3]);
  });
  it("says what its sections must be", () => {
    expect(() => positions.mrope({ rotaryDim: 16, sections: [3, 3, 3] })).toThrow(
      "a sum of 8 pairs for sections, got 9",
    );
    expect(() => positions.mrope({ rotaryDim: 16, sections: [8] })).toThrow("numbers of pairs for time");
  });
});

describe("position ids for training", () => {
  const seeds = Array.from({ length: 200 }, (_, seed) => seed);
  it("PoSE: two parts, the second shifted, all shifts and cuts met, the same for a seed", () => {
    const [length, targetLength] = [8, 14];
    const met = { shift: new Set<number>(), firstPart: new Set<number>() };
    for (const seed of seeds) {
      const { positions: ids, firstPart, shift } = positions.pose({ length, targetLength, seed });
      expect([...ids]).toEqual(Array.from({ length }, (_, i) => (i < firstPart ? i : i + shift)));
      met.shift.add(shift);
      met.firstPart.add(firstPart);
    }
    expect([...met.shift].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect([...met.firstPart].sort()).toEqual([1, 2, 3, 4]);
    expect(positions.pose({ length, targetLength, seed: 3 })).toEqual(
      positions.pose({ length, targetLength, seed: 3 }),
    );
    expect(positions.pose({ length: 1, targetLength: 1, seed: 0 }).shift).toBe(0);
    expect(() => positions.pose({ length: 9, targetLength: 8, seed: 1 })).toThrow("at least 9 for targetLength");
    expect(() => positions.pose({ length: 9, targetLength: 10 } as never)).toThrow("for seed");
  });
  it("SHAPE: one shift for all", () => {
    const shifts = seeds.map((seed) => {
      const ids = positions.shape({ length: 5, maxShift: 3, seed });
      expect([...ids]).toEqual([0, 1, 2, 3, 4].map((i) => i + ids[0]!));
      return ids[0]!;
    });
    expect([...new Set(shifts)].sort()).toEqual([0, 1, 2, 3]);
  });
  it("random positions: distinct, in order, each as likely", () => {
    const counts = new Uint32Array(10);
    for (let seed = 0; seed < 3000; seed++) {
      const ids = positions.randomPositions({ length: 4, numPositions: 10, seed });
      expect(ids).toHaveLength(4);
      ids.forEach((id, i) => {
        if (i > 0) expect(id).toBeGreaterThan(ids[i - 1]!);
        counts[id]!++;
      });
    }
    for (const count of counts) expect(Math.abs(count - 1200)).toBeLessThan(150); // 5.6 standard deviations
    expect([...positions.randomPositions({ length: 4, numPositions: 4, seed: 1 })]).toEqual([0, 1, 2, 3]);
  });
  it("random padding: some of it in front", () => {
    const befores = seeds.map((seed) => {
      const { before, positions: ids, mask } = positions.randomPadding({ length: 3, paddedLength: 6, seed });
      expect([...ids]).toEqual([before, before + 1, before + 2]);
      expect([...mask]).toEqual(Array.from({ length: 6 }, (_, i) => Number(i >= before && i < before + 3)));
      return before;
    });
    expect([...new Set(befores)].sort()).toEqual([0, 1, 2, 3]);
  });
});
