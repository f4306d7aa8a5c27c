// Frequencies with a divisor each, whatever the length: what a GGUF file keeps as rope_freqs.weight (Llama 3's scaling,
// computed beforehand).
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const divisorsScheme: PositionScheme = {
  parameters: ["divisors", "attention_factor"],
  rotary({ rotaryDim, theta, parameters }) {
    const divisors = parameters.list("divisors", rotaryDim / 2);
    return {
      frequencies: plainFrequencies(rotaryDim, theta).map((frequency, k) => frequency / divisors[k]!),
      attentionScale: parameters.positive("attention_factor", 1),
    };
  },
};

export interface DivisorsOptions extends RopeOptions {
  /** [rotaryDim / 2] */
  divisors: ArrayLike<number>;
  /** The result's attentionScale; 1 if absent. */
  attentionFactor?: number | undefined;
}
/** Plain frequencies / divisors: rope_freqs.weight of a GGUF file. */
export const divisors = schemeFunction<DivisorsOptions>("divisors", divisorsScheme);
