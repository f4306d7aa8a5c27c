// What a GGUF file says about positions, as llama.cpp reads it, in the words of config.json. The file names neither the
// layout (ggufLayout) nor Llama 3's scaling, which is in the tensor rope_freqs.weight; there is no dynamic NTK.
import { wrongArgument } from "../options.js";
import { type GgufLayout, ggufLayout } from "./layouts.js";
import { SchemeParameters } from "./scheme.js";
import { yarnScale } from "./yarn.js";

/** Values of the tensors that belong to positions, by their names. */
export type GgufRopeTensors = Partial<
  Record<"rope_freqs.weight" | "rope_factors_long.weight" | "rope_factors_short.weight", ArrayLike<number>>
>;

export interface GgufPositions {
  layout: GgufLayout;
  contextLength: number;
  /** Rotated dims of a head; undefined: the whole head. */
  rotaryDim: number | undefined;
  /** rope_parameters as config.json would have them, for ropeScaling. */
  ropeParameters: Record<string, unknown>;
  /** Those of sliding-window layers where they have a base of their own: scaling is for the others only. */
  slidingParameters: Record<string, unknown> | undefined;
  slidingWindow: number | undefined;
  /** Pairs of time, height, width and a fourth axis. */
  sections: number[] | undefined;
  alibiMaxBias: number | undefined;
  relativeBuckets: number | undefined;
  /** Ministral's: 1 + scale · ln(1 + ⌊position / length⌋). */
  temperature: { length: number; scale: number } | undefined;
}

interface Keys {
  number(name: string): number | undefined;
  numbers(name: string): number[] | undefined;
  string(name: string): string | undefined;
}

function keysOf(op: string, metadata: Readonly<Record<string, unknown>>, architecture: string): Keys {
  const value = (name: string) => metadata[`${architecture}.${name}`] ?? undefined;
  const wrong = (name: string, expected: string) => wrongArgument(op, `${architecture}.${name}`, expected, value(name));
  const toNumber = (name: string, given: unknown): number => {
    const number = typeof given === "bigint" ? Number(given) : given;
    return typeof number === "number" && Number.isFinite(number) ? number : wrong(name, "a number");
  };
  return {
    number: (name) => (value(name) === undefined ? undefined : toNumber(name, value(name))),
    numbers(name) {
      const given = value(name);
      if (given === undefined) return undefined;
      if (!Array.isArray(given) && !ArrayBuffer.isView(given)) return wrong(name, "a list of numbers");
      return Array.from(given as ArrayLike<unknown>, (item) => toNumber(name, item));
    },
    string(name) {
      const given = value(name);
      return given === undefined || typeof given === "string" ? given : wrong(name, "a string");
    },
  };
}

/**
 * YaRN's attention_factor as llama.cpp comes to it: its kernel multiplies by 0.1 ln factor + 1, its context divides by the
 * same. yarn_log_multiplier is 0.1 · mscale_all_dim; mscale is not in the file: it equals mscale_all_dim in deepseek2, else 1.
 */
function yarnAttentionFactor(keys: Keys, architecture: string, factor: number): number {
  const allDim = (keys.number("rope.scaling.yarn_log_multiplier") ?? 0) / 0.1;
  const mscale = architecture === "deepseek2" && allDim !== 1 ? allDim : 1;
  const own = allDim ? yarnScale(factor, mscale) / yarnScale(factor, allDim) : yarnScale(factor);
  return own * (keys.number("rope.scaling.attn_factor") ?? 1) * (keys.number("rope.scaling.yarn_attn_factor") ?? 1);
}

function scaling(op: string, keys: Keys, architecture: string, contextLength: number, tensors: GgufRopeTensors) {
  const type = keys.string("rope.scaling.type") ?? "linear";
  const factor = keys.number("rope.scaling.factor") || keys.number("rope.scale_linear") || 1;
  const original = keys.number("rope.scaling.original_context_length") ?? contextLength;
  const attention = keys.number("rope.scaling.attn_factor");
  const [long, short] = [tensors["rope_factors_long.weight"], tensors["rope_factors_short.weight"]];
  if (type === "longrope" || (long && short))
    return {
      rope_type: "longrope",
      long_factor: Array.from(long ?? []),
      short_factor: Array.from(short ?? []),
      original_max_position_embeddings: original,
      ...(attention !== undefined && { attention_factor: attention }),
    };
  const divisors = tensors["rope_freqs.weight"];
  if (divisors)
    return {
      rope_type: "divisors",
      divisors: Array.from(divisors, (divisor) => divisor * (type === "linear" ? factor : 1)),
    };
  const alpha = keys.number("rope.scaling.alpha");
  if (alpha) return { rope_type: "ntk", alpha };
  if (type === "none" || (type === "linear" && factor === 1)) return { rope_type: "default" };
  if (type === "linear") return { rope_type: "linear", factor };
  if (type !== "yarn")
    wrongArgument(op, `${architecture}.rope.scaling.type`, '"none", "linear", "yarn" or "longrope"', type);
  const extension = keys.number("rope.scaling.yarn_ext_factor") ?? 1;
  if (extension !== 1 && extension !== -1)
    wrongArgument(op, `${architecture}.rope.scaling.yarn_ext_factor`, "1, or -1 for the default", extension);
  return {
    rope_type: "yarn",
    factor,
    original_max_position_embeddings: original,
    beta_fast: keys.number("rope.scaling.yarn_beta_fast") ?? 32,
    beta_slow: keys.number("rope.scaling.yarn_beta_slow") ?? 1,
    attention_factor: yarnAttentionFactor(keys, architecture, factor),
  };
}

/** Reads the keys of a GGUF file about positions. Defaults are llama.cpp's: no scaling type means linear, factor 0 means 1. */
export function fromGguf(metadata: Readonly<Record<string, unknown>>, tensors: GgufRopeTensors = {}): GgufPositions {
  const op = "positions.fromGguf";
  const architecture = metadata["general.architecture"];
  if (typeof architecture !== "string") wrongArgument(op, "general.architecture", "a string", architecture);
  const keys = keysOf(op, metadata, architecture);
  const contextLength = new SchemeParameters(metadata, (name, expected, actual) =>
    wrongArgument(op, name, expected, actual),
  ).positive(`${architecture}.context_length`);
  const sliding = keys.number("rope.freq_base_swa");
  const [length, scale] = ["attention.temperature_length", "attention.temperature_scale"].map(keys.number);
  return {
    layout: ggufLayout(architecture),
    contextLength,
    rotaryDim: keys.number("rope.dimension_count"),
    ropeParameters: {
      ...scaling(op, keys, architecture, contextLength, tensors),
      rope_theta: keys.number("rope.freq_base") ?? 10000,
    },
    slidingParameters: sliding === undefined ? undefined : { rope_type: "default", rope_theta: sliding },
    slidingWindow: keys.number("attention.sliding_window"),
    sections: keys.numbers("rope.dimension_sections"),
    alibiMaxBias: keys.number("attention.max_alibi_bias"),
    relativeBuckets: keys.number("attention.relative_buckets_count"),
    temperature: length && scale ? { length, scale } : undefined,
  };
}
