// Models whose layers differ in positions: local layers with RoPE between global ones without (iRoPE of Llama 4, Cohere 2,
// SmolLM3; HWFA), or with other frequencies (Gemma 3). What each layer has, read from any config.json, or made by rule.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { type ConfigRotary, fromConfig, isObject, ropeLayerTypes, type Values } from "./config.js";
import { plain } from "./default.js";
import { llama4Temperature, logN, ministralTemperature, type QueryScale } from "./logit-scale.js";
import type { Rotary } from "./scheme.js";

export interface LayerPositions<Made extends Rotary = Rotary> {
  /** undefined: the layer knows no positions (NoPE). */
  rotary: Made | undefined;
  /** Keys before the own one that a token sees; undefined: all. */
  window?: number;
  /** Tokens see their own chunk of so many positions (`patterns.chunks`). */
  chunk?: number;
  queryScale?: QueryScale;
}

/** Every n-th layer is global where config.json has neither layer_types nor a pattern of its own. */
const globalEvery: Record<string, number> = { gemma2: 2, gemma3: 6, gemma3_text: 6, cohere2: 4, gpt_oss: 2 };
/** Their layers without a window are those without positions. */
const globalWithoutPositions = ["cohere2"];
const everyFourthWithout = ["llama4", "llama4_text", "smollm3"];

type LayerKind = "full_attention" | "sliding_attention" | "chunked_attention";

class LayerReader {
  readonly modelType: string;
  readonly numLayers: number;
  constructor(
    readonly config: Values,
    readonly op: string,
  ) {
    this.modelType = String(config.model_type);
    this.numLayers = this.whole("num_hidden_layers") ?? this.#missing("num_hidden_layers");
  }
  #missing(name: string): never {
    return wrongArgument(this.op, `config.${name}`, "a whole number above 0", this.config[name]);
  }
  whole(name: string): number | undefined {
    return checkedNumber(this.op, `config.${name}`, this.config[name], { integer: true, min: 1 });
  }
  number(name: string): number | undefined {
    return checkedNumber(this.op, `config.${name}`, this.config[name], {});
  }
  list(name: string): readonly unknown[] | undefined {
    const value = this.config[name];
    if (value === undefined || value === null) return undefined;
    if (Array.isArray(value) && value.length === this.numLayers) return value;
    return wrongArgument(this.op, `config.${name}`, `a list for num_hidden_layers = ${this.numLayers} layers`, value);
  }

  hasPositions(layer: number, kind: LayerKind): boolean {
    if (globalWithoutPositions.includes(this.modelType)) return kind !== "full_attention";
    const flags = this.list("no_rope_layers");
    if (flags && flags.length > 0) return flags[layer] === 1; // 1: the layer has positions, whatever the name says
    const every = this.whole("no_rope_layer_interval") ?? (everyFourthWithout.includes(this.modelType) ? 4 : undefined);
    return every === undefined || (layer + 1) % every !== 0;
  }
  kind(layer: number): LayerKind {
    const types = this.list("layer_types");
    if (types) return types[layer] as LayerKind;
    const { config } = this;
    if (this.modelType.startsWith("llama4"))
      return this.hasPositions(layer, "chunked_attention") ? "chunked_attention" : "full_attention";
    if (config.sliding_window === undefined || config.sliding_window === null) return "full_attention";
    if (config.use_sliding_window === false) return "full_attention";
    const every = this.whole("sliding_window_pattern") ?? globalEvery[this.modelType];
    if (every !== undefined) return (layer + 1) % every === 0 ? "full_attention" : "sliding_attention";
    const first = this.modelType.startsWith("qwen") ? (this.whole("max_window_layers") ?? 28) : 0;
    return layer >= first ? "sliding_attention" : "full_attention";
  }
  queryScale(hasPositions: boolean): QueryScale | undefined {
    const { config } = this;
    const rope = isObject(config.rope_parameters) ? config.rope_parameters : config.rope_scaling;
    if (isObject(rope) && typeof rope.llama_4_scaling_beta === "number")
      return ministralTemperature({
        originalMaxPositionEmbeddings: rope.original_max_position_embeddings as number,
        beta: rope.llama_4_scaling_beta,
      });
    const tuned = config.attn_temperature_tuning;
    if (hasPositions || !this.modelType.startsWith("llama4") || tuned === false || tuned === 0) return undefined;
    return llama4Temperature({ floorScale: this.number("floor_scale"), attentionScale: this.number("attn_scale") });
  }
}

