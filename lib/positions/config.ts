// What config.json says about positions, in every spelling that transformers has had: rope_parameters (5), rope_scaling
// with rope_theta beside it (4), one set for all layers or one for each type of layer.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { ropeLayout, type RopeLayout } from "./layouts.js";
import { type ParameterFault, type Rotary, SchemeParameters } from "./scheme.js";
import { positionScheme } from "./schemes.js";

export type Values = Readonly<Record<string, unknown>>;

export interface RopeConfig {
  ropeType: string;
  theta: number;
  partialRotaryFactor: number;
  /** Length before any extension, where the config names one. */
  originalMaxPositionEmbeddings: number | undefined;
  parameters: Values;
}

export function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** partial_rotary_factor where a model_type's config.json may leave it out. */
const partialRotaryFactors: Record<string, number> = {
  gpt_neox: 0.25,
  phi: 0.5,
  stablelm: 0.25,
  persimmon: 0.5,
  fuyu: 0.5,
  chatglm: 0.5,
  glm: 0.5,
  glm4: 0.5,
  glm4_moe: 0.5,
  nemotron: 0.5,
  bamba: 0.5,
  recurrent_gemma: 0.5,
  qwen3_next: 0.25,
  qwen3_5: 0.25,
  moonshine: 0.9,
};

/** Names of the layer types that rope_parameters has a set of parameters for; undefined: one set for all layers. */
export function ropeLayerTypes(config: Values): string[] | undefined {
  const rope = config.rope_parameters;
  if (!isObject(rope)) return undefined;
  const names = Object.keys(rope);
  return names.length > 0 && names.every((name) => isObject(rope[name])) ? names : undefined;
}

/** The rope_type as this library spells it. */
export function ropeTypeOf(rope: Values, fault: ParameterFault): string {
  const has = (name: string) => rope[name] !== undefined && rope[name] !== null;
  const key = has("rope_type") ? "rope_type" : "type";
  const name = rope[key] ?? "default";
  if (typeof name !== "string") return fault(key, "a string", name);
  if (name === "yarn" && has("short_factor") && has("long_factor")) return "longrope"; // the first Phi-3
  if (name === "dynamic" && has("alpha")) return "ntk"; // Hunyuan
  return name;
}

/** The parameters of one type of layer; its older spellings are Gemma 3's and ModernBERT's. */
function parametersOf(config: Values, layerType: string | undefined): Values {
  const rope = config.rope_parameters ?? config.rope_scaling;
  if (ropeLayerTypes(config)) return (rope as Record<string, Values>)[layerType ?? "full_attention"] ?? {};
  const isSliding = layerType === "sliding_attention";
  const older = isSliding
    ? (config.rope_local_base_freq ?? config.local_rope_theta)
    : (config.global_rope_theta ?? undefined);
  if (older !== undefined && older !== null)
    return { ...(isSliding || !isObject(rope) ? {} : rope), rope_theta: older };
  if (config.use_dynamic_ntk === true && !isObject(rope))
    return { rope_type: "qwen_dynamic", seq_length: config.seq_length };
  const chunked = config.dual_chunk_attention_config; // Qwen2.5-1M
  if (isObject(chunked) && !isObject(rope))
    return { rope_type: "dca", chunk_size: chunked.chunk_size, local_size: chunked.local_size };
  return isObject(rope) ? rope : {};
}

/** Reads the parameters of a type of layer, or those of all; a bad field is reported by `fault`. */
export function readRopeConfig(config: Values, fault: ParameterFault, layerType?: string): RopeConfig {
  const rope = parametersOf(config, layerType);
  const [inner, outer] = [new SchemeParameters(rope, fault), new SchemeParameters(config, fault)];
  const first = (names: string[], fallback: number): number => {
    for (const name of names) for (const fields of [inner, outer]) if (fields.has(name)) return fields.positive(name);
    return fallback;
  };
  const modelType = String(config.model_type);
  const partial = first(
    ["partial_rotary_factor", "rotary_pct", "rope_pct", "rotary_emb_fraction"],
    (Object.hasOwn(partialRotaryFactors, modelType) ? partialRotaryFactors[modelType] : undefined) ?? 1,
  );
  const width = outer.has("rotary_dim") ? outer.positive("rotary_dim") / headDimOf(config, fault) : undefined;
  const original = outer.has("original_max_position_embeddings") ? outer : inner;
  return {
    ropeType: ropeTypeOf(rope, fault),
    theta: first(["rope_theta", "rotary_emb_base"], 10000),
    partialRotaryFactor: width ?? partial,
    originalMaxPositionEmbeddings: original.has("original_max_position_embeddings")
      ? original.positive("original_max_position_embeddings")
      : undefined,
    parameters: rope,
  };
}

