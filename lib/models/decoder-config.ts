// config.json of a decoder, typed and checked, in the words of house style: what every architecture of this folder reads.
import type { JsonFields, JsonObject } from "../formats/json-file.js";
import { UnsupportedError } from "../errors.js";
import {
  type ParameterFault,
  type RopeConfig,
  readRopeConfig,
  ropeLayerTypes,
  type Rotary,
  rotaryOfConfig,
} from "../positions/index.js";

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
  /** Positions, of full attention where types of layers differ. */
  rope: RopeConfig;
  /** Positions of each layer, where rope_parameters has a set for each type of layer. */
  layerRopes: RopeConfig[] | undefined;
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

/** Reports a bad parameter where it stands: in rope_parameters or rope_scaling, or beside them. */
export function ropeFault(fields: JsonFields): ParameterFault {
  return (name, expected, actual) => {
    const rope = fields.object("rope_parameters") ?? fields.object("rope_scaling");
    return rope && !fields.has(name) ? rope.wrong(name, expected, actual) : fields.wrong(name, expected, actual);
  };
}

function readRopes(fields: JsonFields, numLayers: number): Pick<DecoderConfig, "rope" | "layerRopes"> {
  for (const name of ["rope_parameters", "rope_scaling"]) fields.object(name);
  const fault = ropeFault(fields);
  const rope = readRopeConfig(fields.values, fault);
  const known = ropeLayerTypes(fields.values);
  if (!known) return { rope, layerRopes: undefined };
  const types = fields.strings("layer_types");
  if (types?.length !== numLayers || !types.every((type) => known.includes(type)))
    return fields.wrong("layer_types", `a list of num_hidden_layers = ${numLayers} of ${known.join(", ")}`, types);
  const ropes = new Map(known.map((type) => [type, readRopeConfig(fields.values, fault, type)]));
  const main = ropes.get("full_attention") ?? ropes.get(types[0]!)!;
  return { rope: main, layerRopes: types.map((type) => ropes.get(type)!) };
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
    ...readRopes(fields, numLayers),
    bosTokenId: fields.integers("bos_token_id")[0],
    eosTokenIds: fields.integers("eos_token_id"),
    raw: fields.values,
  };
}

/** Frequencies of each layer for a length; layers of one RopeConfig share them. */
export function rotariesOf(
  config: DecoderConfig,
  ropes: readonly RopeConfig[],
  fault: ParameterFault,
  seqLen?: number,
): Rotary[] {
  const { headDim, maxPositionEmbeddings } = config;
  const made = new Map<RopeConfig, Rotary>();
  return ropes.map((rope) => {
    const rotary = made.get(rope) ?? rotaryOfConfig(rope, { headDim, maxPositionEmbeddings, seqLen }, fault);
    made.set(rope, rotary);
    return rotary;
  });
}

/** What config.json says for each layer. */
export function ropesOf({ rope, layerRopes, numLayers }: DecoderConfig): RopeConfig[] {
  return layerRopes ?? Array<RopeConfig>(numLayers).fill(rope);
}
