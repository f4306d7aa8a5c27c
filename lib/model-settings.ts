// What a caller may change about a loaded model, for all of it or for one context: the position scheme and what each
// token sees. Weights are not touched.
import type { LayerAttention } from "./model-attention.js";
import { type DecoderConfig, ropesOf, rotariesOf } from "./models/index.js";
import { checkedFunction, checkedNumber, checkedOptions, closest, wrongArgument } from "./options.js";
import { ArgumentError } from "./errors.js";
import { Pattern } from "./patterns/index.js";
import {
  isLengthDependent,
  type ParameterFault,
  positionScheme,
  type QueryScale,
  type RopeConfig,
  ropeTypeOf,
  type Rotary,
  snakeCase,
} from "./positions/index.js";

/**
 * As rope_scaling or rope_parameters of config.json, in its spelling or in camelCase: rope_type and the parameters of the
 * scheme (lib/positions). null, or type "default", for none. Where types of layers have their own positions, it is for the
 * layers of full attention.
 */
export type RopeScaling = { [name: string]: unknown } | null;

export interface AttentionSettings {
  /** Keys before the own position that a token sees, in every layer; null: all. Absent: as the model says. */
  window?: number | { before: number } | null | undefined;
  /**
   * First tokens that stay visible behind the window, at the distances they have in StreamingLLM's cache (Xiao et al.
   * 2023): never more than sinks + window. `pattern: patterns.sinks(…)` leaves them at their true distances.
   */
  sinks?: number | undefined;
  /** Any pattern of `patterns`, in every layer, instead of window and sinks. It should let no token see a later one. */
  pattern?: Pattern | undefined;
  /** A factor on each query by its position, in every layer: positions.logN and its kin. */
  queryScale?: QueryScale | undefined;
}

export interface ModelSettings {
  ropeScaling?: RopeScaling | undefined;
  attention?: AttentionSettings | null | undefined;
}

/** Concrete settings of one context. */
export interface PassSettings {
  /** Of each layer. */
  rotary: readonly Rotary[];
  attention: LayerAttention[];
  queryScale?: QueryScale | undefined;
  /** The same for another number of tokens; undefined where that changes nothing. */
  atLength?: ((seqLen: number) => PassSettings) | undefined;
}

function checkedScaling(op: string, given: object): { ropeType: string; parameters: Record<string, unknown> } {
  const parameters = Object.fromEntries(Object.entries(given).map(([name, value]) => [snakeCase(name), value]));
  const ropeType = ropeTypeOf(parameters, faultOf(op));
  const known = ["rope_type", "type", "rope_theta", "partial_rotary_factor", ...positionScheme(ropeType).parameters];
  for (const name of Object.keys(parameters)) {
    if (known.includes(name)) continue;
    const near = closest(name, known);
    throw new ArgumentError(
      `${op}: ropeScaling of type "${ropeType}" has no "${name}"${near ? `; did you mean "${near}"? It` : "; it"} takes ${known.join(", ")}`,
      { op, argument: `ropeScaling.${name}` },
    );
  }
  return { ropeType, parameters };
}

function faultOf(op: string): ParameterFault {
  return (name, expected, actual) => wrongArgument(op, `ropeScaling.${name}`, expected, actual);
}

/** The positions of each layer: config.json's, or `given` where the layer has full attention or all layers are alike. */
function scaledRopes(op: string, config: DecoderConfig, given: RopeScaling | undefined): RopeConfig[] {
  const own = ropesOf(config);
  if (given === undefined) return own;
  if (given !== null && (typeof given !== "object" || Array.isArray(given)))
    wrongArgument(op, "ropeScaling", 'an object such as {rope_type: "linear", factor: 4}', given);
  const { ropeType, parameters } = checkedScaling(op, given ?? {});
  const number = (name: string, max?: number) =>
    checkedNumber(op, `ropeScaling.${name}`, parameters[name], { min: 0, above: true, ...(max && { max }) });
  const scaled = {
    ropeType,
    theta: number("rope_theta") ?? config.rope.theta,
    partialRotaryFactor: number("partial_rotary_factor", 1) ?? config.rope.partialRotaryFactor,
    originalMaxPositionEmbeddings:
      number("original_max_position_embeddings") ?? config.rope.originalMaxPositionEmbeddings,
    parameters,
  };
  return own.map((rope) => (rope === config.rope ? scaled : rope));
}

function checkedAttention(op: string, given: AttentionSettings | null | undefined): AttentionSettings {
  if (given === null || given === undefined) return {};
  const names = ["window", "sinks", "pattern", "queryScale"];
  const { window, sinks, pattern, queryScale } = checkedOptions(`${op}: attention`, given, names);
  checkedFunction(op, "attention.queryScale", queryScale);
  if (pattern !== undefined && !(pattern instanceof Pattern))
    wrongArgument(op, "attention.pattern", "a pattern made by `patterns`", pattern);
  if (pattern?.facts.byLength || pattern?.facts.lengths)
    wrongArgument(
      op,
      "attention.pattern",
      "a pattern by position: a context grows, this one is for one length",
      pattern,
    );
  if (pattern && (window !== undefined || sinks !== undefined))
    wrongArgument(op, "attention.pattern", "either pattern, or window and sinks", given);
  const before = typeof window === "object" && window !== null ? window.before : window;
  if (before !== null) checkedNumber(op, "attention.window", before, { integer: true, min: 0 });
  checkedNumber(op, "attention.sinks", sinks, { integer: true, min: 0 });
  return { window: before, sinks, pattern, queryScale };
}

function layerAttention(before: number | null, sinks: number): LayerAttention {
  if (before === null) return { causal: true };
  return { causal: true, window: { before, after: 0 }, sinks };
}

/** Checks the settings and makes them concrete; `seqLen` is the length a context is made for. */
export function passSettings(
  op: string,
  config: DecoderConfig,
  settings: ModelSettings,
  seqLen?: number,
): PassSettings {
  const ropes = scaledRopes(op, config, settings.ropeScaling);
  const fault = faultOf(op);
  const { window, sinks = 0, pattern, queryScale } = checkedAttention(op, settings.attention);
  const attention = config.windows.map((own) =>
    pattern ? { pattern } : layerAttention(window === undefined ? own : (window as number | null), sinks),
  );
  const isLengthBound = ropes.some((rope) => isLengthDependent(rope, fault));
  const atLength = (length?: number): PassSettings => {
    const rotary = rotariesOf(config, ropes, fault, length);
    return { rotary, attention, queryScale, ...(isLengthBound && { atLength }) };
  };
  const made = atLength(seqLen);
  if (sinks > 0 && made.rotary.some(({ distances }) => distances))
    wrongArgument(
      op,
      "attention.sinks",
      "none beside a ropeScaling that sets distances (lm_infinite has sinks)",
      sinks,
    );
  return made;
}
