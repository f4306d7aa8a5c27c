// From files to a model.
import { existsSync, statSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { ArgumentError, ModelFormatError, UnsupportedError } from "./errors.js";
import { JsonFields, readJsonFile } from "./formats/json-file.js";
import { Checkpoint } from "./formats/safetensors.js";
import { Tokenizer } from "./formats/tokenizer.js";
import { log } from "./log.js";
import { Model } from "./model.js";
import type { Progress } from "./model-context.js";
import { ModelRunner } from "./model-runner.js";
import { type ModelSettings, passSettings } from "./model-settings.js";
import { architectureOf, type DecoderConfig, ropeFault, ropesOf, rotariesOf } from "./models/index.js";
import { native } from "./binding.js";
import { type ComputeDType, type QuantisedDType, quantisedDTypes, Weights } from "./nn/weights.js";
import {
  checkedChoice,
  checkedFunction,
  checkedNumber,
  checkedOptions,
  checkedSignal,
  wrongArgument,
} from "./options.js";
import { idle } from "./tensor.js";

export interface LoadOptions extends ModelSettings {
  /** float32 computes exactly with weights of any width; bfloat16 rounds activations too, and is faster. */
  dtype?: ComputeDType | "f32" | "bf16" | undefined;
  /** Matrices in 8 or 4 bits a weight (and a half for scales), rounded as they are loaded; embeddings stay. */
  weightDtype?: QuantisedDType | undefined;
  /** LONGSPAN_DEVICE, else cpu, if absent. */
  device?: string | undefined;
  /** Compute threads of the process; LONGSPAN_THREADS, or what the machine gives, if absent. */
  threads?: number | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const dtypes: Record<string, ComputeDType> = {
  float32: "float32",
  f32: "float32",
  bfloat16: "bfloat16",
  bf16: "bfloat16",
};

/** A folder in Hugging Face layout, or a .safetensors file with config.json beside it. */
function checkedSource(source: unknown): { folder: string; weights: string } {
  const op = "loadModel";
  if (typeof source !== "string" || source === "")
    wrongArgument(op, "source", "a folder or a .safetensors file", source);
  for (const [is, feature] of [
    [source.startsWith("hf:"), "hf: sources"],
    [extname(source) === ".gguf", ".gguf files"],
  ])
    if (is)
      throw new UnsupportedError(`loadModel: ${feature} cannot be read; known: a folder, a .safetensors file`, {
        feature: String(feature),
        known: ["folder", ".safetensors"],
      });
  if (!existsSync(source))
    throw new ModelFormatError(`loadModel: ${source} does not exist`, { file: source, reason: "does not exist" });
  if (statSync(source).isDirectory()) return { folder: source, weights: source };
  if (extname(source) === ".safetensors") return { folder: dirname(source), weights: source };
  throw new ArgumentError(`loadModel: expected a folder or a .safetensors file for source, got ${source}`, {
    op,
    argument: "source",
  });
}

async function readConfig(folder: string): Promise<{ fields: JsonFields; config: DecoderConfig }> {
  const file = join(folder, "config.json");
  const values = await readJsonFile(file);
  if (!values) throw new ModelFormatError(`${file}: is missing`, { file, reason: "is missing" });
  const fields = new JsonFields(file, values);
  const config = architectureOf(fields).config(fields);
  const generationFile = join(folder, "generation_config.json");
  const generation = new JsonFields(generationFile, (await readJsonFile(generationFile)) ?? {});
  const ids = generation.integers("eos_token_id");
  rotariesOf(config, ropesOf(config), ropeFault(fields));
  return { fields, config: { ...config, eosTokenIds: ids.length > 0 ? ids : config.eosTokenIds } };
}

/** Loads a model: weights into native memory, packed for the kernels; afterwards the files are not needed. */
export async function loadModel(source: string, given?: LoadOptions): Promise<Model> {
  const op = "loadModel";
  const names = ["dtype", "weightDtype", "device", "threads", "ropeScaling", "attention", "onProgress", "signal"];
  const options = checkedOptions(op, given, names);
  const dtype = checkedChoice(op, "dtype", options.dtype, ["float32", "f32", "bfloat16", "bf16"]) ?? "float32";
  const quantised = checkedChoice(op, "weightDtype", options.weightDtype, quantisedDTypes);
  const threads = checkedNumber(op, "threads", options.threads, { integer: true, min: 1, max: 256 });
  const onProgress = checkedFunction(op, "onProgress", options.onProgress);
  const signal = checkedSignal(op, options.signal);
  if (options.device !== undefined && typeof options.device !== "string")
    wrongArgument(op, "device", '"cpu", "cuda" or "cuda:<number>"', options.device);
  const device = native.requireDevice(op, options.device);
  signal?.throwIfAborted();
  const files = checkedSource(source);
  const { fields, config } = await readConfig(files.folder);
  const settings = { ropeScaling: options.ropeScaling, attention: options.attention };
  passSettings(op, config, settings);
  if (threads !== undefined) native.setThreads(threads);

  const begun = performance.now();
  const checkpoint = await Checkpoint.open(files.weights);
  const weights = new Weights(checkpoint, { dtype: dtypes[dtype]!, device, quantised });
  try {
    const decoder = await architectureOf(fields).load(weights, config, (done, total) => {
      signal?.throwIfAborted();
      onProgress?.({ phase: "load", done, total });
    });
    await idle({ ...(signal && { signal }) });
    const runner = new ModelRunner(config, decoder, weights);
    const seconds = ((performance.now() - begun) / 1000).toFixed(2);
    const kept = quantised ? `, weights in ${quantised}` : "";
    log(
      "info",
      `${source}: ${config.numLayers} layers in ${weights.dtype}${kept} on ${device}, loaded in ${seconds} s`,
    );
    return new Model(runner, new Tokenizer(files.folder), weights, settings);
  } catch (error) {
    weights.dispose();
    throw error;
  } finally {
    checkpoint.close();
  }
}
