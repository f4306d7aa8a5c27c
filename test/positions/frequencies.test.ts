// Frequencies of each scheme: against transformers' own (float32, and its formulas in float64), against the papers'.
import { describe, expect, it } from "vitest";
import { ArgumentError, positions, UnsupportedError } from "../../lib/index.js";
import { camelCase } from "../../lib/positions/scheme.js";
import { positionScheme, ropeTypes } from "../../lib/positions/index.js";
import { fixture, readJson } from "../models/fixtures.js";

interface Case {
  name: string;
  config: {
    hidden_size: number;
    num_attention_heads: number;
    head_dim: number | null;
    max_position_embeddings: number;
    rope_parameters: Record<string, unknown> & { rope_type: string; rope_theta: number };
  };
  seq_len: number | null;
  attention_factor_f64: number;
  attention_factor_hf: number;
  inv_freq_f64: number[];
  inv_freq_hf_f32: number[];
}
type Made = { frequencies: Float64Array; attentionScale: number };

function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  return Math.max(...Array.from(expected, (x, i) => (x === 0 ? Math.abs(actual[i]!) : Math.abs(actual[i]! / x - 1))));
}
function expectEqual(made: Made, expected: Case) {
  expect(worst(made.frequencies, expected.inv_freq_f64)).toBeLessThan(1e-12);
  expect(worst(made.frequencies, expected.inv_freq_hf_f32)).toBeLessThan(5e-7);
  expect(Math.abs(made.attentionScale / expected.attention_factor_f64 - 1)).toBeLessThan(1e-12);
  expect(Math.abs(made.attentionScale / expected.attention_factor_hf - 1)).toBeLessThan(5e-7);
}

describe("transformers", () => {
  const { cases } = readJson<{ cases: Case[] }>(fixture("vectors", "hf_rope.json"));
  it.each(cases)("$name at $seq_len from its config.json", (expected) => {
    const { config, seq_len } = expected;
    expectEqual(positions.fromConfig(config, { seqLen: seq_len ?? undefined }), expected);
    const { rope_theta, partial_rotary_factor, ...scaling } = config.rope_parameters;
    const older = { ...config, rope_parameters: null, rope_theta, rope_scaling: scaling };
    const partial = partial_rotary_factor === undefined ? {} : { partial_rotary_factor };
    expectEqual(positions.fromConfig({ ...older, ...partial }, { seqLen: seq_len ?? undefined }), expected);
  });

  it.each(cases)("$name at $seq_len from the scheme's function", (expected) => {
    const { config, seq_len } = expected;
    const { rope_type, rope_theta, partial_rotary_factor = 1, ...parameters } = config.rope_parameters;
    const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
    const inputs: readonly string[] = positionScheme(rope_type).inputs ?? [];
    const options = {
      theta: rope_theta,
      ...(rope_type === "proportional"
        ? { headDim, partialRotaryFactor: partial_rotary_factor }
        : { rotaryDim: Math.trunc(headDim * Number(partial_rotary_factor)) }),
      ...Object.fromEntries(Object.entries(parameters).map(([name, value]) => [camelCase(name), value])),
      ...(inputs.includes("max_position_embeddings") && { maxPositionEmbeddings: config.max_position_embeddings }),
      ...(inputs.includes("seq_len") && rope_type !== "linear" && seq_len !== null && { seqLen: seq_len }),
    };
    const make = positions[rope_type === "default" ? "plain" : (rope_type as "yarn")] as unknown as (o: object) => Made;
    expectEqual(make(options), expected);
  });

  it("reads a yarn whose factor is null from the two lengths", () => {
    const { config } = cases.find(({ name }) => name === "yarn_qwen2.5_7b_x4")!;
    const rope_parameters = { ...config.rope_parameters, factor: null, beta_fast: null, beta_slow: 0, mscale: 0 };
    expect(positions.fromConfig({ ...config, rope_parameters })).toEqual(positions.fromConfig(config));
  });
});

