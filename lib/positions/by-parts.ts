// NTK-by-parts: Peng et al. 2023 (YaRN), section 3.2. Pairs that turn often within the trained length stay, pairs that turn
// less than once are interpolated, and a ramp blends those between. The paper's ramp is linear in the number of turns; that
// of all code, and so of all checkpoints, is linear in the index of the pair, between rounded bounds.
import { ntkTheta } from "./ntk.js";
import { type PositionScheme, plainFrequencies, type RopeOptions, type RotaryInput, schemeFunction } from "./scheme.js";

export type Ramp = "pairs" | "rotations";

function clip(x: number): number {
  return Math.min(1, Math.max(0, x));
}

/** How much of each frequency stays: 1 where a pair turns `fast` times within the trained length, 0 where `slow` times. */
function stays(input: RotaryInput, fast: number, slow: number, truncate: boolean): (pair: number) => number {
  const { rotaryDim, theta, originalMaxPositionEmbeddings } = input;
  const pairOf = (turns: number) =>
    (rotaryDim * Math.log(originalMaxPositionEmbeddings / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = truncate ? [Math.floor(pairOf(fast)), Math.ceil(pairOf(slow))] : [pairOf(fast), pairOf(slow)];
  const low = Math.max(first, 0);
  const end = Math.min(last, rotaryDim - 1); // not rotaryDim / 2 − 1: as the code has it
  const high = low === end ? end + 0.001 : end;
  return (pair) => 1 - clip((pair - low) / (high - low));
}

/** Frequencies / factor where pairs turn slowly, as they are where they turn fast. */
export function blendedFrequencies(input: RotaryInput, factor: number, ramp: Ramp): Float64Array {
  const { rotaryDim, theta, originalMaxPositionEmbeddings, parameters } = input;
  const fast = parameters.positiveOr("beta_fast", 32);
  const slow = parameters.positiveOr("beta_slow", 1);
  const byPair = stays(input, fast, slow, parameters.boolean("truncate", true));
  const byTurns = (frequency: number) => {
    const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
    return turns >= fast ? 1 : turns <= slow ? 0 : (turns - slow) / (fast - slow);
  };
  return plainFrequencies(rotaryDim, theta).map((frequency, pair) => {
    const kept = ramp === "pairs" ? byPair(pair) : byTurns(frequency);
    return (frequency / factor) * (1 - kept) + frequency * kept;
  });
}

/** The first release of the YaRN repository: two ramps, from linear to NTK-aware to plain. */
function firstRelease(input: RotaryInput, factor: number): Float64Array {
  const { rotaryDim, theta } = input;
  const ntk = plainFrequencies(rotaryDim, ntkTheta(rotaryDim, theta, factor));
  const [toNtk, toPlain] = [stays(input, 1.25, 0.75, true), stays(input, 16, 2, true)];
  return plainFrequencies(rotaryDim, theta).map((frequency, pair) => {
    const blend = (frequency / factor) * (1 - toNtk(pair)) + ntk[pair]! * toNtk(pair);
    return blend * (1 - toPlain(pair)) + frequency * toPlain(pair);
  });
}

export const byPartsScheme: PositionScheme = {
  parameters: ["factor", "beta_fast", "beta_slow", "truncate", "ramp", "original_max_position_embeddings"],
  inputs: ["original_max_position_embeddings"],
  rotary(input) {
    const factor = input.parameters.positive("factor");
    const ramp = input.parameters.choice("ramp", ["rotations", "pairs", "firstRelease"]);
    const frequencies = ramp === "firstRelease" ? firstRelease(input, factor) : blendedFrequencies(input, factor, ramp);
    return { frequencies, attentionScale: 1 };
  },
};

export interface ByPartsOptions extends RopeOptions {
  /** Longest length over trained length. */
  factor: number;
  /** The trained length. */
  originalMaxPositionEmbeddings: number;
  /** Pairs that turn this often within the trained length stay as they are; 32 if absent. */
  betaFast?: number | undefined;
  /** Pairs that turn this often or less are divided by `factor`; 1 if absent. */
  betaSlow?: number | undefined;
  /** "rotations" is the paper's ramp, and the default; "pairs" that of YaRN's code; "firstRelease" its first version. */
  ramp?: Ramp | "firstRelease" | undefined;
  /** With "pairs": the ramp's ends are rounded to whole pairs; true if absent. */
  truncate?: boolean | undefined;
}
/**
 * NTK-by-parts: frequency · ((1 − γ) / factor + γ), γ rising from 0 at betaSlow turns to 1 at betaFast turns within the
 * trained length. Peng et al. 2023, section 3.2.
 */
export const byParts = schemeFunction<ByPartsOptions>("byParts", byPartsScheme);
