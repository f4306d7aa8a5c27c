// Factors on logits by position, against vectors.
import { describe, expect, it } from "vitest";
import { flashAttention, positions, Tensor } from "../../lib/index.js";
import { fixture, readJson } from "../models/fixtures.js";

type Named = Record<string, number>;
const vectors = readJson<Record<string, number[] | Named>>(fixture("vectors", "attention_scales.json"));
const places = vectors.positions_0_based as number[];

describe("query scales", () => {
  it.each([
    ["logn_clipped_N512=max(1,ln(p+1)/ln512)", positions.logN({ trainedLength: 512 })],
    ["logn_unclipped_N512", positions.logN({ trainedLength: 512, clipped: false })],
    ["logn_clipped_N4096_(bojone_rerope_patch)", positions.logN({ trainedLength: 4096 })],
    ["qwen1_logn_seq_length_2048", positions.logN({ trainedLength: 2048, clipped: true })],
    [
      "llama4_nope_layers floor_scale 8192 attn_scale 0.1 = 1+0.1*ln(1+floor((p+1)/8192))",
      positions.llama4Temperature(),
    ],
    [
      "ministral3 beta 0.1 orig 16384 = 1+0.1*ln(1+floor(p/16384))",
      positions.ministralTemperature({ originalMaxPositionEmbeddings: 16384 }),
    ],
    [
      "dca_vllm_scale_on_K_and_again_on_softmax L0=262144",
      positions.smoothTemperature({ alpha: 0.1, floor: 262144 }),
      (n: number) => n - 1,
    ],
  ] as [string, (position: number) => number, ((n: number) => number)?][])("%s", (name, scale, placeOf) => {
    const expected = vectors[name]!;
    const pairs: [number, number][] = Array.isArray(expected)
      ? expected.map((x, i) => [places[i]!, x])
      : Object.entries(expected).map(([n, x]) => [placeOf!(Number(n)), x]);
    for (const [place, x] of pairs) expect(Math.abs(scale(place) - x)).toBeLessThan(1e-12);
  });

  it("differ where Llama 4 and Ministral step", () => {
    const llama4 = positions.llama4Temperature({ floorScale: 16 });
    const ministral = positions.ministralTemperature({ originalMaxPositionEmbeddings: 16 });
    expect([14, 15, 16].map(llama4).map((x) => x > 1)).toEqual([false, true, true]);
    expect([14, 15, 16].map(ministral).map((x) => x > 1)).toEqual([false, false, true]);
  });

  it("say what they take", () => {
    expect(() => positions.logN({} as never)).toThrow("for trainedLength");
    expect(() => positions.logN({ trainedLength: 1 })).toThrow("above 1 for trainedLength");
    expect(() => positions.logN({ trainedLength: 8, clippd: true } as never)).toThrow('did you mean "clipped"?');
    expect(() => positions.ministralTemperature({} as never)).toThrow("for originalMaxPositionEmbeddings");
  });
});

describe("constants", () => {
  const entries = (name: string) => Object.entries(vectors[name] as Named).map(([s, x]) => [Number(s), x] as const);
  it("YaRN's, LongRoPE's and DeepSeek's", () => {
    const rope = { rotaryDim: 64, originalMaxPositionEmbeddings: 4096 };
    for (const [factor, x] of entries("yarn_mscale_on_logits=(0.1 ln s+1)^2"))
      expect(positions.yarn({ ...rope, factor }).attentionScale ** 2).toBeCloseTo(x, 12);
    const lists = { shortFactor: Array(32).fill(1), longFactor: Array(32).fill(2) };
    for (const [factor, x] of entries("longrope_su_sqrt(1+ln s/ln L0) L0=4096"))
      expect(positions.longrope({ ...rope, ...lists, factor }).attentionScale).toBeCloseTo(x, 12);
    const deepseek = vectors["deepseek_softmax_scale_multiplier (0.1*mscale_all_dim*ln f+1)^2"] as Named;
    for (const [name, x] of Object.entries(deepseek)) {
      const [mscaleAllDim, factor] = name
        .match(/[\d.]+/g)!
        .slice(1)
        .map(Number) as [number, number];
      expect(positions.deepseekScale({ factor, mscaleAllDim })).toBeCloseTo(x, 12);
    }
    expect(positions.deepseekScale({ factor: 40, mscaleAllDim: 0 })).toBe(1);
    expect(positions.logTotal({ trainedLength: 512, seqLen: 512 ** 2 })).toBeCloseTo(2, 12);
  });
});

describe("key norm", () => {
  const [length, headDim] = [6, 8];
  const values = (seed: number) =>
    Float32Array.from({ length: length * headDim }, (_, i) => Math.sin(seed + i * 1.7) * (1 + (i % 5)));
  const tensor = (data: Float32Array) => new Tensor("float32", data, [1, length, 1, headDim]);
  const [q, k, v] = [values(1), values(2), values(3)];
  const row = (data: Float32Array, i: number) => Array.from(data.subarray(i * headDim, (i + 1) * headDim));
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const norm = (a: number[]) => Math.sqrt(dot(a, a));

  function attended(logit: (i: number, j: number) => number): number[] {
    return Array.from({ length }, (_, i) => {
      const weights = Array.from({ length: i + 1 }, (_, j) => Math.exp(logit(i, j)));
      const total = weights.reduce((a, b) => a + b);
      return Array.from({ length: headDim }, (_, c) =>
        weights.reduce((sum, weight, j) => sum + (weight / total) * v[j * headDim + c]!, 0),
      );
    }).flat();
  }

  it("gives q · k / ‖k‖ with the usual scale", async () => {
    const out = await flashAttention(tensor(q), positions.keyNorm(tensor(k)), tensor(v), { causal: true }).data();
    const expected = attended((i, j) => dot(row(q, i), row(k, j)) / norm(row(k, j)));
    for (const [i, x] of expected.entries()) expect(out[i]).toBeCloseTo(x, 5);
  });

  it("of both, with a cosine scale, gives λ cos(q, k)", async () => {
    const scale = positions.cosineScale({ headDim, seqLen: 32 })(0);
    const [unitQ, unitK] = [positions.keyNorm(tensor(q)), positions.keyNorm(tensor(k))];
    const options = { causal: true, scale: scale / Math.sqrt(headDim) };
    const out = await flashAttention(unitQ, unitK, tensor(v), options).data();
    const expected = attended(
      (i, j) => (4 * Math.log(32) * dot(row(q, i), row(k, j))) / norm(row(q, i)) / norm(row(k, j)),
    );
    for (const [i, x] of expected.entries()) expect(out[i]).toBeCloseTo(x, 5);
    expect(positions.cosineScale({ headDim })(31)).toBe(scale);
  });
});
