// Self-Extend: Jin et al. 2024, "LLM Maybe LongLM: Self-Extend LLM Context Window Without Tuning", section 3, and the
// repository datamllab/LongLM. Beyond a window of neighbours, groups of tokens share a position.
import { distances, inText, nearby } from "./distance-map.js";
import type { RemappedRotary } from "./rerope.js";
import { type PositionScheme, plainFrequencies, type RopeOptions, schemeFunction } from "./scheme.js";

export const selfExtendScheme: PositionScheme = {
  parameters: ["group_size", "window_size", "shift"],
  rotary({ rotaryDim, theta, parameters }) {
    const [group, window] = [parameters.whole("group_size", 8), parameters.whole("window_size", 1024)];
    const shift = parameters.choice("shift", ["integer", "float"]);
    const offset = window - (shift === "integer" ? Math.floor(window / group) : window / group);
    const grouped = { place: (position: number) => Math.floor(position / group) };
    return {
      frequencies: plainFrequencies(rotaryDim, theta),
      attentionScale: 1,
      distances: {
        keys: [inText, grouped],
        regions: [nearby(window), { pairs: distances(window), from: window, query: { ...grouped, offset }, keySet: 1 }],
      },
    };
  },
};

export interface SelfExtendOptions extends RopeOptions {
  /** G: tokens that share a position; 8 if absent. */
  groupSize?: number | undefined;
  /** w: distances below it are true; 1024 if absent. Best a multiple of groupSize. */
  windowSize?: number | undefined;
  /**
   * By how much groups are moved so that they follow the window: "integer", w − ⌊w / G⌋ (the paper, and the repository when
   * it decodes; the default), or "float", w − w / G (the repository's prefill). The same where G divides w.
   */
  shift?: "integer" | "float" | undefined;
}
/** Self-Extend: i − j below w, then ⌊i / G⌋ + shift − ⌊j / G⌋. Jin et al. 2024. */
export const selfExtend = schemeFunction<SelfExtendOptions, RemappedRotary>("selfExtend", selfExtendScheme);
