// @ts-check
// Parts that the patterns' definitions share, in plain JavaScript: bench and tests read the list that is made of them.
/** @typedef {import("../cases/patterns.mjs").Definition} Definition */

/** @type {Definition} */
export const causal = (p, j) => j <= p;

/** @type {(...parts: Definition[]) => Definition} */
export const both =
  (...parts) =>
  (p, j, at) =>
    parts.every((part) => part(p, j, at));

/** @type {(...parts: Definition[]) => Definition} */
export const either =
  (...parts) =>
  (p, j, at) =>
    parts.some((part) => part(p, j, at));

/** @type {(before: number, after?: number) => Definition} */
export const near =
  (before, after = 0) =>
  (p, j) =>
    j >= p - before && j <= p + after;

/** @type {(x: number, size: number) => number} */
export const block = (x, size) => Math.floor(x / size);

/**
 * Which of consecutive stretches of these lengths holds x; their number beyond the last.
 * @param {number[]} lengths @param {number} x
 */
export function stretch(lengths, x) {
  let end = 0;
  const found = lengths.findIndex((length) => {
    end += length;
    return x < end;
  });
  return found < 0 ? lengths.length : found;
}

/**
 * LongNet: each branch takes every rate-th token of its segments, from a phase that its head has.
 * @param {{ segments: number[], rates: number[], causal?: boolean }} parameters
 * @param {(head: number, rate: number) => number} phase
 * @returns {Definition}
 */
export function longnet({ segments, rates, causal: isCausal = false }, phase) {
  return (p, j, { head, seqLenKV }) => {
    let times = 0;
    segments.forEach((given, i) => {
      const w = Math.min(given, Math.max(seqLenKV, 1));
      const r = /** @type {number} */ (rates[i]);
      const s0 = block(p, w) * w;
      /** @type {(x: number) => boolean} */
      const taken = (x) => x >= s0 && x < s0 + w && (x - s0) % r === phase(head, r);
      if (p >= 0 && taken(p) && taken(j) && (!isCausal || j <= p)) times++;
    });
    return times;
  };
}

/**
 * Is `other` the node itself or above it?
 * @param {number[]} parents @param {number} node @param {number} other
 */
export function isAncestor(parents, node, other) {
  for (let at = node; at >= 0; at = /** @type {number} */ (parents[at])) if (at === other) return true;
  return false;
}
