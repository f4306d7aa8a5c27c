// Colours of all plots, and the scale of heat maps. Its lightness falls steadily from one end to the other, so it reads
// the same for colour-blind people, and in print without colour.
export const ink = "#1c2733";
export const muted = "#5c6873";
export const grid = "#e4e8ec";

type Rgb = readonly [number, number, number];
/** Sand, green, teal, blue, navy. */
const stops: readonly Rgb[] = [
  [252, 244, 222],
  [190, 222, 196],
  [98, 180, 188],
  [44, 111, 179],
  [24, 40, 92],
];

const hex = (color: Rgb) => `#${color.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;

function mixed(share: number): Rgb {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const below = Math.min(stops.length - 2, Math.floor(place));
  const [from, to] = [stops[below]!, stops[below + 1]!];
  return [0, 1, 2].map((i) => from[i]! + (to[i]! - from[i]!) * (place - below)) as unknown as Rgb;
}

/** Relative luminance as WCAG 2 defines it, from 0 to 1. */
function luminance(color: Rgb): number {
  const [red, green, blue] = color.map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

/** The colour of a share from 0 to 1, that of text upon it, and its luminance. */
export function heatColor(share: number): { fill: string; text: string; luminance: number } {
  const color = mixed(share);
  const light = luminance(color);
  // Black ink has luminance 0.02; white wins where (1.05) / (light + 0.05) is the larger ratio.
  const text = (light + 0.05) / 0.07 > 1.05 / (light + 0.05) ? ink : "#ffffff";
  return { fill: hex(color), text, luminance: light };
}
