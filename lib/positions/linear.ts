// Position Interpolation: Chen et al. 2023, "Extending Context Window of Large Language Models via Positional
// Interpolation". Every frequency is divided by `factor`, as if positions were squeezed into the trained length.
import { type PositionScheme, plainFrequencies } from "./scheme.js";

export const linear: PositionScheme = {
  parameters: ["factor"],
  rotary({ rotaryDim, theta, parameters }) {
    const factor = parameters.positive("factor");
    return {
      frequencies: plainFrequencies(rotaryDim, theta).map((frequency) => frequency / factor),
      attentionScale: 1,
    };
  },
};
