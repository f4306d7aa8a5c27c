// xPos: Sun et al. 2022, "A Length-Extrapolatable Transformer". RoPE whose pairs also decay with the distance: q grows and
// k shrinks with the position, each pair at its own rate, so that their product carries ζ^(distance / scaleBase). For
// causal attention of models trained with it.
import { checkedNumber, checkedOptions } from "../options.js";
import { plain } from "./default.js";
import type { RopeOptions, Rotary } from "./scheme.js";

export interface XposOptions extends RopeOptions {
  /** Distance over which a pair decays by its ζ; 512 if absent. */
  scaleBase?: number | undefined;
  /** 0.4 if absent. */
  gamma?: number | undefined;
  /** Position at which the magnitudes are 1; any, but the same for q and k. It keeps them finite; 0 if absent. */
  center?: number | undefined;
}

export interface Xpos extends Rotary {
  /** [rotaryDim / 2] ζ_k = (2k + γ d) / ((1 + γ) d), d = rotaryDim. */
  decays: Float64Array;
  /** [rotaryDim / 2] factors of the pairs of a query, to be applied after the rotation. */
  queryMagnitudes(position: number): Float64Array;
  /** Those of a key: 1 / the query's. */
  keyMagnitudes(position: number): Float64Array;
}

/**
 * xPos: plain RoPE, then pair k of q × ζ_k^((p − center) / scaleBase) and of k × its inverse. Weights trained with it lay
 * pairs out as "interleaved". float32 holds magnitudes up to about 36,000 positions from the center.
 */
export function xpos(options: XposOptions): Xpos {
  const op = "positions.xpos";
  const names = ["rotaryDim", "theta", "scaleBase", "gamma", "center"];
  const { scaleBase, gamma: givenGamma, center, ...rope } = checkedOptions(op, options, names) as XposOptions;
  const base = checkedNumber(op, "scaleBase", scaleBase, { min: 0, above: true }) ?? 512;
  const gamma = checkedNumber(op, "gamma", givenGamma, { min: 0 }) ?? 0.4;
  const origin = checkedNumber(op, "center", center, {}) ?? 0;
  const { frequencies, attentionScale } = plain(rope);
  const width = rope.rotaryDim;
  const decays = frequencies.map((_, k) => (2 * k + gamma * width) / ((1 + gamma) * width));
  const magnitudes = (steps: number) => decays.map((decay) => decay ** (steps / base));
  return {
    frequencies,
    attentionScale,
    decays,
    queryMagnitudes: (position) => magnitudes(position - origin),
    keyMagnitudes: (position) => magnitudes(origin - position),
  };
}
