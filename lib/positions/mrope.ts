// Multimodal RoPE: Wang et al. 2024 (Qwen2-VL) and Qwen3-VL. A position is a time, a height and a width; each pair of dims
// turns by one of the three. Text has the same number in all, which is plain RoPE.
import { checkedChoice, checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { plain } from "./default.js";
import type { RopeOptions, Rotary } from "./scheme.js";

export interface MropeOptions extends RopeOptions {
  /** Pairs that turn by time, height and width: [16, 24, 24] in Qwen2-VL, [24, 20, 20] in Qwen3-VL. */
  sections: readonly number[];
  /** Height and width take turns with time, as in Qwen3-VL; false if absent: the sections lie one behind the other. */
  interleaved?: boolean | undefined;
  /**
   * Whose interleaving: transformers leaves the last pairs to the time, ggml gives pairs beyond the sections to a fourth
   * axis, which is 0 for text. "transformers" if absent.
   */
  convention?: "transformers" | "ggml" | undefined;
}

export interface Mrope extends Rotary {
  /** [rotaryDim / 2] the axis of each pair: 0 time, 1 height, 2 width, 3 ggml's fourth. */
  axes: Uint8Array;
  /**
   * One vector of frequencies for each axis, 0 in the pairs of the others: rope by each with its positions, one after the
   * other, turns every pair once.
   */
  frequenciesOfAxes: Float64Array[];
}

/** transformers: pair 3m + 1 is height while m < sections[1], 3m + 2 width while m < sections[2], the rest time. */
function axisInTurns(pair: number, sections: readonly number[], isGgml: boolean): number {
  const axis = pair % 3;
  if (pair < 3 * (sections[axis] ?? 0)) return axis;
  return isGgml ? 3 : 0;
}

/** Multimodal RoPE, for text also rope_type "mrope". Wang et al. 2024 (Qwen2-VL). */
export function mrope(options: MropeOptions): Mrope {
  const op = "positions.mrope";
  const names = ["rotaryDim", "theta", "sections", "interleaved", "convention"];
  const { sections, interleaved, convention, ...rope } = checkedOptions(op, options, names) as MropeOptions;
  const isGgml = checkedChoice(op, "convention", convention, ["transformers", "ggml"]) === "ggml";
  const { frequencies, attentionScale } = plain(rope);
  if (!Array.isArray(sections) || sections.length < 3)
    wrongArgument(op, "sections", "numbers of pairs for time, height and width", sections);
  sections.forEach((count, i) => {
    checkedNumber(op, `sections[${i}]`, count, { integer: true, min: 0 });
  });
  const total = sections.reduce((sum, count) => sum + count, 0);
  if (total !== frequencies.length) wrongArgument(op, "sections", `a sum of ${frequencies.length} pairs`, total);
  const inBlocks = sections.flatMap((count, axis) => Array<number>(count).fill(axis));
  const axes = Uint8Array.from(frequencies, (_, pair) =>
    interleaved ? axisInTurns(pair, sections, isGgml) : inBlocks[pair]!,
  );
  const frequenciesOfAxes = Array.from({ length: Math.max(...axes) + 1 }, (_, axis) =>
    frequencies.map((frequency, pair) => (axes[pair] === axis ? frequency : 0)),
  );
  return { frequencies, attentionScale, axes, frequenciesOfAxes };
}

/** A run of text tokens, or an image or video as the grid of its merged patches. */
export type MropePart = { text: number } | { grid: [time: number, height: number, width: number] };

/**
 * [3][tokens] positions of time, height and width. Text counts on in all three; a grid starts where the text has come to
 * and numbers its patches, time slowest; text behind it starts after its longest side. `next` is the position to go on
 * with, `delta` what it is beyond the number of tokens (rope_deltas).
 */
export function mropePositions(parts: readonly MropePart[]): {
  positions: [Int32Array, Int32Array, Int32Array];
  next: number;
  delta: number;
} {
  const op = "positions.mropePositions";
  const axes: [number[], number[], number[]] = [[], [], []];
  const count = (argument: string, value: unknown) =>
    checkedNumber(op, argument, value, { integer: true, min: 0 }) ?? 0;
  let next = 0;
  for (const part of parts) {
    if ("text" in part) {
      for (let i = 0; i < count("text", part.text); i++) for (const axis of axes) axis.push(next + i);
      next += part.text;
      continue;
    }
    const [times, heights, widths] = part.grid.map((extent) => count("grid", extent)) as [number, number, number];
    for (let i = 0; i < times * heights * widths; i++) {
      axes[0].push(next + Math.floor(i / (heights * widths)));
      axes[1].push(next + (Math.floor(i / widths) % heights));
      axes[2].push(next + (i % widths));
    }
    next += Math.max(times, heights, widths);
  }
  const [time, height, width] = axes.map((axis) => Int32Array.from(axis)) as [Int32Array, Int32Array, Int32Array];
  return { positions: [time, height, width], next, delta: next - time.length };
}
