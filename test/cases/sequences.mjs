// @ts-check
// Sequences of their own lengths in one call: packed, padded and paged, for every pattern that no length decides, and for
// the options beside patterns. Plain JavaScript, so that the bench reads the same list.
import { patternCases } from "./patterns.mjs";

/** @typedef {import("../../lib/index.js").FlashAttentionOptions} FlashAttentionOptions */
/**
 * @typedef {object} SequenceCase
 * @property {string} name
 * @property {string} [factory] of its pattern
 * @property {FlashAttentionOptions} options
 * @property {boolean} [alibi]
 * @property {number} numHeads
 * @property {{ kind: string }} [bench] timed with one key a page, at the patterns' shapes
 */

/** Tokens of the packed sequences. */
export const packedLengths = [5, 0, 70, 1, 33];
/** Keys that are there, of 40. */
export const paddedLengths = [40, 7, 0];
export const pagedLengths = [37, 5];
export const pageSizes = [1, 16];

/**
 * @param {import("./patterns.mjs").Patterns} patterns
 * @returns {SequenceCase[]}
 */
export function sequenceCases(patterns) {
  const longNet = patterns.dilated({ segments: [8, 32], rates: [1, 2], causal: true });
  const checkered = patterns.blocks({ blockSize: 8, allowed: (q, kv) => (q + kv) % 2 === 0 });
  return [
    { name: "causal", options: { causal: true }, numHeads: 4, bench: { kind: "gathered keys, causal" } },
    { name: "window of the call", options: { window: { before: 6, after: 3 } }, numHeads: 4 },
    { name: "LongNet", factory: "dilated", options: { pattern: longNet }, numHeads: 4 },
    { name: "blocks both ways", factory: "blocks", options: { pattern: checkered }, numHeads: 4 },
    { name: "ALiBi", options: { causal: true }, alibi: true, numHeads: 4 },
    ...patternCases(patterns, "small")
      .filter(({ byLength, anyLength }) => !byLength && anyLength)
      .map(({ name, factory, pattern, numHeads }) => ({
        ...{ name: `pattern: ${name}`, factory, options: { pattern }, numHeads },
      })),
  ];
}
