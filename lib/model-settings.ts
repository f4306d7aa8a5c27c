// What a caller may change about a loaded model, for all of it or for one context: the position scheme and what each
// token sees. Weights are not touched.
import type { CacheAttentionOptions } from "./cache/kv-cache.js";
import { type DecoderConfig, type RopeConfig, rotaryOf } from "./models/index.js";
import { checkedNumber, checkedOptions, closest, wrongArgument } from "./options.js";
import { ArgumentError } from "./errors.js";
import { Pattern, patterns } from "./patterns/index.js";
import { positionScheme, type Rotary } from "./positions/index.js";

/** As rope_scaling of config.json, in its spelling or in camelCase; null, or type "default", for none. */
export type RopeScaling = { [name: string]: unknown } | null;

export interface AttentionSettings {
  /** Keys before the own position that a token sees, in every layer; null: all. Absent: as the model says. */
  window?: number | { before: number } | null | undefined;
  /** First tokens that stay visible behind the window (StreamingLLM, Xiao et al. 2023). */
  sinks?: number | undefined;
  /** Any pattern of `patterns`, in every layer, instead of window and sinks. It should let no token see a later one. */
  pattern?: Pattern | undefined;
}

export interface ModelSettings {
  ropeScaling?: RopeScaling | undefined;
  attention?: AttentionSettings | null | undefined;
}

/** Concrete settings of one context. */
export interface PassSettings {
  rotary: Rotary;
  attention: CacheAttentionOptions[];
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function scaledRope(op: string, config: DecoderConfig, given: RopeScaling | undefined): RopeConfig {
  if (given === undefined) return config.rope;
  if (given !== null && (typeof given !== "object" || Array.isArray(given)))
    wrongArgument(op, "ropeScaling", 'an object such as {rope_type: "linear", factor: 4}', given);
  const parameters = Object.fromEntries(Object.entries(given ?? {}).map(([name, value]) => [snakeCase(name), value]));
  const ropeType = parameters.rope_type ?? parameters.type ?? "default";
  if (typeof ropeType !== "string") wrongArgument(op, "ropeScaling.rope_type", "a string", ropeType);
  const known = ["rope_type", "type", "rope_theta", "partial_rotary_factor", ...positionScheme(ropeType).parameters];
  for (const name of Object.keys(parameters)) {
    if (known.includes(name)) continue;
    const near = closest(name, known);
    throw new ArgumentError(
      `${op}: ropeScaling of type "${ropeType}" has no "${name}"${near ? `; did you mean "${near}"? It` : "; it"} takes ${known.join(", ")}`,
      { op, argument: `ropeScaling.${name}` },
    );
  }
  const theta = checkedNumber(op, "ropeScaling.rope_theta", parameters.rope_theta, { min: 0, above: true });
  const partial = parameters.partial_rotary_factor;
  return {
    ropeType,
    theta: theta ?? config.rope.theta,
    partialRotaryFactor:
      checkedNumber(op, "ropeScaling.partial_rotary_factor", partial, { min: 0, above: true, max: 1 }) ??
      config.rope.partialRotaryFactor,
    parameters,
  };
}

function checkedAttention(op: string, given: AttentionSettings | null | undefined): AttentionSettings {
  if (given === null || given === undefined) return {};
  const { window, sinks, pattern } = checkedOptions(`${op}: attention`, given, ["window", "sinks", "pattern"]);
  if (pattern !== undefined && !(pattern instanceof Pattern))
    wrongArgument(op, "attention.pattern", "a pattern made by `patterns`", pattern);
  if (pattern && (window !== undefined || sinks !== undefined))
    wrongArgument(op, "attention.pattern", "either pattern, or window and sinks", given);
  const before = typeof window === "object" && window !== null ? window.before : window;
  if (before !== null) checkedNumber(op, "attention.window", before, { integer: true, min: 0 });
  return { window: before, sinks: checkedNumber(op, "attention.sinks", sinks, { integer: true, min: 0 }), pattern };
}

function layerAttention(before: number | null, sinks: number): CacheAttentionOptions {
  if (before === null) return { causal: true };
  if (sinks > 0) return { pattern: patterns.sinks({ tokens: sinks, window: before }) };
  return { causal: true, window: { before, after: 0 } };
}

/** Checks the settings and makes them concrete; `seqLen` is the length a context is made for. */
export function passSettings(
  op: string,
  config: DecoderConfig,
  settings: ModelSettings,
  seqLen?: number,
): PassSettings {
  const rope = scaledRope(op, config, settings.ropeScaling);
  const fault = (name: string, expected: string, actual: unknown) =>
    wrongArgument(op, `ropeScaling.${name}`, expected, actual);
  const { window, sinks = 0, pattern } = checkedAttention(op, settings.attention);
  return {
    rotary: rotaryOf(config, rope, fault, seqLen),
    attention: config.windows.map((own) =>
      pattern ? { pattern } : layerAttention(window === undefined ? own : (window as number | null), sinks),
    ),
  };
}
