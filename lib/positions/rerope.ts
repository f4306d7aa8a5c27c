// Distances that stop growing, or grow slower, beyond a window: Su, kexue.fm 9708, "Rectified Rotary Position Embeddings",
// and the repository bojone/rerope. They need no training; the window is ¼ to ½ of the trained length.
import { atZero, type DistanceMap, distances, inText, nearby } from "./distance-map.js";
import { type PositionScheme, plainFrequencies, type Rotary, type RopeOptions, schemeFunction } from "./scheme.js";

function rectified(window: number, bidirectional: boolean): DistanceMap {
  const far = { pairs: distances(window), from: window, query: { place: () => 0, offset: window }, keySet: 1 } as const;
  const keys = [inText, atZero];
  if (!bidirectional) return { keys, regions: [nearby(window), far] };
  const near = { ...nearby(window), pairs: distances(1 - window, window) };
  const later = { pairs: distances(-Infinity, 1 - window), from: 0, query: { place: () => 0, offset: -window } };
  return { keys, regions: [near, far, { ...later, keySet: 1 }] };
}

export const reropeScheme: PositionScheme = {
  parameters: ["window", "bidirectional"],
  rotary: ({ rotaryDim, theta, parameters }) => ({
    frequencies: plainFrequencies(rotaryDim, theta),
    attentionScale: 1,
    distances: rectified(parameters.whole("window"), parameters.boolean("bidirectional", false)),
  }),
};

export const leakyReropeScheme: PositionScheme = {
  parameters: ["window", "scaling_factor"],
  rotary({ rotaryDim, theta, parameters }) {
    const window = parameters.whole("window");
    const step = 1 / parameters.positive("scaling_factor", 16);
    const slow = { ...inText, step };
    const far = { pairs: distances(window), from: window, query: { ...slow, offset: window * (1 - step) }, keySet: 1 };
    return {
      frequencies: plainFrequencies(rotaryDim, theta),
      attentionScale: 1,
      distances: { keys: [inText, slow], regions: [nearby(window), { ...far, keySet: 1 }] },
    };
  },
};

/** Rotary numbers whose distances are remapped: what `remappedAttention` takes. */
export interface RemappedRotary extends Rotary {
  distances: DistanceMap;
}

export interface ReropeOptions extends RopeOptions {
  /** Distances below it are true, all others count as it. */
  window: number;
  /** Keys after the query too: −window where they are that far. Without it a query sees no later key. */
  bidirectional?: boolean | undefined;
}
/** ReRoPE: distance min(i − j, window). Su, kexue.fm 9708. */
export const rerope = schemeFunction<ReropeOptions, RemappedRotary>("rerope", reropeScheme);

export interface LeakyReropeOptions extends RopeOptions {
  window: number;
  /** k: beyond the window a step counts 1 / k; 16 if absent, as in the repository. */
  scalingFactor?: number | undefined;
}
/** Leaky ReRoPE: distance i − j below window, then window + (i − j − window) / scalingFactor. Su, kexue.fm 9708. */
export const leakyRerope = schemeFunction<LeakyReropeOptions, RemappedRotary>("leakyRerope", leakyReropeScheme);
