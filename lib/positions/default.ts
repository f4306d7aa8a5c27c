// RoPE as trained: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
import { type PositionScheme, plainFrequencies } from "./scheme.js";

export const plain: PositionScheme = {
  parameters: [],
  rotary: ({ rotaryDim, theta }) => ({ frequencies: plainFrequencies(rotaryDim, theta), attentionScale: 1 }),
};
