// The scaling of Llama 3.1 (Meta, llama-models): short wavelengths stay, long ones are divided by `factor`, those in
// between are blended by how often they turn within the original length.
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const llama3Scheme: PositionScheme = {
  parameters: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  inputs: ["original_max_position_embeddings"],
  rotary({ rotaryDim, theta, originalMaxPositionEmbeddings, parameters }) {
    const factor = parameters.positive("factor");
    const low = parameters.positive("low_freq_factor");
    const high = parameters.positive("high_freq_factor");
    const scaled = (frequency: number) => {
      const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
      if (turns > high) return frequency;
      if (turns < low || low === high) return frequency / factor;
      const blend = (turns - low) / (high - low);
      return ((1 - blend) * frequency) / factor + blend * frequency;
    };
    return { frequencies: plainFrequencies(rotaryDim, theta).map(scaled), attentionScale: 1 };
  },
};

export interface Llama3Options extends RopeOptions {
  /** 8 in Llama 3.1, 32 in Llama 3.2. */
  factor: number;
  /** Pairs that turn less often within the original length are divided by `factor`; 1 in Llama 3. */
  lowFreqFactor: number;
  /** Pairs that turn more often stay; 4 in Llama 3. */
  highFreqFactor: number;
  /** 8192 in Llama 3. */
  originalMaxPositionEmbeddings: number;
}
/** Llama 3.1's scaling, rope_type "llama3": NTK-by-parts with a ramp in turns. Meta, llama-models. */
export const llama3 = schemeFunction<Llama3Options>("llama3", llama3Scheme);
