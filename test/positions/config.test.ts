// What config.json and GGUF files say about positions, in all their spellings.
import { describe, expect, it } from "vitest";
import { ArgumentError, positions, UnsupportedError } from "../../lib/index.js";
import { JsonFields } from "../../lib/formats/json-file.js";
import { architectureOf, rotariesOf, ropesOf } from "../../lib/models/index.js";
import { fixture, readJson } from "../models/fixtures.js";

const sizes = { hidden_size: 64, num_attention_heads: 4, max_position_embeddings: 512 };
const lists = { short_factor: Array(8).fill(1), long_factor: Array(8).fill(2) };

describe("config.json", () => {
  it("takes type for rope_type, su and yarn with lists for longrope, mrope for default", () => {
    const longrope = { ...sizes, original_max_position_embeddings: 128 };
    const made = positions.fromConfig({ ...longrope, rope_parameters: { rope_type: "longrope", ...lists } });
    expect(made.ropeType).toBe("longrope");
    for (const type of ["su", "yarn", "longrope"]) {
      const { frequencies, attentionScale } = positions.fromConfig({ ...longrope, rope_scaling: { type, ...lists } });
      expect({ frequencies, attentionScale }).toEqual({
        frequencies: made.frequencies,
        attentionScale: made.attentionScale,
      });
    }
    const plain = positions.plain({ rotaryDim: 16 }).frequencies;
    for (const rope_scaling of [null, {}, { type: "mrope", mrope_section: [2, 3, 3] }, { rope_type: null }])
      expect(positions.fromConfig({ ...sizes, rope_scaling }).frequencies).toEqual(plain);
  });

  it("takes the original length from the top first, for yarn, llama3 and longrope", () => {
    const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64, truncate: false };
    const top = positions.fromConfig({ ...sizes, original_max_position_embeddings: 128, rope_parameters: yarn });
    const nested = positions.fromConfig({
      ...sizes,
      rope_parameters: { ...yarn, original_max_position_embeddings: 128 },
    });
    expect(top).toEqual(nested);
    expect(positions.fromConfig({ ...sizes, rope_parameters: yarn })).not.toEqual(top);
  });

  it("knows the names of partial rotation, and the models that leave it out", () => {
    const pairs = (config: object) => positions.fromConfig({ ...sizes, ...config }).frequencies.length;
    expect(pairs({})).toBe(8);
    expect(pairs({ partial_rotary_factor: 0.4 })).toBe(3);
    expect(pairs({ rope_parameters: { rope_type: "default", partial_rotary_factor: 0.5 } })).toBe(4);
    expect(pairs({ rotary_pct: 0.25 })).toBe(2);
    expect(pairs({ rope_pct: 0.25, model_type: "stablelm" })).toBe(2);
    expect(pairs({ rotary_dim: 4, model_type: "gptj" })).toBe(2);
    expect(pairs({ model_type: "gpt_neox" })).toBe(2);
    expect(pairs({ model_type: "phi" })).toBe(4);
    expect(pairs({ head_dim: 32 })).toBe(16);
    expect(pairs({ n_embd: 64, n_head: 2, hidden_size: null, num_attention_heads: null })).toBe(16);
    expect(() => pairs({ partial_rotary_factor: 0.3333, head_dim: 10 })).toThrow("an even share of head_dim = 10");
  });

  it("names what is wrong", () => {
    const read = (rope_parameters: object) => () => positions.fromConfig({ ...sizes, rope_parameters });
    expect(read({ rope_type: "linear" })).toThrow("expected a number above 0 for config.factor, got undefined");
    expect(read({ rope_type: 7 })).toThrow("a string for config.rope_type, got 7");
    expect(read({ rope_type: "longrope", ...lists, long_factor: [1] })).toThrow("8 numbers above 0, one for each pair");
    expect(read({ rope_type: "spiral" })).toThrow(UnsupportedError);
    expect(() => positions.fromConfig({})).toThrow(ArgumentError);
    expect(() => positions.fromConfig({}, { seqlen: 1 } as never)).toThrow('did you mean "seqLen"?');
  });

  const gemma = {
    head_dim: 16,
    layer_types: ["sliding_attention", "full_attention"],
    rope_parameters: {
      full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_type: "default", rope_theta: 1e4 },
    },
  };
  it("has parameters for each type of layer, in both spellings", () => {
    const full = positions.linear({ rotaryDim: 16, theta: 1e6, factor: 8 }).frequencies;
    const sliding = positions.plain({ rotaryDim: 16, theta: 1e4 }).frequencies;
    const older = {
      head_dim: 16,
      rope_theta: 1e6,
      rope_local_base_freq: 1e4,
      rope_scaling: { rope_type: "linear", factor: 8 },
    };
    for (const config of [gemma, older]) {
      expect(positions.fromConfig(config).frequencies).toEqual(full);
      expect(positions.fromConfig(config, { layerType: "full_attention" }).frequencies).toEqual(full);
      expect(positions.fromConfig(config, { layerType: "sliding_attention" }).frequencies).toEqual(sliding);
    }
    expect(() => positions.fromConfig(gemma, { layerType: "chunked" })).toThrow("one of full_attention, sliding");
  });

  it("reaches the layers of a model", () => {
    const llama = readJson<Record<string, unknown>>(fixture("models", "llama", "config.json"));
    const read = (config: object) => {
      const fields = new JsonFields("config.json", config as Record<string, unknown>);
      const parsed = architectureOf(fields).config(fields);
      return rotariesOf(parsed, ropesOf(parsed), (name) => expect.fail(name));
    };
    const [sliding, full] = read({ ...llama, ...gemma });
    expect(sliding!.frequencies).toEqual(positions.plain({ rotaryDim: 16 }).frequencies);
    expect(full!.frequencies).toEqual(positions.linear({ rotaryDim: 16, theta: 1e6, factor: 8 }).frequencies);
    expect(() => read({ ...llama, ...gemma, layer_types: ["full_attention", "chunked"] })).toThrow(
      "a list of num_hidden_layers = 2 of full_attention, sliding_attention",
    );
  });
});