describe("papers", () => {
  const vectors = readJson<Record<string, number[]> & { ntk_aware_effective_base_alpha8: number }>(
    fixture("vectors", "other_freqs.json"),
  );
  const rope = { rotaryDim: 128, theta: 10000 };
  const parts = { ...rope, factor: 16, originalMaxPositionEmbeddings: 4096 };
  const made: Record<string, Made> = {
    ntk_aware_static_alpha8: positions.ntk({ ...rope, factor: 8 }),
    "ntk_by_parts_paper_(linear_in_rotations)_s16_L0_4096": positions.byParts(parts),
    "ntk_by_parts_yarn_repo_first_version_(beta 1.25/0.75 gamma 16/2)_s16_L0_4096": positions.byParts({
      ...parts,
      ramp: "firstRelease",
    }),
    "bojone_ntk_mixed_k12_b0.75": positions.ntkMixed({ ...rope, factor: 12, exponent: 0.75 }),
    "giraffe_power_0.5": positions.giraffe({ ...rope, power: 0.5 }),
    giraffe_linear16: positions.giraffe({ ...rope, factor: 16 }),
    giraffe_truncate_2048: positions.giraffe({ ...rope, truncate: 2048 }),
  };
  it.each(Object.keys(made))("%s", (name) => {
    expect(worst(made[name]!.frequencies, vectors[name]!)).toBeLessThan(1e-12);
  });

  it("NTK-aware is a larger base; Hunyuan's alpha is its factor", () => {
    const theta = vectors.ntk_aware_effective_base_alpha8;
    expect(
      worst(positions.ntk({ ...rope, factor: 8 }).frequencies, positions.abf({ ...rope, theta }).frequencies),
    ).toBeLessThan(1e-12);
    const hunyuan = Number(vectors["hunyuan_alpha_base b*alpha^(d/(d-2)) alpha=1000 b=1e4 d=128"]);
    const config = { head_dim: 128, rope_scaling: { type: "dynamic", alpha: 1000, factor: 1 } };
    const { ropeType, frequencies } = positions.fromConfig(config);
    expect(ropeType).toBe("ntk");
    expect(worst(frequencies, positions.abf({ ...rope, theta: hunyuan }).frequencies)).toBeLessThan(1e-12);
  });

  it("Qwen-1's dynamic NTK goes in powers of two", () => {
    const alphas = vectors["qwen1_dynamic_ntk_alpha=2^ceil(log2(n/N)+1)-1"] as unknown as Record<string, number>;
    for (const [length, alpha] of Object.entries(alphas)) {
      const config = { head_dim: 128, seq_length: 2048, use_dynamic_ntk: true };
      const { frequencies } = positions.fromConfig(config, { seqLen: Number(length) });
      expect(worst(frequencies, positions.ntk({ ...rope, factor: alpha }).frequencies)).toBeLessThan(1e-12);
    }
  });

  it("NTK-fixed divides the first pair by factor^(2/d) and the last by factor", () => {
    const ratio = positions.ntkFixed({ ...rope, factor: 8 }).frequencies.map((x, k) => x * 10000 ** ((2 * k) / 128));
    expect(ratio[0]).toBeCloseTo(8 ** (-2 / 128), 12);
    expect(ratio[63]).toBeCloseTo(1 / 8, 12);
  });

  it("CLEX takes the list of ⌈n / L⌉, plain RoPE up to L, and no more than it has", () => {
    const lists = [2, 3, 4].map((ratio) => Array.from({ length: 4 }, (_, k) => (k + 1) / ratio));
    const at = (seqLen?: number) =>
      positions.clex({ rotaryDim: 8, frequencies: lists, originalMaxPositionEmbeddings: 100, seqLen, logScale: true });
    const plain = positions.plain({ rotaryDim: 8 }).frequencies;
    expect(at().frequencies).toEqual(plain);
    expect(at(100)).toEqual({ frequencies: plain, attentionScale: 1 });
    expect([...at(101).frequencies]).toEqual(lists[0]);
    expect([...at(300).frequencies]).toEqual(lists[1]);
    expect([...at(10_000).frequencies]).toEqual(lists[2]);
    expect(at(10_000).attentionScale ** 2).toBeCloseTo(2, 12);
  });
});

