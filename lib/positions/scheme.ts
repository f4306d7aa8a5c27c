// A position scheme: how far each pair of dimensions turns per position. Pure functions in float64, so that the tables
// stay exact at a million tokens; the kernel gets the numbers and knows no scheme. A scheme is written once and is met in
// two ways: as a rope_type of config.json or ropeScaling, and as a typed function of the namespace `positions`.
import { checkedOptions, wrongArgument } from "../options.js";
import type { DistanceMap } from "./distance-map.js";

export interface RotaryInput {
  headDim: number;
  /** Rotated dims of a head: headDim · partial_rotary_factor, truncated. */
  rotaryDim: number;
  partialRotaryFactor: number;
  theta: number;
  maxPositionEmbeddings: number;
  /** Trained length for llama3 and its kin: original_max_position_embeddings, else max_position_embeddings. */
  originalMaxPositionEmbeddings: number;
  /** Tokens to be seen, for schemes that depend on the length; undefined: no more than the model was trained on. */
  seqLen?: number | undefined;
  parameters: SchemeParameters;
}

/** What `rope` takes. */
export interface Rotary {
  /** [rotaryDim / 2] radians per position. */
  frequencies: Float64Array;
  /** Factor on the rotated dims of q and of k; the logits get its square. */
  attentionScale: number;
  /** Where pairs of query and key do not stand as in the text. */
  distances?: DistanceMap | undefined;
}

/** What a scheme's function takes besides its parameters, as config.json spells them. */
export type SchemeInput = "max_position_embeddings" | "original_max_position_embeddings" | "seq_len";

export interface PositionScheme {
  /** Names of its parameters, as config.json spells them. */
  parameters: readonly string[];
  inputs?: readonly SchemeInput[];
  /** Whether the frequencies depend on seqLen: keys in a cache are then right for one length only. */
  lengthDependent?: (parameters: SchemeParameters) => boolean;
  /** Its frequencies cover the whole head, whatever partial_rotary_factor is. */
  wholeHead?: boolean;
  rotary(input: RotaryInput): Rotary;
}

export type ParameterFault = (name: string, expected: string, actual: unknown) => never;

/** A scheme's parameters by their names in config.json; a bad one is reported by `fault`. null counts as absent. */
export class SchemeParameters {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #fault: ParameterFault;

  constructor(values: Readonly<Record<string, unknown>>, fault: ParameterFault) {
    this.#values = values;
    this.#fault = fault;
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null;
  }
  wrong(name: string, expected: string): never {
    const fault: ParameterFault = this.#fault;
    return fault(name, expected, this.#values[name]);
  }
  positive(name: string, fallback?: number): number {
    const value = this.#values[name] ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return this.wrong(name, "a number above 0");
  }
  /** A whole number above 0. */
  whole(name: string, fallback?: number): number {
    const value = this.#values[name] ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < 2 ** 30) return value as number;
    return this.wrong(name, "a whole number above 0");
  }
  /** Where 0 means absent, as in transformers. */
  positiveOr<T>(name: string, fallback: T): number | T {
    return this.has(name) && this.#values[name] !== 0 ? this.positive(name) : fallback;
  }
  boolean(name: string, fallback: boolean): boolean {
    const value = this.#values[name] ?? fallback;
    return typeof value === "boolean" ? value : this.wrong(name, "true or false");
  }
  choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const value = this.#values[name] ?? choices[0];
    if (choices.includes(value as T)) return value as T;
    return this.wrong(name, `one of ${choices.map((choice) => `"${choice}"`).join(", ")}`);
  }
  /** `length` numbers above 0. */
  list(name: string, length: number): Float64Array {
    return this.#positives(name, this.#values[name], length);
  }
  /** Lists of `length` numbers above 0, at least one. */
  lists(name: string, length: number): Float64Array[] {
    const value = this.#values[name];
    if (!Array.isArray(value) || value.length === 0) return this.wrong(name, `lists of ${length} numbers above 0`);
    return value.map((item) => this.#positives(name, item, length));
  }

  #positives(name: string, value: unknown, length: number): Float64Array {
    const isList = Array.isArray(value) || value instanceof Float32Array || value instanceof Float64Array;
    const numbers = isList ? Array.from(value as ArrayLike<unknown>) : [];
    const good = numbers.every((item) => typeof item === "number" && Number.isFinite(item) && item > 0);
    if (isList && good && numbers.length === length) return Float64Array.from(numbers as number[]);
    return this.wrong(name, `a list of ${length} numbers above 0, one for each pair of rotated dims`);
  }
}

/** theta^(−2k / rotaryDim), Su et al. 2021 (RoFormer). */
export function plainFrequencies(rotaryDim: number, theta: number): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, k) => theta ** ((-2 * k) / rotaryDim));
}

/** What every function of a scheme takes. */
export interface RopeOptions {
  /** Dims of a head that rotate, even: headDim · partial_rotary_factor, truncated. */
  rotaryDim: number;
  /** Base b of the frequencies b^(−2k / rotaryDim); 10000 if absent. */
  theta?: number | undefined;
}

export const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
export const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The typed function of a scheme: options in camelCase, checked as config.json's parameters are. */
export function schemeFunction<Options extends object, Made extends Rotary = Rotary>(
  name: string,
  scheme: PositionScheme,
): (options: Options) => Made {
  const op = `positions.${name}`;
  const width = scheme.wholeHead ? "headDim" : "rotaryDim";
  const own = [...(scheme.inputs ?? []), ...scheme.parameters].map(camelCase);
  const known = [...new Set([width, "theta", ...(scheme.wholeHead ? ["partialRotaryFactor"] : []), ...own])];
  return (options) => {
    const given = checkedOptions<Record<string, unknown>>(op, options as Record<string, unknown>, known);
    const values = Object.fromEntries(Object.entries(given).map(([key, value]) => [snakeCase(key), value]));
    const parameters = new SchemeParameters({ ...values, rope_theta: values.theta }, (parameter, expected, actual) =>
      wrongArgument(op, parameter === "rope_theta" ? "theta" : camelCase(parameter), expected, actual),
    );
    const rotaryDim = parameters.positive(snakeCase(width));
    if (!Number.isSafeInteger(rotaryDim) || rotaryDim % 2)
      parameters.wrong(snakeCase(width), "an even integer above 0");
    const length = (key: SchemeInput) => (parameters.has(key) ? parameters.positive(key) : undefined);
    const original = length("original_max_position_embeddings");
    const longest = length("max_position_embeddings");
    const trained = original ?? longest;
    const needed = scheme.inputs?.find((input) => input !== "seq_len");
    if (needed && trained === undefined) parameters.wrong(needed, "a number above 0");
    const partial = parameters.positive("partial_rotary_factor", 1);
    if (partial > 1) parameters.wrong("partial_rotary_factor", "a number in (0, 1]");
    return scheme.rotary({
      headDim: rotaryDim,
      rotaryDim,
      partialRotaryFactor: partial,
      theta: parameters.positive("rope_theta", 10000),
      maxPositionEmbeddings: longest ?? trained ?? 0,
      originalMaxPositionEmbeddings: trained ?? 0,
      seqLen: length("seq_len"),
      parameters,
    }) as Made;
  };
}