/**
 * What each layer of a config.json has: frequencies or none, window or chunk, factor on queries. Reads layer_types,
 * sliding_window (which counts the own token) with sliding_window_pattern or max_window_layers, no_rope_layers and
 * no_rope_layer_interval, attention_chunk_size, Llama 4's temperature and Ministral's. Throws ArgumentError.
 */
export function layersFromConfig(
  config: Values,
  options: { seqLen?: number | undefined } = {},
): LayerPositions<ConfigRotary>[] {
  const op = "positions.layersFromConfig";
  const { seqLen } = checkedOptions(op, options, ["seqLen"]);
  if (!isObject(config)) wrongArgument(op, "config", "the object of a config.json", config);
  const reader = new LayerReader(config, op);
  const named = ropeLayerTypes(config);
  const made = new Map<LayerKind, ConfigRotary>();
  const rotaryOf = (kind: LayerKind) => {
    const layerType = named && !named.includes(kind) ? undefined : kind;
    const rotary = made.get(kind) ?? fromConfig(config, { seqLen, layerType });
    made.set(kind, rotary);
    return rotary;
  };
  return Array.from({ length: reader.numLayers }, (_, layer) => {
    const kind = reader.kind(layer);
    const hasPositions = reader.hasPositions(layer, kind);
    const window = kind === "sliding_attention" ? reader.whole("sliding_window") : undefined;
    const chunk = kind === "chunked_attention" ? (reader.whole("attention_chunk_size") ?? 8192) : undefined;
    const queryScale = reader.queryScale(hasPositions);
    return {
      rotary: hasPositions ? rotaryOf(kind) : undefined,
      ...(window !== undefined && { window: window - 1 }),
      ...(chunk !== undefined && { chunk }),
      ...(queryScale && { queryScale }),
    };
  });
}

export interface HwfaOptions {
  numLayers: number;
  /** N. */
  trainedLength: number;
  rotaryDim: number;
  theta?: number | undefined;
  /** w: tokens that the window layers see, the own one counted; by default the most that reach ¾ N together. */
  window?: number | undefined;
}
/**
 * HWFA (Su, kexue.fm 9603): all layers but the last have RoPE and a window w with (w − 1)(numLayers − 1) + 1 ≤ ¾ N, the last
 * sees everything, knows no positions and has log-n. To train with.
 */
export function hwfa(options: HwfaOptions): LayerPositions[] {
  const op = "positions.hwfa";
  const names = ["numLayers", "trainedLength", "rotaryDim", "theta", "window"];
  const { numLayers, trainedLength, rotaryDim, theta, window } = checkedOptions(op, options, names);
  const count = checkedNumber(op, "numLayers", numLayers ?? Number.NaN, { integer: true, min: 2 })!;
  const length = checkedNumber(op, "trainedLength", trainedLength ?? Number.NaN, { min: 1, above: true })!;
  const widest = Math.max(1, Math.floor((0.75 * length - 1) / (count - 1)) + 1);
  const size = checkedNumber(op, "window", window, { integer: true, min: 1 }) ?? widest;
  const local = { rotary: plain({ rotaryDim: rotaryDim!, theta }), window: size - 1 };
  const last = { rotary: undefined, queryScale: logN({ trainedLength: length, clipped: false }) };
  return [...Array<LayerPositions>(count - 1).fill(local), last];
}
