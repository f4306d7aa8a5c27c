// RoPE as trained: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const plainScheme: PositionScheme = {
  parameters: [],
  rotary: ({ rotaryDim, theta }) => ({ frequencies: plainFrequencies(rotaryDim, theta), attentionScale: 1 }),
};

/** Plain RoPE, rope_type "default": frequency k is theta^(−2k / rotaryDim). Su et al. 2021 (RoFormer). */
export const plain = schemeFunction<RopeOptions>("plain", plainScheme);
