// config.json: what is missing, wrong or unknown is named; old and new spellings mean the same.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DeviceError, loadModel, ModelFormatError, UnsupportedError } from "../../lib/index.js";
import { JsonFields } from "../../lib/formats/json-file.js";
import { architectureOf, ropesOf, rotariesOf } from "../../lib/models/index.js";
import { fixture, readJson } from "../models/fixtures.js";

const temporary = mkdtempSync(join(tmpdir(), "longspan-config-"));
afterAll(() => rmSync(temporary, { recursive: true }));
let count = 0;

type Json = Record<string, unknown>;
const llama = readJson<Json>(fixture("models", "llama", "config.json"));

function modelWith(config: Json | string): string {
  const folder = join(temporary, String(count++));
  mkdirSync(folder);
  symlinkSync(fixture("models", "llama", "model.safetensors"), join(folder, "model.safetensors"));
  writeFileSync(join(folder, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
  return folder;
}
function without(config: Json, name: string): Json {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key !== name));
}
function parsed(config: Json) {
  const fields = new JsonFields("config.json", config);
  return architectureOf(fields).config(fields);
}
function frequencies(config: Json): number[] {
  const read = parsed(config);
  return [...rotariesOf(read, ropesOf(read), (name) => expect.fail(name))[0]!.frequencies];
}

describe("config.json", () => {
  const sizes = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"];
  it.each([...sizes, "model_type"])("without %s is a ModelFormatError that names it", async (name) => {
    const failure = await loadModel(modelWith(without(llama, name))).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ModelFormatError);
    expect((failure as Error).message).toContain(`the field "${name}" is missing`);
  });

  it.each<[Json, string | RegExp]>([
    [{ hidden_size: "64" }, 'the field "hidden_size" must be a whole number from 1 on, got "64"'],
    [{ num_hidden_layers: 0 }, 'the field "num_hidden_layers" must be a whole number from 1 on, got 0'],
    [{ num_key_value_heads: 3 }, "a divisor of num_attention_heads = 4"],
    [{ rms_norm_eps: -1 }, "a number above 0"],
    [{ tie_word_embeddings: 1 }, "true or false"],
    [{ hidden_act: "swoosh" }, /unknown hidden_act "swoosh"; known: silu/],
    [{ rope_parameters: { rope_type: "linear" } }, 'the field "rope_parameters.factor" is missing'],
    [{ rope_parameters: { rope_type: "spiral" } }, /unknown rope_type "spiral"; known: default, linear, llama3/],
    [{ rope_parameters: [] }, "must be an object"],
  ])("with %j says what it must be", async (change, message) => {
    await expect(loadModel(modelWith({ ...llama, ...change }))).rejects.toThrow(message);
  });

  it("with an unknown model_type lists the known", async () => {
    const failure = await loadModel(modelWith({ ...llama, model_type: "lama" })).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UnsupportedError);
    expect(failure).toMatchObject({ feature: "model_type lama", known: ["llama", "mistral", "qwen2", "qwen3"] });
  });

  it("that is no JSON, no object or not there is said so", async () => {
    await expect(loadModel(modelWith("{"))).rejects.toThrow(/config.json: is not valid JSON/);
    await expect(loadModel(modelWith("[]"))).rejects.toThrow(/expected a JSON object/);
    const folder = modelWith("{}");
    rmSync(join(folder, "config.json"));
    await expect(loadModel(folder)).rejects.toThrow(/config.json: is missing/);
    await expect(loadModel(join(temporary, "nowhere"))).rejects.toThrow(/does not exist/);
  });

  it("reads rope_parameters and rope_scaling alike", () => {
    const bare = without(llama, "rope_parameters");
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
    const fresh = frequencies({ ...bare, rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } });
    const old = { rope_theta: 5e5, rope_scaling: { rope_type: "llama3", ...llama3 } };
    expect(frequencies({ ...bare, ...old })).toEqual(fresh);
    const linear = frequencies({ ...bare, rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 1e4 } });
    expect(frequencies({ ...bare, rope_scaling: { type: "linear", factor: 2 } })).toEqual(linear);
    expect(frequencies({ ...bare, rope_theta: 1e4, rope_scaling: null })).toEqual(frequencies(llama));
  });
});

