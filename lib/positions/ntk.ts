// NTK-aware scaling: bloc97 2023, and in Peng et al. 2023 (YaRN), definition 1. High frequencies stay, the lowest is
// divided by `factor`: as if the base were larger. With Su's two variants (kexue.fm 9706): every digit, also the first, is
// interpolated ("fixed"), and more so the lower its frequency ("mixed"). They need no training.
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

/**
 * theta · factor^(rotaryDim / (rotaryDim − 2)). With two dims there is one pair, which turns by 1 whatever the base is.
 */
export function ntkTheta(rotaryDim: number, theta: number, factor: number): number {
  return rotaryDim > 2 ? theta * factor ** (rotaryDim / (rotaryDim - 2)) : theta;
}

export const ntkScheme: PositionScheme = {
  parameters: ["factor", "alpha"],
  rotary({ rotaryDim, theta, parameters }) {
    const factor = parameters.positive(parameters.has("alpha") ? "alpha" : "factor");
    return { frequencies: plainFrequencies(rotaryDim, ntkTheta(rotaryDim, theta, factor)), attentionScale: 1 };
  },
};

/** Frequency k is divided by exp(a · (k + 1)^exponent), which is `factor` at the last. */
function mixed(rotaryDim: number, theta: number, factor: number, exponent: number) {
  const a = Math.log(factor) / (rotaryDim / 2) ** exponent;
  const frequencies = plainFrequencies(rotaryDim, theta).map((x, k) => x * Math.exp(-a * (k + 1) ** exponent));
  return { frequencies, attentionScale: 1 };
}

export const ntkFixedScheme: PositionScheme = {
  parameters: ["factor"],
  rotary: ({ rotaryDim, theta, parameters }) => mixed(rotaryDim, theta, parameters.positive("factor"), 1),
};

export const ntkMixedScheme: PositionScheme = {
  parameters: ["factor", "exponent"],
  rotary: ({ rotaryDim, theta, parameters }) =>
    mixed(rotaryDim, theta, parameters.positive("factor"), parameters.positive("exponent", 0.625)),
};

export interface NtkOptions extends RopeOptions {
  /** Longest length over trained length; a little more in practice. */
  factor?: number | undefined;
  /** The same by the name that Hunyuan gives it. */
  alpha?: number | undefined;
}
/** NTK-aware scaling: plain RoPE with the base theta · factor^(d / (d − 2)), d = rotaryDim. bloc97 2023. */
export const ntk = schemeFunction<NtkOptions>("ntk", ntkScheme);

export interface NtkFixedOptions extends RopeOptions {
  factor: number;
}
/** NTK-RoPE-fixed: frequency k is divided by factor^(2 (k + 1) / rotaryDim). Su, kexue.fm 9706. */
export const ntkFixed = schemeFunction<NtkFixedOptions>("ntkFixed", ntkFixedScheme);

export interface NtkMixedOptions extends NtkFixedOptions {
  /** 0.625 in the post and if absent, 0.75 in the repository bojone/rerope. */
  exponent?: number | undefined;
}
/**
 * NTK-RoPE-mixed: frequency k is divided by exp(a (k + 1)^exponent), a = ln factor / (rotaryDim / 2)^exponent. Su,
 * kexue.fm 9706.
 */
export const ntkMixed = schemeFunction<NtkMixedOptions>("ntkMixed", ntkMixedScheme);
