// Position Interpolation: Chen et al. 2023, "Extending Context Window of Large Language Models via Positional
// Interpolation". Every frequency is divided by `factor`, as if positions were squeezed into the trained length.
import { type PositionScheme, plainFrequencies, type RopeOptions, type RotaryInput, schemeFunction } from "./scheme.js";

function factorOf({ parameters, seqLen = 0, originalMaxPositionEmbeddings }: RotaryInput): number {
  if (!parameters.boolean("dynamic", false)) return parameters.positive("factor");
  if (originalMaxPositionEmbeddings > 0) return Math.max(1, seqLen / originalMaxPositionEmbeddings);
  return parameters.wrong("original_max_position_embeddings", "a number above 0 with dynamic");
}

export const linearScheme: PositionScheme = {
  parameters: ["factor", "dynamic", "original_max_position_embeddings"],
  inputs: ["seq_len"],
  lengthDependent: (parameters) => parameters.boolean("dynamic", false),
  rotary(input) {
    const factor = factorOf(input);
    return {
      frequencies: plainFrequencies(input.rotaryDim, input.theta).map((frequency) => frequency / factor),
      attentionScale: 1,
    };
  },
};

export interface LinearOptions extends RopeOptions {
  /** Longest length over trained length. Needed without `dynamic`. */
  factor?: number | undefined;
  /** The factor is max(1, seqLen / originalMaxPositionEmbeddings) instead ("dynamic linear" of the YaRN repository). */
  dynamic?: boolean | undefined;
  originalMaxPositionEmbeddings?: number | undefined;
  seqLen?: number | undefined;
}
/**
 * Position Interpolation, rope_type "linear": plain frequencies / factor. Chen et al. 2023. Worse than nothing before the
 * model was fine-tuned with it.
 */
export const linear = schemeFunction<LinearOptions>("linear", linearScheme);
