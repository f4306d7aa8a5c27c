// Dual Chunk Attention: An et al. 2024, "Training-Free Long-Context Scaling of Large Language Models", section 3, and the
// repository HKUNLP/ChunkLlama; Qwen2.5-1M's dual_chunk_attention_config. A key's position is that within its chunk, and
// stays so for ever; a query's depends on how many chunks lie between.
import type { DistanceMap, PatternSpec } from "./distance-map.js";
import type { RemappedRotary } from "./rerope.js";
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

/** `furthest`: the largest distance; `beyond`: the position of queries two chunks on and more. */
function chunked(chunk: number, furthest: number, beyond: number): DistanceMap {
  const apart = (first: number, end?: number): PatternSpec => ({
    kind: "chunkDistances",
    size: chunk,
    first,
    causal: true,
    ...(end !== undefined && { end }),
  });
  const within = (position: number) => position % chunk;
  return {
    keys: [{ place: within }],
    regions: [
      { pairs: apart(0, 1), from: 0, query: { place: within }, keySet: 0 },
      {
        pairs: apart(1, 2),
        from: chunk,
        query: { place: (position) => Math.min(within(position) + chunk, furthest) },
        keySet: 0,
      },
      { pairs: apart(2), from: 2 * chunk, query: { place: () => beyond }, keySet: 0 },
    ],
  };
}

export const dualChunkScheme: PositionScheme = {
  parameters: ["chunk_size", "local_size", "variant"],
  rotary({ rotaryDim, theta, parameters }) {
    const size = parameters.whole("chunk_size");
    const local = parameters.has("local_size") ? parameters.whole("local_size") : Math.floor(size / 6);
    if (local >= size) parameters.wrong("local_size", `a whole number below chunk_size = ${size}`);
    const isPaper = parameters.choice("variant", ["code", "paper"]) === "paper";
    const chunk = size - local;
    const distances = isPaper
      ? chunked(chunk, size - 1, size - 1)
      : chunked(chunk, size, Math.min(2 * chunk - 1, size));
    return { frequencies: plainFrequencies(rotaryDim, theta), attentionScale: 1, distances };
  },
};

export interface DualChunkOptions extends RopeOptions {
  /** S: no distance is larger; ¾ of the trained length in ChunkLlama. */
  chunkSize: number;
  /** ℓ: distances up to it are true across chunks, which are S − ℓ long; S / 6 if absent, as in ChunkLlama. */
  localSize?: number | undefined;
  /** "code", the default: positions are clamped to S as in the repositories. "paper": to S − 1. */
  variant?: "code" | "paper" | undefined;
}
/**
 * Dual Chunk Attention without its temperature. With C = S − ℓ, keys stand at j mod C; queries at i mod C for their own
 * chunk, at min(i mod C + C, S) for the chunk before, at min(2C − 1, S) for all earlier ones. An et al. 2024.
 */
export const dualChunk = schemeFunction<DualChunkOptions, RemappedRotary>("dualChunk", dualChunkScheme);