describe("windows", () => {
  const qwen2 = readJson<Json>(fixture("models", "qwen2", "config.json"));
  const mistral = readJson<Json>(fixture("models", "mistral-swa", "config.json"));
  it("count the own position in config.json, not here", () => {
    expect(parsed(mistral).windows).toEqual([15, 15]);
    expect(parsed({ ...mistral, sliding_window: null }).windows).toEqual([null, null]);
    expect(parsed(without(mistral, "sliding_window")).windows).toEqual([4095, 4095]);
    expect(parsed(llama).windows).toEqual([null, null]);
  });
  it("of Qwen2 follow layer_types, else max_window_layers", () => {
    expect(parsed({ ...qwen2, sliding_window: 16 }).windows).toEqual([null, null]);
    const sliding = { ...qwen2, use_sliding_window: true, sliding_window: 16 };
    expect(parsed({ ...sliding, layer_types: ["full_attention", "sliding_attention"] }).windows).toEqual([null, 15]);
    expect(parsed({ ...without(sliding, "layer_types"), max_window_layers: 1 }).windows).toEqual([null, 15]);
    expect(() => parsed({ ...sliding, layer_types: ["full_attention"] })).toThrow(/a list of num_hidden_layers = 2/);
  });
});

describe("loadModel", () => {
  const folder = fixture("models", "llama");

  it("says what its options take", async () => {
    const load = (options: object) => expect(loadModel(folder, options as never)).rejects;
    await load({ dytpe: "float32" }).toThrow('unknown option "dytpe"; did you mean "dtype"?');
    await load({ dtype: "float8" }).toThrow('expected one of "float32"');
    await load({ threads: 0 }).toThrow("expected an integer at least 1");
    await load({ device: "cuda" }).toThrow(DeviceError);
    await load({ signal: "soon" }).toThrow("expected an AbortSignal for signal");
    await load({ onProgress: 1 }).toThrow("expected a function for onProgress");
  });

  it("says what its source may be", async () => {
    await expect(loadModel("hf:org/name")).rejects.toThrow(UnsupportedError);
    await expect(loadModel("model.gguf")).rejects.toThrow(UnsupportedError);
    const expected = "expected a folder or a .safetensors file for source, got";
    await expect(loadModel(7 as never)).rejects.toThrow(`${expected} 7`);
    await expect(loadModel(join(folder, "config.json"))).rejects.toThrow(expected);
  });

  it("takes a .safetensors file with config.json beside it", async () => {
    await using model = await loadModel(join(folder, "model.safetensors"));
    const facts = { modelType: "llama", hiddenSize: 64, numLayers: 2, numKVHeads: 2, headDim: 16 };
    expect(model.config).toMatchObject(facts);
  });

  it("reports progress and stops at an abort", async () => {
    const seen: string[] = [];
    const onProgress = ({ phase, done, total }: { phase: string; done: number; total?: number | undefined }) =>
      seen.push(`${phase} ${done}/${total}`);
    await using model = await loadModel(folder, { onProgress });
    expect(seen).toEqual(["load 0/3", "load 1/3", "load 2/3", "load 3/3"]);
    const controller = new AbortController();
    const loading = loadModel(folder, { signal: controller.signal, onProgress: () => controller.abort("stop") });
    await expect(loading).rejects.toBe("stop");
    expect(await model.nll([1, 2])).toHaveLength(1);
  });

  it("takes end-of-text ids from generation_config.json first", async () => {
    const other = modelWith({ ...llama, eos_token_id: [5, 6] });
    await using plain = await loadModel(other);
    expect(plain.config.eosTokenIds).toEqual([5, 6]);
    writeFileSync(join(other, "generation_config.json"), JSON.stringify({ eos_token_id: 9 }));
    await using model = await loadModel(other);
    expect(model.config.eosTokenIds).toEqual([9]);
  });
});