export interface RotaryLengths {
  headDim: number;
  maxPositionEmbeddings: number;
  seqLen?: number | undefined;
}

/** Frequencies for a head and a length. */
export function rotaryOfConfig(rope: RopeConfig, lengths: RotaryLengths, fault: ParameterFault): Rotary {
  const { headDim, maxPositionEmbeddings, seqLen } = lengths;
  const scheme = positionScheme(rope.ropeType);
  const rotaryDim = scheme.wholeHead ? headDim : Math.trunc(headDim * rope.partialRotaryFactor);
  if (rotaryDim % 2 || rotaryDim > headDim || rotaryDim === 0)
    fault("partial_rotary_factor", `an even share of head_dim = ${headDim}`, rope.partialRotaryFactor);
  return scheme.rotary({
    headDim,
    rotaryDim,
    partialRotaryFactor: rope.partialRotaryFactor,
    theta: rope.theta,
    maxPositionEmbeddings,
    originalMaxPositionEmbeddings: rope.originalMaxPositionEmbeddings ?? maxPositionEmbeddings,
    seqLen,
    parameters: new SchemeParameters(rope.parameters, fault),
  });
}

/** Whether the frequencies depend on the number of tokens to be seen. */
export function isLengthDependent(rope: RopeConfig, fault: ParameterFault): boolean {
  const { lengthDependent } = positionScheme(rope.ropeType);
  return lengthDependent?.(new SchemeParameters(rope.parameters, fault)) ?? false;
}

export function sameRotary(a: Rotary, b: Rotary): boolean {
  return a.attentionScale === b.attentionScale && a.frequencies.every((x, k) => x === b.frequencies[k]);
}

function headDimOf(config: Values, fault: ParameterFault): number {
  const fields = new SchemeParameters(config, fault);
  if (fields.has("head_dim")) return fields.positive("head_dim");
  const [hidden, heads] = [
    ["hidden_size", "n_embd"],
    ["num_attention_heads", "n_head"],
  ].map(([name, older]) => fields.positive(fields.has(name!) ? name! : older!));
  return hidden! / heads!;
}

export interface ConfigRotary extends Rotary {
  ropeType: string;
  layout: RopeLayout;
}

/**
 * Frequencies of any config.json of transformers, given as an object: rope_parameters or rope_scaling, "su" and "mrope",
 * partial rotation by any of its names, one set of parameters or one for each `layerType`. `seqLen` is for the schemes that
 * depend on it.
 */
export function fromConfig(
  config: Values,
  options: { seqLen?: number | undefined; layerType?: string | undefined } = {},
): ConfigRotary {
  const op = "positions.fromConfig";
  const { seqLen, layerType } = checkedOptions(op, options, ["seqLen", "layerType"]);
  checkedNumber(op, "seqLen", seqLen, { integer: true, min: 0 });
  const fault: ParameterFault = (name, expected, actual) => wrongArgument(op, `config.${name}`, expected, actual);
  if (!isObject(config)) wrongArgument(op, "config", "the object of a config.json", config);
  const types = ropeLayerTypes(config);
  if (types && layerType !== undefined && !types.includes(layerType))
    wrongArgument(op, "layerType", `one of ${types.join(", ")}`, layerType);
  const rope = readRopeConfig(config, fault, layerType);
  const maxName = config.max_position_embeddings === undefined ? "n_positions" : "max_position_embeddings";
  const maxPositionEmbeddings = new SchemeParameters(config, fault).positive(maxName, 2048);
  const lengths = { headDim: headDimOf(config, fault), maxPositionEmbeddings, seqLen };
  return {
    ropeType: rope.ropeType,
    layout: ropeLayout(String(config.model_type)),
    ...rotaryOfConfig(rope, lengths, fault),
  };
}
