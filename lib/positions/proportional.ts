// p-RoPE: Barbero et al. 2024, "Round and Round We Go! What makes Rotary Positional Encodings useful?". The lowest
// frequencies are 0: those pairs carry content, not position. Not partial rotary: exponents and pairs are of the whole head.
import { type PositionScheme, type RopeOptions, schemeFunction } from "./scheme.js";

export const proportionalScheme: PositionScheme = {
  parameters: ["factor"],
  wholeHead: true,
  rotary({ headDim, partialRotaryFactor, theta, parameters }) {
    const factor = parameters.positive("factor", 1);
    const turning = Math.floor((partialRotaryFactor * headDim) / 2);
    const frequencies = Float64Array.from({ length: headDim / 2 }, (_, k) =>
      k < turning ? theta ** ((-2 * k) / headDim) / factor : 0,
    );
    return { frequencies, attentionScale: 1 };
  },
};

export interface ProportionalOptions extends Omit<RopeOptions, "rotaryDim"> {
  headDim: number;
  /** Share p of the pairs that turn; 1 if absent, 0.25 in Gemma 4. */
  partialRotaryFactor?: number | undefined;
  /** Divides every frequency; 1 if absent. */
  factor?: number | undefined;
}
/** p-RoPE, rope_type "proportional": frequency k is theta^(−2k / headDim) for k < ⌊p · headDim / 2⌋, else 0. */
export const proportional = schemeFunction<ProportionalOptions>("proportional", proportionalScheme);
