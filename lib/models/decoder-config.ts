// config.json of a decoder, typed and checked, in the words of house style: what every architecture of this folder reads.
import type { JsonFields, JsonObject } from "../formats/json-file.js";
import { UnsupportedError } from "../errors.js";
import { positionScheme, type Rotary, SchemeParameters } from "../positions/index.js";

/** rope_parameters of config.json (transformers 5) and rope_scaling (4): one shape. */
export interface RopeConfig {
  ropeType: string;
  theta: number;
  partialRotaryFactor: number;
  parameters: JsonObject;
}

export type Activation = "silu" | "gelu" | "geluTanh" | "relu";

export interface DecoderConfig {
  modelType: string;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKVHeads: number;
  headDim: number;
  maxPositionEmbeddings: number;
  originalMaxPositionEmbeddings: number | undefined;
  normEpsilon: number;
  activation: Activation;
  tieWordEmbeddings: boolean;
  queryKeyValueBias: boolean;
  outputBias: boolean;
  mlpBias: boolean;
  /** RMSNorm of each query and key head, before the rotation. */
  queryKeyNorm: boolean;
  /** Keys before the own position that each layer sees; null: all. */
  windows: (number | null)[];
  rope: RopeConfig;
  bosTokenId: number | undefined;
  eosTokenIds: number[];
  /** config.json as it is. */
  raw: Readonly<JsonObject>;
}

const activations: Record<string, Activation> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu_fast: "geluTanh",
  relu: "relu",
};

function readActivation(fields: JsonFields): Activation {
  const name = fields.string("hidden_act", "silu");
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (activation) return activation;
  const known = Object.keys(activations);
  throw new UnsupportedError(`${fields.file}: unknown hidden_act "${name}"; known: ${known.join(", ")}`, {
    feature: `hidden_act ${name}`,
    known,
  });
}

/** rope_parameters first, then rope_scaling with rope_theta beside it. */
function readRope(fields: JsonFields): RopeConfig {
  const rope = fields.object("rope_parameters") ?? fields.object("rope_scaling");
  const inner = rope?.has("rope_theta") ? rope : fields;
  const partial = rope?.has("partial_rotary_factor") ? rope : fields;
  const ropeType = rope?.has("rope_type") ? rope.string("rope_type") : rope?.string("type", "default");
  return {
    ropeType: ropeType ?? "default",
    theta: inner.positive("rope_theta", 10000),
    partialRotaryFactor: partial.positive("partial_rotary_factor", 1),
    parameters: rope?.values ?? {},
  };
}

/** What a Llama-like config.json says; variants change the result. */
export function readDecoderConfig(fields: JsonFields): DecoderConfig {
  const hiddenSize = fields.integer("hidden_size");
  const numHeads = fields.integer("num_attention_heads");
  const numKVHeads = fields.integer("num_key_value_heads", numHeads);
  const numLayers = fields.integer("num_hidden_layers");
  if (numHeads % numKVHeads)
    fields.wrong("num_key_value_heads", `a divisor of num_attention_heads = ${numHeads}`, numKVHeads);
  if (!fields.has("head_dim") && hiddenSize % numHeads)
    fields.wrong("hidden_size", `a multiple of num_attention_heads = ${numHeads}, or head_dim beside it`, hiddenSize);
  return {
    modelType: fields.string("model_type"),
    vocabSize: fields.integer("vocab_size"),
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size"),
    numLayers,
    numHeads,
    numKVHeads,
    headDim: fields.integer("head_dim", hiddenSize / numHeads),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 2048),
    originalMaxPositionEmbeddings: fields.has("original_max_position_embeddings")
      ? fields.integer("original_max_position_embeddings")
      : undefined,
    normEpsilon: fields.positive("rms_norm_eps", 1e-6),
    activation: readActivation(fields),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    queryKeyValueBias: false,
    outputBias: false,
    mlpBias: false,
    queryKeyNorm: false,
    windows: Array<null>(numLayers).fill(null),
    rope: readRope(fields),
    bosTokenId: fields.integers("bos_token_id")[0],
    eosTokenIds: fields.integers("eos_token_id"),
    raw: fields.values,
  };
}

/**
 * Frequencies of a config for a length. `reported` names the bad field: in config.json, or in an option of the caller.
 */
export function rotaryOf(config: DecoderConfig, rope: RopeConfig, fault: RotaryFault, seqLen?: number): Rotary {
  const parameters = new SchemeParameters(rope.parameters, fault);
  const rotaryDim = Math.trunc(config.headDim * rope.partialRotaryFactor);
  if (rotaryDim % 2 || rotaryDim > config.headDim)
    fault("partial_rotary_factor", `an even share of head_dim = ${config.headDim}`, rope.partialRotaryFactor);
  const original = config.originalMaxPositionEmbeddings ?? rope.parameters.original_max_position_embeddings;
  return positionScheme(rope.ropeType).rotary({
    rotaryDim,
    theta: rope.theta,
    maxPositionEmbeddings: config.maxPositionEmbeddings,
    originalMaxPositionEmbeddings:
      original === undefined || original === null ? config.maxPositionEmbeddings : Number(original),
    seqLen,
    parameters,
  });
}

export type RotaryFault = (name: string, expected: string, actual: unknown) => never;