describe("where implementations disagree", () => {
  const gptOss = { rotaryDim: 64, theta: 150000, factor: 32, originalMaxPositionEmbeddings: 4096 };
  it("truncate moves nine of gpt-oss's pairs, by up to 76 %", () => {
    const [exact, rounded] = [false, true].map((truncate) => positions.yarn({ ...gptOss, truncate }).frequencies);
    const off = exact!.map((x, k) => Math.abs(rounded![k]! / x - 1));
    expect(off.filter((x) => x > 1e-9)).toHaveLength(9);
    expect(Math.max(...off)).toBeCloseTo(0.76, 2);
    expect(off.indexOf(Math.max(...off))).toBe(17);
  });

  it("the paper's ramp moves 25 of Llama-2's pairs", () => {
    const llama2 = { rotaryDim: 128, factor: 16, originalMaxPositionEmbeddings: 4096 };
    const paper = positions.yarn({ ...llama2, ramp: "rotations" }).frequencies;
    const code = positions.yarn(llama2).frequencies;
    expect(paper.filter((x, k) => Math.abs(code[k]! / x - 1) > 1e-9)).toHaveLength(25);
    expect([...paper]).toEqual([...positions.byParts(llama2).frequencies]);
    expect([...code]).toEqual([...positions.byParts({ ...llama2, ramp: "pairs" }).frequencies]);
  });

  it("longrope switches above the trained length, not at it; mscale may differ by list", () => {
    const lists = { shortFactor: [1, 1], longFactor: Float32Array.of(2, 4), originalMaxPositionEmbeddings: 64 };
    const at = (seqLen: number, more = {}) =>
      positions.longrope({ rotaryDim: 4, maxPositionEmbeddings: 256, ...lists, seqLen, ...more });
    expect(at(64).frequencies).toEqual(positions.plain({ rotaryDim: 4 }).frequencies);
    expect([...at(65).frequencies]).toEqual([0.5, 0.0025]);
    expect(at(64).attentionScale).toBeCloseTo(Math.sqrt(1 + Math.log(4) / Math.log(64)), 12);
    expect(at(64, { shortMscale: 1.1, longMscale: 1.2 }).attentionScale).toBe(1.1);
    expect(at(65, { shortMscale: 1.1, longMscale: 1.2 }).attentionScale).toBe(1.2);
    expect(at(65, { attentionFactor: 1.5 }).attentionScale).toBe(1.5);
  });
});

describe("identities", () => {
  const rope = { rotaryDim: 64, theta: 10000 };
  const lengths = { originalMaxPositionEmbeddings: 2048 };
  const plain = positions.plain(rope).frequencies;
  const same: Record<string, Made> = {
    "linear × 1": positions.linear({ ...rope, factor: 1 }),
    "ntk × 1": positions.ntk({ ...rope, factor: 1 }),
    "ntkFixed × 1": positions.ntkFixed({ ...rope, factor: 1 }),
    "ntkMixed × 1": positions.ntkMixed({ ...rope, factor: 1 }),
    "yarn × 1": positions.yarn({ ...rope, ...lengths, factor: 1 }),
    "yarn, dynamic, up to the trained length": positions.yarn({ ...rope, ...lengths, dynamic: true, seqLen: 2048 }),
    "by parts × 1": positions.byParts({ ...rope, ...lengths, factor: 1 }),
    "llama3 × 1": positions.llama3({ ...rope, ...lengths, factor: 1, lowFreqFactor: 1, highFreqFactor: 4 }),
    "dynamic at the trained length": positions.dynamic({
      ...rope,
      maxPositionEmbeddings: 2048,
      factor: 8,
      seqLen: 2048,
    }),
    "proportional with all": positions.proportional({ headDim: 64, theta: 10000 }),
    "giraffe with nothing": positions.giraffe(rope),
    "divisors of 1": positions.divisors({ ...rope, divisors: Array(32).fill(1) }),
    "linear, dynamic, up to the trained length": positions.linear({ ...rope, ...lengths, dynamic: true, seqLen: 9 }),
  };
  it.each(Object.keys(same))("%s is plain RoPE", (name) => {
    expect(worst(same[name]!.frequencies, plain)).toBeLessThan(1e-12);
    expect(same[name]!.attentionScale).toBe(1);
  });

  it("the dynamic ones equal the static ones of the same factor", () => {
    const yarn = positions.yarn({ ...rope, ...lengths, dynamic: true, seqLen: 8192 });
    expect(yarn).toEqual(positions.yarn({ ...rope, ...lengths, factor: 4 }));
    const linear = positions.linear({ ...rope, ...lengths, dynamic: true, seqLen: 8192 });
    expect(linear).toEqual(positions.linear({ ...rope, factor: 4 }));
  });

  it("llama3 is NTK-by-parts with the paper's ramp", () => {
    const options = { ...rope, ...lengths, factor: 8 };
    const llama3 = positions.llama3({ ...options, lowFreqFactor: 1, highFreqFactor: 4 });
    expect(
      worst(llama3.frequencies, positions.byParts({ ...options, betaSlow: 1, betaFast: 4 }).frequencies),
    ).toBeLessThan(1e-12);
  });

  it("two dims have one pair, which no base changes", () => {
    expect([...positions.ntk({ rotaryDim: 2, factor: 8 }).frequencies]).toEqual([1]);
    const dynamic = positions.dynamic({ rotaryDim: 2, factor: 8, maxPositionEmbeddings: 16, seqLen: 999 });
    expect([...dynamic.frequencies]).toEqual([1]);
  });
});