describe("layouts", () => {
  it("of transformers' model types", () => {
    const interleaved =
      "gptj cohere cohere2 glm glm4 roformer llama4 deepseek_v2 deepseek_v3 ernie4_5 helium moonshine";
    for (const name of interleaved.split(" ")) expect(positions.ropeLayout(name)).toBe("interleaved");
    for (const name of ["llama", "gpt_neox", "qwen3", "phi", "gemma3", "glm4_moe", "gpt_oss", "mistral"])
      expect(positions.ropeLayout(name)).toBe("half");
  });
  it("of GGUF architectures, which are not always the same", () => {
    const layouts = {
      none: ["gpt2", "gptj", "bloom", "mpt", "mamba2", "jina-bert-v2", "rwkv7", "t5encoder"],
      interleaved: [
        "llama",
        "llama4",
        "command-r",
        "deepseek2",
        "chatglm",
        "granitemoe",
        "ernie4_5-moe",
        "minicpm",
        "glm4",
      ],
      half: [
        "qwen2",
        "qwen3moe",
        "gemma3n",
        "phi3",
        "gptneox",
        "falcon-h1",
        "gpt-oss",
        "minicpm3",
        "glm4moe",
        "nomic-bert",
      ],
      mrope: ["qwen2vl"],
      imrope: ["qwen3vl", "qwen3vlmoe", "qwen35"],
    };
    for (const [layout, names] of Object.entries(layouts))
      for (const name of names) expect([name, positions.ggufLayout(name)]).toEqual([name, layout]);
    expect(() => positions.ggufLayout("lama")).toThrow(UnsupportedError);
  });
});

