// Position ids for training, so that a model meets positions it has no text for: PoSE, SHAPE, random positions, random
// padding. The same seed gives the same ids.
import { checkedNumber, checkedOptions } from "../options.js";
import { randomNumbers } from "../random.js";

interface Draw {
  /** Tokens of the text. */
  length: number;
  seed: number;
}

/** Whole numbers from 0 to `most`, all equally likely. */
function dice(seed: number): (most: number) => number {
  const random = randomNumbers(seed);
  return (most) => Math.floor(random() * (most + 1));
}

function integers<Options extends Draw>(op: string, options: Options, names: readonly (keyof Options & string)[]) {
  const given = checkedOptions(op, options, names);
  return names.map((name) => {
    const min = name === "length" ? 1 : 0;
    return checkedNumber(op, name, given[name] ?? Number.NaN, { integer: true, min })!;
  });
}

export interface PoseOptions extends Draw {
  /** Length L to be learned. */
  targetLength: number;
}
/**
 * PoSE (Zhu et al. 2023): the text is cut in two, the first part at most half of it; the second part's ids are shifted by
 * 0 … L − length, all equally likely, so that over time all distances below L are met.
 */
export function pose(options: PoseOptions): { positions: Int32Array; firstPart: number; shift: number } {
  const op = "positions.pose";
  const [length, targetLength, seed] = integers(op, options, ["length", "targetLength", "seed"]) as [
    number,
    number,
    number,
  ];
  checkedNumber(op, "targetLength", targetLength, { min: length });
  const draw = dice(seed);
  const firstPart = 1 + draw(Math.max(0, Math.floor((length + 1) / 2) - 1));
  const shift = draw(targetLength - length);
  const positions = Int32Array.from({ length }, (_, i) => (i < firstPart ? i : i + shift));
  return { positions, firstPart, shift };
}

export interface ShapeOptions extends Draw {
  /** K; 500 in the paper. Tests take no shift. */
  maxShift: number;
}
/** SHAPE (Kiyono et al. 2021): all positions of a text shifted by one number of 0 … K; for absolute embeddings. */
export function shape(options: ShapeOptions): Int32Array {
  const [length, maxShift, seed] = integers("positions.shape", options, ["length", "maxShift", "seed"]) as [
    number,
    number,
    number,
  ];
  const shift = dice(seed)(maxShift);
  return Int32Array.from({ length }, (_, i) => i + shift);
}

export interface RandomPositionsOptions extends Draw {
  /** M: ids are drawn from 0 … M − 1. At least the longest length of the tests. */
  numPositions: number;
}
/** Randomized positions (Ruoss et al. 2023): distinct ids, drawn evenly from 0 … M − 1, in order. */
export function randomPositions(options: RandomPositionsOptions): Int32Array {
  const op = "positions.randomPositions";
  const [length, numPositions, seed] = integers(op, options, ["length", "numPositions", "seed"]) as [
    number,
    number,
    number,
  ];
  checkedNumber(op, "numPositions", numPositions, { min: length });
  const draw = dice(seed);
  const taken = new Set<number>(); // Floyd's way: every set of this size is equally likely
  for (let last = numPositions - length; last < numPositions; last++) {
    const candidate = draw(last);
    taken.add(taken.has(candidate) ? last : candidate);
  }
  return Int32Array.from(taken).sort();
}

export interface RandomPaddingOptions extends Draw {
  /** Rows of the model's table, or the length that batches are padded to. */
  paddedLength: number;
}
/**
 * Random padding (Tao et al. 2023): a part of the padding, 0 … all of it, goes in front of the context, so that rear
 * positions are trained as often. `mask` is 1 where a token is no padding.
 */
export function randomPadding(options: RandomPaddingOptions): {
  before: number;
  positions: Int32Array;
  mask: Uint8Array;
} {
  const op = "positions.randomPadding";
  const [length, paddedLength, seed] = integers(op, options, ["length", "paddedLength", "seed"]) as [
    number,
    number,
    number,
  ];
  checkedNumber(op, "paddedLength", paddedLength, { min: length });
  const before = dice(seed)(paddedLength - length);
  return {
    before,
    positions: Int32Array.from({ length }, (_, i) => before + i),
    mask: Uint8Array.from({ length: paddedLength }, (_, i) => Number(i >= before && i < before + length)),
  };
}
