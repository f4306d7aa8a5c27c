// Giraffe: Pal et al. 2023, "Giraffe: Adventures in Expanding Context Lengths in LLMs". The power basis slows low
// frequencies most; the truncated basis stops the lowest and makes those above them one constant. Both need fine-tuning.
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const giraffeScheme: PositionScheme = {
  parameters: ["factor", "power", "truncate", "cutoff_low", "cutoff_high", "cutoff_value"],
  rotary({ rotaryDim, theta, parameters }) {
    const factor = parameters.positive("factor", 1);
    const power = parameters.has("power") ? parameters.positive("power") : 0;
    const pairs = rotaryDim / 2;
    const scaled = plainFrequencies(rotaryDim, theta).map((x, k) => (x / factor) * (1 - k / pairs) ** power);
    if (!parameters.has("truncate") && !parameters.has("cutoff_high"))
      return { frequencies: scaled, attentionScale: 1 };
    const ofLength = parameters.has("truncate") ? (2 * Math.PI) / parameters.positive("truncate") : undefined;
    const high = parameters.positive("cutoff_high", ofLength);
    const low = parameters.positive("cutoff_low", high / 8);
    const value = parameters.positive("cutoff_value", high / 16);
    if (low > high) parameters.wrong("cutoff_low", `a number up to cutoff_high = ${high}`);
    const frequencies = scaled.map((x) => (x >= high ? x : x >= low ? value : 0));
    return { frequencies, attentionScale: 1 };
  },
};

export interface GiraffeOptions extends RopeOptions {
  /** Divides every frequency, first; 1 if absent. */
  factor?: number | undefined;
  /** p of the power basis; none if absent. */
  power?: number | undefined;
  /** N of the repository's truncated basis: cutoffHigh = 2π / N, cutoffLow = cutoffHigh / 8, cutoffValue = cutoffHigh / 16. */
  truncate?: number | undefined;
  /** Frequencies from here on stay. */
  cutoffHigh?: number | undefined;
  /** Frequencies below are 0. */
  cutoffLow?: number | undefined;
  /** What frequencies between the two become. */
  cutoffValue?: number | undefined;
}
/**
 * Giraffe's bases: frequency · (1 − 2k / rotaryDim)^power, then truncated: x ≥ cutoffHigh stays, x < cutoffLow becomes 0,
 * what lies between becomes cutoffValue. Pal et al. 2023.
 */
export const giraffe = schemeFunction<GiraffeOptions>("giraffe", giraffeScheme);
