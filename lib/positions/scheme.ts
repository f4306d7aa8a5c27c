// A position scheme: how far each pair of dimensions turns per position. Pure functions in float64, so that the tables
// stay exact at a million tokens; the kernel gets the numbers and knows no scheme.

export interface RotaryInput {
  /** Rotated dims of a head: headDim · partial_rotary_factor, truncated. */
  rotaryDim: number;
  theta: number;
  maxPositionEmbeddings: number;
  /** Trained length for llama3 and its kin: original_max_position_embeddings, else max_position_embeddings. */
  originalMaxPositionEmbeddings: number;
  /** Tokens to be seen, for schemes that depend on the length. */
  seqLen?: number | undefined;
  parameters: SchemeParameters;
}

export interface Rotary {
  /** [rotaryDim / 2] radians per position. */
  frequencies: Float64Array;
  /** Factor on the rotated dims of q and of k. */
  attentionScale: number;
}

export interface PositionScheme {
  /** Names of its parameters, as config.json spells them. */
  parameters: readonly string[];
  rotary(input: RotaryInput): Rotary;
}

export type ParameterFault = (name: string, expected: string, actual: unknown) => never;

/** A scheme's parameters by their names in config.json; a bad one is reported by `fault`. */
export class SchemeParameters {
  readonly #values: Record<string, unknown>;
  readonly #fault: ParameterFault;

  constructor(values: Record<string, unknown>, fault: ParameterFault) {
    this.#values = values;
    this.#fault = fault;
  }

  positive(name: string): number {
    const value = this.#values[name];
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return this.#fault(name, "a number above 0", value);
  }
}

/** theta^(−2k / rotaryDim), Su et al. 2021 (RoFormer). */
export function plainFrequencies(rotaryDim: number, theta: number): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, k) => theta ** ((-2 * k) / rotaryDim));
}
