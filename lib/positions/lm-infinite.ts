// LM-Infinite: Han et al. 2024, "Zero-Shot Extreme Length Generalization for Large Language Models". A Λ-shaped mask, and
// no distance above the window: the first tokens stay at its edge.
import { atZero, distances, inText, nearby } from "./distance-map.js";
import type { RemappedRotary } from "./rerope.js";
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const lmInfiniteScheme: PositionScheme = {
  parameters: ["window", "sinks"],
  rotary({ rotaryDim, theta, parameters }) {
    const [window, sinks] = [parameters.whole("window"), parameters.whole("sinks", 10)];
    const first = { kind: "keys", bounds: [0, sinks] };
    const far = { kind: "intersect", of: [first, distances(window)] };
    return {
      frequencies: plainFrequencies(rotaryDim, theta),
      attentionScale: 1,
      distances: {
        keys: [inText, atZero],
        regions: [nearby(window), { pairs: far, from: window, query: { place: () => 0, offset: window }, keySet: 1 }],
      },
    };
  },
};

export interface LmInfiniteOptions extends RopeOptions {
  /** L: keys at a distance below it are seen; it is also the largest distance. The trained length in the paper. */
  window: number;
  /** First tokens that stay visible, at distance L; 10 if absent, 10 to 100 in the paper. */
  sinks?: number | undefined;
}
/** LM-Infinite: j < sinks or i − j < window, at distance min(i − j, window). Han et al. 2024. */
export const lmInfinite = schemeFunction<LmInfiniteOptions, RemappedRotary>("lmInfinite", lmInfiniteScheme);