describe("GGUF", () => {
  const read = (keys: object, architecture = "llama", tensors = {}) =>
    positions.fromGguf(
      {
        "general.architecture": architecture,
        ...Object.fromEntries(
          Object.entries({ context_length: 4096, ...keys }).map(([name, value]) => [`${architecture}.${name}`, value]),
        ),
      },
      tensors,
    );

  it("has llama.cpp's defaults: linear without a type, factor 0 or none is 1, base 10000", () => {
    const plain = { rope_type: "default", rope_theta: 10000 };
    expect(read({})).toMatchObject({ layout: "interleaved", contextLength: 4096, ropeParameters: plain });
    expect(read({ "rope.scaling.factor": 0 }).ropeParameters).toEqual(plain);
    expect(read({ "rope.scaling.type": "none", "rope.scaling.factor": 4 }).ropeParameters).toEqual(plain);
    const linear = { rope_type: "linear", factor: 4, rope_theta: 5e5 };
    expect(read({ "rope.scaling.factor": 4, "rope.freq_base": 5e5 }).ropeParameters).toEqual(linear);
    expect(read({ "rope.scale_linear": 4, "rope.freq_base": 5e5 }).ropeParameters).toEqual(linear);
    expect(read({ "rope.scaling.alpha": 1000 }).ropeParameters).toEqual({ ...plain, rope_type: "ntk", alpha: 1000 });
  });

  it("gives the frequencies of the config.json it was made from", () => {
    const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, rope_theta: 5e5 };
    const config = { head_dim: 64, max_position_embeddings: 131072, original_max_position_embeddings: 8192 };
    const { frequencies } = positions.fromConfig({ ...config, rope_parameters: llama3 });
    const divisors = frequencies.map((x, k) => 5e5 ** ((-2 * k) / 64) / x);
    const { ropeParameters } = read({ "rope.freq_base": 5e5 }, "llama", { "rope_freqs.weight": divisors });
    const made = positions.fromConfig({ ...config, rope_parameters: ropeParameters });
    expect(made.frequencies.every((x, k) => Math.abs(x / frequencies[k]! - 1) < 1e-14)).toBe(true);

    const longrope = {
      "rope.scaling.type": "longrope",
      "rope.scaling.original_context_length": 128,
      "rope.scaling.attn_factor": 1.19,
    };
    const tensors = { "rope_factors_long.weight": Float32Array.of(2, 4), "rope_factors_short.weight": [1, 1] };
    expect(read(longrope, "phi3", tensors).ropeParameters).toEqual({
      rope_type: "longrope",
      long_factor: [2, 4],
      short_factor: [1, 1],
      original_max_position_embeddings: 128,
      attention_factor: 1.19,
      rope_theta: 10000,
    });
  });

  it("comes to YaRN's attention factor as llama.cpp does, without its doubling", () => {
    const yarn = {
      "rope.scaling.type": "yarn",
      "rope.scaling.factor": 40,
      "rope.scaling.original_context_length": 4096,
    };
    const factor = (keys: object, architecture?: string) =>
      Number(read({ ...yarn, ...keys }, architecture).ropeParameters.attention_factor);
    expect(read(yarn).ropeParameters).toMatchObject({ factor: 40, beta_fast: 32, beta_slow: 1 });
    expect(factor({})).toBeCloseTo(0.1 * Math.log(40) + 1, 12);
    expect(factor({ "rope.scaling.yarn_ext_factor": -1, "rope.scaling.attn_factor": 0.5 })).toBeCloseTo(
      0.5 * (0.1 * Math.log(40) + 1),
      12,
    );
    expect(factor({ "rope.scaling.yarn_log_multiplier": 0.1 }, "deepseek2")).toBeCloseTo(1, 12);
    expect(factor({ "rope.scaling.yarn_log_multiplier": 0.0707 }, "deepseek2")).toBeCloseTo(1, 12);
    expect(() => read({ ...yarn, "rope.scaling.yarn_ext_factor": 0.5 })).toThrow("yarn_ext_factor");
    expect(() => read({ ...yarn, "rope.scaling.type": "spiral" })).toThrow('"none", "linear", "yarn" or "longrope"');
  });

  it("reads windows, sections, biases and temperature", () => {
    expect(
      read({
        "rope.dimension_count": 64,
        "rope.freq_base_swa": 10000,
        "attention.sliding_window": 1024,
        "rope.dimension_sections": [16, 24, 24, 0],
        "attention.max_alibi_bias": 8,
        "attention.relative_buckets_count": 32,
        "attention.temperature_length": 16384n,
        "attention.temperature_scale": 0.1,
      }),
    ).toMatchObject({
      rotaryDim: 64,
      slidingParameters: { rope_type: "default", rope_theta: 10000 },
      slidingWindow: 1024,
      sections: [16, 24, 24, 0],
      alibiMaxBias: 8,
      relativeBuckets: 32,
      temperature: { length: 16384, scale: 0.1 },
    });
    expect(() => read({ "rope.freq_base": "high" })).toThrow("a number for llama.rope.freq_base");
    expect(() => positions.fromGguf({})).toThrow("general.architecture");
    expect(() => read({ context_length: undefined })).toThrow("for llama.context_length");
  });
});
