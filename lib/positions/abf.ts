// Adjusted base frequency: Xiong et al. 2023, "Effective Long-Context Scaling of Foundation Models". Plain RoPE with a
// larger base (10,000 became 500,000), for models that were trained on with it.
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const abfScheme: PositionScheme = {
  parameters: [], // but rope_theta, which every scheme takes, must be given
  rotary: ({ rotaryDim, parameters }) => ({
    frequencies: plainFrequencies(rotaryDim, parameters.positive("rope_theta")),
    attentionScale: 1,
  }),
};

export interface AbfOptions extends RopeOptions {
  /** The new base: 500,000 in the paper and Llama 3, 1,000,000 in Code Llama and Qwen2.5. */
  theta: number;
}
/** Adjusted base frequency: plain RoPE with a larger base, which must be given. Xiong et al. 2023. */
export const abf = schemeFunction<AbfOptions>("abf", abfScheme);
