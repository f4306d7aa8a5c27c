// YaRN: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models". NTK-by-parts and a factor on
// the rotated dims, which sharpens the softmax as the text grows.
import { blendedFrequencies, type ByPartsOptions, type Ramp } from "./by-parts.js";
import { type PositionScheme, type RotaryInput, schemeFunction } from "./scheme.js";

/** 0.1 · mscale · ln factor + 1, and 1 where nothing is scaled. */
export function yarnScale(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function factorOf(input: RotaryInput): number {
  const { parameters, maxPositionEmbeddings, originalMaxPositionEmbeddings, seqLen = 0 } = input;
  if (parameters.boolean("dynamic", false)) return Math.max(1, seqLen / originalMaxPositionEmbeddings);
  const ratio = maxPositionEmbeddings / originalMaxPositionEmbeddings;
  return parameters.positive("factor", ratio > 1 ? ratio : undefined);
}

/** attention_factor as given, else from mscale and mscale_all_dim where both are there, else from the factor. */
function attentionScale({ parameters }: RotaryInput, factor: number): number {
  if (parameters.has("attention_factor")) return parameters.positive("attention_factor");
  const mscale = parameters.positiveOr("mscale", undefined);
  const allDim = parameters.positiveOr("mscale_all_dim", undefined);
  if (mscale === undefined || allDim === undefined) return yarnScale(factor);
  return yarnScale(factor, mscale) / yarnScale(factor, allDim);
}

export const yarnScheme: PositionScheme = {
  parameters: [
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "ramp",
    "dynamic",
  ],
  inputs: ["original_max_position_embeddings", "max_position_embeddings", "seq_len"],
  lengthDependent: (parameters) => parameters.boolean("dynamic", false),
  rotary(input) {
    const factor = factorOf(input);
    const ramp = input.parameters.choice("ramp", ["pairs", "rotations"]);
    return {
      frequencies: blendedFrequencies(input, factor, ramp),
      attentionScale: attentionScale(input, factor),
    };
  },
};

export interface YarnOptions extends Omit<ByPartsOptions, "factor" | "ramp"> {
  /** Longest length over trained length; maxPositionEmbeddings / originalMaxPositionEmbeddings if absent. */
  factor?: number | undefined;
  maxPositionEmbeddings?: number | undefined;
  /** The result's attentionScale itself, instead of what follows from the factor. */
  attentionFactor?: number | undefined;
  /** With mscaleAllDim: attentionScale is g(mscale) / g(mscaleAllDim), g(m) = 0.1 m ln factor + 1. Alone it is ignored. */
  mscale?: number | undefined;
  mscaleAllDim?: number | undefined;
  /** "pairs", as in all code and checkpoints, if absent; "rotations" is the paper's. */
  ramp?: Ramp | undefined;
  /** The factor is max(1, seqLen / originalMaxPositionEmbeddings) instead. */
  dynamic?: boolean | undefined;
  seqLen?: number | undefined;
}
/**
 * YaRN, rope_type "yarn": frequencies blended by parts, attentionScale 0.1 ln factor + 1. `truncate: false` is gpt-oss's.
 * Peng et al. 2023. Works without training, better with it; at lengths that need no scaling it costs a little.
 */
export const yarn = schemeFunction<YarnOptions>("yarn", yarnScheme);
