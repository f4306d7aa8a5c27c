// LongRoPE: Ding et al. 2024, "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens". Each frequency has a divisor
// that was searched for; there is a list for texts up to the trained length and one for longer ones.
import { type PositionScheme, plainFrequencies, type RopeOptions, type RotaryInput, schemeFunction } from "./scheme.js";

function attentionScale(input: RotaryInput, isLong: boolean): number {
  const { parameters, maxPositionEmbeddings, originalMaxPositionEmbeddings } = input;
  const mscale = isLong ? "long_mscale" : "short_mscale";
  if (parameters.has(mscale)) return parameters.positive(mscale);
  if (parameters.has("attention_factor")) return parameters.positive("attention_factor");
  const factor = parameters.positive("factor", maxPositionEmbeddings / originalMaxPositionEmbeddings);
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositionEmbeddings));
}

export const longropeScheme: PositionScheme = {
  parameters: [
    "short_factor",
    "long_factor",
    "factor",
    "attention_factor",
    "short_mscale",
    "long_mscale",
    "original_max_position_embeddings",
  ],
  inputs: ["original_max_position_embeddings", "max_position_embeddings", "seq_len"],
  lengthDependent: () => true,
  rotary(input) {
    const { rotaryDim, theta, originalMaxPositionEmbeddings, seqLen = 0, parameters } = input;
    const [short, long] = ["short_factor", "long_factor"].map((name) => parameters.list(name, rotaryDim / 2));
    const isLong = seqLen > originalMaxPositionEmbeddings;
    const divisors = isLong ? long! : short!;
    return {
      frequencies: plainFrequencies(rotaryDim, theta).map((frequency, k) => frequency / divisors[k]!),
      attentionScale: attentionScale(input, isLong),
    };
  },
};

export interface LongropeOptions extends RopeOptions {
  /** [rotaryDim / 2] divisors of the frequencies up to the trained length. */
  shortFactor: ArrayLike<number>;
  /** [rotaryDim / 2] divisors beyond it. */
  longFactor: ArrayLike<number>;
  /** The trained length L; the long list is for seqLen > L. */
  originalMaxPositionEmbeddings: number;
  /** Longest length over L; maxPositionEmbeddings / L if absent. */
  factor?: number | undefined;
  maxPositionEmbeddings?: number | undefined;
  /** The result's attentionScale itself. */
  attentionFactor?: number | undefined;
  /** The same for each list, as in Phi-3-small. */
  shortMscale?: number | undefined;
  longMscale?: number | undefined;
  /** Tokens to be seen; the short list if absent. */
  seqLen?: number | undefined;
}
/**
 * LongRoPE, rope_type "longrope" ("su", and "yarn" with lists, in early Phi-3): frequencies / list, attentionScale
 * √(1 + ln factor / ln L) for both lists. All keys of a context must be rotated by one list: see lengthPolicy.
 */
export const longrope = schemeFunction<LongropeOptions>("longrope", longropeScheme);
