// Layers that differ in positions: transformers' configurations, with what they leave out worked out again, and the rule of
// HWFA.
import { describe, expect, it } from "vitest";
import { ArgumentError, positions } from "../../lib/index.js";
import { fixture, readJson } from "../models/fixtures.js";

interface Config {
  [name: string]: unknown;
  num_hidden_layers: number;
  layer_types?: string[];
  no_rope_layers?: number[];
  sliding_window?: number;
}
const { cases } = readJson<{ cases: { name: string; config: Config }[] }>(fixture("vectors", "layers.json"));
const without = (config: Config, ...names: string[]) =>
  Object.fromEntries(Object.entries(config).filter(([name]) => !names.includes(name)));

describe.each(cases)("$name", ({ config }) => {
  const { num_hidden_layers: count, sliding_window: size = 0 } = config;
  const types = config.layer_types ?? Array<string>(count).fill("sliding_attention");
  const hasPositions = types.map((type, layer) =>
    config.model_type === "cohere2" ? type === "sliding_attention" : (config.no_rope_layers?.[layer] ?? 1) === 1,
  );

  it.each([
    ["as transformers writes it", config],
    [
      "without what follows from its model_type",
      without(config, "layer_types", "no_rope_layers", "no_rope_layer_interval"),
    ],
  ])("%s", (_, given) => {
    const layers = positions.layersFromConfig(given);
    expect(layers).toHaveLength(count);
    expect(layers.map(({ rotary }) => rotary !== undefined)).toEqual(hasPositions);
    expect(layers.map(({ window }) => window)).toEqual(
      types.map((type) => (type === "sliding_attention" ? size - 1 : undefined)),
    );
    expect(layers.map(({ chunk }) => chunk)).toEqual(
      types.map((type) => (type === "chunked_attention" ? config.attention_chunk_size : undefined)),
    );
  });
});

const configOf = (name: string) => cases.find((one) => one.name === name)!.config;

describe("layersFromConfig", () => {
  it("gives Gemma 3's layers their own bases, in both spellings", () => {
    const config = configOf("gemma3");
    const older = { ...without(config, "rope_parameters"), rope_theta: 1e6, rope_local_base_freq: 1e4 };
    const scaled = { ...older, rope_scaling: { rope_type: "linear", factor: 8 } };
    for (const [given, factor] of [
      [config, 1],
      [older, 1],
      [scaled, 8],
    ] as const) {
      const layers = positions.layersFromConfig(given);
      expect(layers[0]!.rotary!.frequencies[1]).toBeCloseTo(1e4 ** (-2 / 16), 12);
      expect(layers[5]!.rotary!.frequencies[1]).toBeCloseTo(1e6 ** (-2 / 16) / factor, 12);
    }
  });

  it("sharpens Llama 4's layers without positions, and Ministral's all", () => {
    const layers = positions.layersFromConfig(configOf("llama4"));
    expect(layers.map(({ queryScale }) => queryScale?.(8191))).toEqual(
      layers.map(({ rotary }) => (rotary ? undefined : 1 + 0.1 * Math.LN2)),
    );
    const off = positions.layersFromConfig({ ...configOf("llama4"), attn_temperature_tuning: false });
    expect(off.every(({ queryScale }) => queryScale === undefined)).toBe(true);
    const rope_parameters = {
      rope_type: "default",
      original_max_position_embeddings: 16384,
      llama_4_scaling_beta: 0.1,
    };
    for (const { queryScale } of positions.layersFromConfig({ ...configOf("ministral"), rope_parameters }))
      expect([16383, 16384].map(queryScale!)).toEqual([1, 1 + 0.1 * Math.LN2]);
  });

  it("names what is wrong", () => {
    const config = configOf("llama4");
    expect(() => positions.layersFromConfig({ ...config, layer_types: ["full_attention"] })).toThrow(
      "a list for num_hidden_layers = 8 layers for config.layer_types",
    );
    expect(() => positions.layersFromConfig({ ...config, num_hidden_layers: undefined })).toThrow(ArgumentError);
    expect(() => positions.layersFromConfig(null as never)).toThrow("the object of a config.json");
  });
});

describe("hwfa", () => {
  const options = { numLayers: 24, trainedLength: 512, rotaryDim: 64 };
  it("has windows that reach at most ¾ of the trained length together, and one global layer", () => {
    const layers = positions.hwfa(options);
    const sizes = layers.slice(0, -1).map(({ window }) => window! + 1);
    const reach = (size: number) => (size - 1) * 23 + 1;
    expect(new Set(sizes).size).toBe(1);
    expect(reach(sizes[0]!)).toBeLessThanOrEqual(384);
    expect(reach(sizes[0]! + 1)).toBeGreaterThan(384);
    expect(layers.at(-1)).toMatchObject({ rotary: undefined });
    expect(layers.at(-1)!.queryScale!(511)).toBeCloseTo(1, 12);
    expect(layers.at(-1)!.queryScale!(63)).toBeCloseTo(Math.log(64) / Math.log(512), 12);
  });
  it("takes the window of the post, 16, too", () => {
    const layers = positions.hwfa({ ...options, window: 16 });
    expect(layers[0]).toMatchObject({ window: 15 });
    expect(layers[0]!.rotary!.frequencies).toEqual(positions.plain({ rotaryDim: 64 }).frequencies);
  });
});
