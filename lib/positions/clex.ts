// CLEX: Chen et al. 2023, "CLEX: Continuous Length Extrapolation for Large Language Models". A learned differential
// equation gives frequencies for each ratio of the length to the trained one; here they are given, one list for each ratio.
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const clexScheme: PositionScheme = {
  parameters: ["frequencies", "log_scale", "original_max_position_embeddings"],
  inputs: ["original_max_position_embeddings", "seq_len"],
  lengthDependent: () => true,
  rotary({ rotaryDim, theta, originalMaxPositionEmbeddings, seqLen, parameters }) {
    const lists = parameters.lists("frequencies", rotaryDim / 2);
    const ratio = Math.ceil((seqLen ?? originalMaxPositionEmbeddings) / originalMaxPositionEmbeddings);
    const frequencies = ratio <= 1 ? plainFrequencies(rotaryDim, theta) : lists[Math.min(ratio, lists.length + 1) - 2]!;
    const isScaled = parameters.boolean("log_scale", false) && seqLen !== undefined;
    const logit = isScaled ? Math.log(seqLen) / Math.log(originalMaxPositionEmbeddings) : 1;
    return { frequencies, attentionScale: Math.sqrt(Math.max(0, logit)) };
  },
};

export interface ClexOptions extends RopeOptions {
  /** Lists of [rotaryDim / 2] frequencies for the ratios 2, 3, …; ratio 1 is plain RoPE, larger ratios take the last. */
  frequencies: readonly ArrayLike<number>[];
  /** The trained length L. */
  originalMaxPositionEmbeddings: number;
  /** Logits × ln seqLen / ln L, as the repository does by default; false if absent. */
  logScale?: boolean | undefined;
  seqLen?: number | undefined;
}
/**
 * CLEX with its equation already solved: the list of ratio ⌈seqLen / L⌉. All keys of a context must be rotated by one list:
 * see lengthPolicy.
 */
export const clex = schemeFunction<ClexOptions>("clex", clexScheme);
