// What a comparison of schemes shows, in sentences made from its numbers alone.
import type { SchemeComparison, SchemeCurve } from "./compare-schemes.js";

/** Above its own value at the trained length, a scheme counts as risen; within it, as flat. */
const risen = 1.1;

function valueAt({ values }: SchemeCurve, length: number): number {
  return values.find((value) => value.length === length)?.perplexity ?? Number.NaN;
}

/** The scheme with the least perplexity at the longest length; undefined where none is a number. */
export function bestScheme({ curves, lengths }: SchemeComparison): SchemeCurve | undefined {
  const longest = lengths.at(-1)!;
  return curves
    .filter((curve) => Number.isFinite(valueAt(curve, longest)))
    .reduce<SchemeCurve | undefined>(
      (best, curve) => (best && valueAt(best, longest) <= valueAt(curve, longest) ? best : curve),
      undefined,
    );
}

/** 38.7, 131, 12,345. */
export function formatPerplexity(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}

const count = (value: number) => value.toLocaleString("en-US");

function lowest(comparison: SchemeComparison, within: number | undefined): string[] {
  const best = bestScheme(comparison);
  if (!best) return ["No scheme has a finite perplexity at the longest length."];
  const longest = comparison.lengths.at(-1)!;
  const value = valueAt(best, longest);
  const start = `Lowest at ${count(longest)} tokens: ${best.scheme} (${formatPerplexity(value)})`;
  if (within === undefined || within === longest) return [`${start}.`];
  const ratio = (value / valueAt(best, within)).toFixed(2);
  return [`${start}, ${ratio} times its value at ${count(within)}.`];
}

const sentence = (start: string, names: readonly string[]) =>
  names.length > 0 ? [`${start}: ${names.join(", ")}.`] : [];

/** Schemes by how they go on from the value they have within the trained length. */
function courses({ curves, lengths }: SchemeComparison, within: number): string[] {
  const longer = lengths.filter((length) => length > within);
  if (longer.length === 0) return [];
  const all = curves.map((curve) => {
    const above = longer.filter((length) => !(valueAt(curve, length) <= risen * valueAt(curve, within)));
    const from = longer[longer.length - above.length];
    return { scheme: curve.scheme, above, stays: above.length > 0 && above[0] === from, from };
  });
  const rising = all.filter(({ stays }) => stays).sort((a, b) => b.from! - a.from!);
  const between = all.filter(({ above, stays }) => above.length > 0 && !stays);
  return [
    ...sentence(
      `Never more than 10 % above their value at ${count(within)} tokens`,
      all.filter(({ above }) => above.length === 0).map(({ scheme }) => scheme),
    ),
    ...sentence(
      "More than 10 % above it",
      rising.map(({ scheme, from }) => `${scheme} from ${count(from!)} on`),
    ),
    ...sentence(
      "More than 10 % above it at some lengths only",
      between.map(({ scheme, above }) => `${scheme} at ${above.map(count).join(" and ")}`),
    ),
  ];
}

/** Schemes that cost something where plain RoPE needs no help. */
function costs({ curves }: SchemeComparison, within: number): string[] {
  const plain = curves.find(({ scheme }) => scheme === "none");
  if (!plain) return [];
  const worse = curves
    .map((curve) => ({ scheme: curve.scheme, ratio: valueAt(curve, within) / valueAt(plain, within) }))
    .filter(({ ratio }) => ratio > risen)
    .sort((a, b) => b.ratio - a.ratio)
    .map(({ scheme, ratio }) => `${scheme} (${ratio.toFixed(2)} times)`);
  return sentence(`More than 10 % worse than plain RoPE already at ${count(within)} tokens`, worse);
}

/** Sentences on who is lowest, who stays flat, who rises from where, and who is worse at once. */
export function schemeFindings(comparison: SchemeComparison): string[] {
  const within = comparison.lengths.findLast((length) => length <= comparison.trainedLength);
  return [
    ...lowest(comparison, within),
    ...(within === undefined ? [] : [...courses(comparison, within), ...costs(comparison, within)]),
  ];
}
