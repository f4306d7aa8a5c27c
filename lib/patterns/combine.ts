// Patterns made of patterns: union, intersection, sums of disjoint parts, one for each head.
import { ArgumentError } from "../errors.js";
import { Pattern, type PatternFacts, type PatternLengths } from "./pattern.js";

function partsOf(op: string, given: readonly (Pattern | readonly Pattern[])[]): Pattern[] {
  const parts = given.flat() as Pattern[];
  if (parts.length === 0 || !parts.every((part) => part instanceof Pattern))
    throw new ArgumentError(`${op}: expected at least one pattern made by \`patterns\``, { op, argument: "patterns" });
  return parts;
}

function combined(kind: string, parts: Pattern[], facts: PatternFacts = {}): Pattern {
  const numHeads = parts.map((part) => part.facts.numHeads).find((count) => count !== undefined);
  const batches = parts.map((part) => part.facts.batches).find((count) => count !== undefined);
  const fixed = parts.map((part) => part.facts.lengths).find((lengths) => lengths !== undefined);
  const make = (lengths: PatternLengths) => ({ kind, of: parts.map((part) => part.spec(lengths)) });
  const own = {
    title: kind,
    ...(numHeads === undefined ? {} : { numHeads }),
    ...(batches === undefined ? {} : { batches }),
    ...(fixed ? { lengths: fixed } : {}),
    ...(parts.some((part) => part.facts.byLength) ? { byLength: true } : {}),
    ...facts,
  };
  const pattern = new Pattern(make, own);
  if (!fixed) pattern.multiplicity(0, 0); // checks the parts together now
  return pattern;
}

/** A key is seen where any of the patterns lets it be seen, and counts once. */
export const union = (...given: (Pattern | readonly Pattern[])[]) => combined("union", partsOf("union", given));

/** A key is seen where all of the patterns let it be seen. */
export const intersect = (...given: (Pattern | readonly Pattern[])[]) =>
  combined("intersect", partsOf("intersect", given));

/**
 * Attention over each pattern, merged by lse: a key that several let be seen counts as often. For disjoint patterns it
 * is their union, computed apart: each with its own tiles.
 */
export const sum = (...given: (Pattern | readonly Pattern[])[]) => combined("sum", partsOf("sum", given));

/** Head h has pattern h; as many patterns as query heads. */
export function perHead(...given: (Pattern | readonly Pattern[])[]): Pattern {
  const parts = partsOf("perHead", given);
  if (parts.some((part) => part.facts.numHeads !== undefined && part.facts.numHeads !== parts.length))
    throw new ArgumentError(`perHead: a part is for another number of heads than ${parts.length}`, {
      op: "perHead",
      argument: "patterns",
    });
  return combined("perHead", parts, { numHeads: parts.length });
}
