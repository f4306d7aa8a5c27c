// NTK-aware scaling that grows with the text: emozilla 2023, and in Peng et al. 2023 (YaRN), section 3.3. Up to the trained
// length nothing changes; beyond it the base follows the current length. With the steps of Qwen-1, which change at powers
// of two only, so that a cache is rebuilt far less often.
import { ntkTheta } from "./ntk.js";
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const dynamicScheme: PositionScheme = {
  parameters: ["factor"],
  inputs: ["max_position_embeddings", "seq_len"],
  lengthDependent: () => true,
  rotary({ rotaryDim, theta, maxPositionEmbeddings, seqLen = 0, parameters }) {
    const factor = parameters.positive("factor");
    const ratio = Math.max(seqLen, maxPositionEmbeddings) / maxPositionEmbeddings;
    const base = ntkTheta(rotaryDim, theta, factor * ratio - (factor - 1));
    return { frequencies: plainFrequencies(rotaryDim, base), attentionScale: 1 };
  },
};

export interface DynamicOptions extends RopeOptions {
  factor: number;
  /** Length up to which nothing changes: transformers takes max_position_embeddings, also where an original one is given. */
  maxPositionEmbeddings: number;
  /** Tokens to be seen; no more than maxPositionEmbeddings if absent. */
  seqLen?: number | undefined;
}
/**
 * Dynamic NTK, rope_type "dynamic": the base is theta · (factor · n / L − (factor − 1))^(d / (d − 2)), n = max(seqLen, L),
 * L = maxPositionEmbeddings, d = rotaryDim. All keys of a context must be rotated for one n: see lengthPolicy.
 */
export const dynamic = schemeFunction<DynamicOptions>("dynamic", dynamicScheme);

export const qwenDynamicScheme: PositionScheme = {
  parameters: ["seq_length"],
  inputs: ["original_max_position_embeddings", "seq_len"],
  lengthDependent: () => true,
  rotary({ rotaryDim, theta, originalMaxPositionEmbeddings, seqLen = 0, parameters }) {
    const trained = parameters.positive("seq_length", originalMaxPositionEmbeddings);
    const alpha = seqLen > 0 ? Math.max(1, 2 ** Math.ceil(Math.log2(seqLen / trained) + 1) - 1) : 1;
    return { frequencies: plainFrequencies(rotaryDim, ntkTheta(rotaryDim, theta, alpha)), attentionScale: 1 };
  },
};

export interface QwenDynamicOptions extends RopeOptions {
  /** Trained length N; `seqLength`, the name in Qwen-1's config.json, wins. */
  originalMaxPositionEmbeddings?: number | undefined;
  seqLength?: number | undefined;
  seqLen?: number | undefined;
}
/**
 * Dynamic NTK in the steps of Qwen-1 (use_dynamic_ntk): the base is theta · α^(d / (d − 2)),
 * α = max(1, 2^⌈log2(seqLen / N) + 1⌉ − 1).
 */
export const qwenDynamic = schemeFunction<QwenDynamicOptions>("qwenDynamic", qwenDynamicScheme);
