// The scaling of Llama 3.1 (Meta, llama-models): short wavelengths stay, long ones are divided by `factor`, those in
// between are blended by how often they turn within the original length.
import { type PositionScheme, plainFrequencies } from "./scheme.js";

export const llama3: PositionScheme = {
  parameters: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
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