describe("bad parameters", () => {
  it("are named as the caller spelt them", () => {
    const bad = (make: () => unknown) => expect(make);
    bad(() => positions.linear({ rotaryDim: 8 })).toThrow(
      "positions.linear: expected a number above 0 for factor, got undefined",
    );
    bad(() => positions.linear({ rotaryDim: 8, dynamic: true })).toThrow("for originalMaxPositionEmbeddings");
    bad(() => positions.plain({ rotaryDim: 7 })).toThrow("expected an even integer above 0 for rotaryDim, got 7");
    bad(() => positions.plain({ rotaryDim: 8, theta: 0 })).toThrow("for theta, got 0");
    bad(() => positions.plain({ rotaryDim: 8, base: 1 } as never)).toThrow('unknown option "base"');
    bad(() => positions.abf({ rotaryDim: 8 } as never)).toThrow("for theta, got undefined");
    bad(() => positions.yarn({ rotaryDim: 8, factor: 4 } as never)).toThrow("for originalMaxPositionEmbeddings");
    bad(() => positions.yarn({ rotaryDim: 8, originalMaxPositionEmbeddings: 8 })).toThrow("for factor, got undefined");
    bad(() =>
      positions.yarn({ rotaryDim: 8, factor: 2, originalMaxPositionEmbeddings: 8, ramp: "x" as never }),
    ).toThrow('one of "pairs", "rotations" for ramp, got "x"');
    const lists = { shortFactor: [1], longFactor: [1, 2], originalMaxPositionEmbeddings: 8 };
    bad(() => positions.longrope({ rotaryDim: 4, ...lists })).toThrow("a list of 2 numbers above 0");
    bad(() => positions.longrope({ rotaryDim: 4, ...lists })).toThrow("for shortFactor, got an array of 1");
    bad(() => positions.proportional({ headDim: 8, partialRotaryFactor: 2 })).toThrow("for partialRotaryFactor");
    bad(() => positions.giraffe({ rotaryDim: 8, cutoffHigh: 1, cutoffLow: 2 })).toThrow("for cutoffLow");
    bad(() => positions.plain({ rotaryDim: 0 })).toThrow(ArgumentError);
  });

  it("an unknown scheme lists the known ones", () => {
    expect(() => positionScheme("yarnish")).toThrow(UnsupportedError);
    expect(() => positionScheme("yarnish")).toThrow(/default, linear, llama3, dynamic, yarn, longrope/);
    expect(() => positionScheme("xpos")).toThrow(/models must be trained with it/);
    expect(() => positionScheme("constructor")).toThrow(UnsupportedError);
    for (const name of ropeTypes) expect(positionScheme(camelCase(name))).toBe(positionScheme(name));
  });
});
