// One line plot: title, axes, series with markers, each named at its end instead of in a legend box, and a caption that
// says what is seen. Plain SVG text, no dependency.
import { ArgumentError } from "../errors.js";
import { grid, ink, muted } from "./colors.js";
import { type Axis, type AxisOptions, makeAxis } from "./scale.js";
import { boldMargin, escapeXml, fontFamily, linesAt, round, textAt, textWidth, wrapText } from "./text.js";

export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
  /** From the palette by default. */
  color?: string;
  /** By default those that have a colour of the palette again. */
  dashed?: boolean;
  /** A dot at each point; by default where there are few of them. */
  markers?: boolean;
}

export interface LinePlot {
  title: string;
  series: readonly Series[];
  x?: AxisOptions;
  y?: AxisOptions;
  /** Vertical lines with a word beside them. */
  marks?: readonly { x: number; label: string }[];
  /** What is measured and what it means; wrapped under the plot. */
  caption?: string;
}

export interface PlotSize {
  width: number;
  height: number;
}

/** Distinct for most colour-blind readers (after Okabe and Ito 2008). */
export const palette = ["#c8442b", "#2c6fb3", "#2a8a62", "#8a5aa8", "#b8860b", "#4f5b66"];
/** Dashes of the first series, of those that have the palette's colours again, and a third time. */
const strokes = ["", "7 4", "2 3"];
const captionSize = 12.5;
const nameSize = 13;
const titleSize = 16;
const markSize = 11.5;

interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
  x: Axis;
  y: Axis;
}

const toX = (frame: Frame, value: number) => frame.left + frame.x.place(value) * frame.width;
const toY = (frame: Frame, value: number) => frame.top + (1 - frame.y.place(value)) * frame.height;

function drawAxes(frame: Frame): string {
  const { left, top, width, height, x, y } = frame;
  const parts: string[] = [];
  for (const tick of y.ticks) {
    const at = round(toY(frame, tick));
    parts.push(`<line x1="${left}" y1="${at}" x2="${round(left + width)}" y2="${at}" stroke="${grid}"/>`);
    parts.push(textAt(left - 8, at + 4, y.format(tick), { size: 12, color: muted, anchor: "end" }));
  }
  for (const tick of x.ticks) {
    const at = round(toX(frame, tick));
    parts.push(`<line x1="${at}" y1="${top + height}" x2="${at}" y2="${top + height + 5}" stroke="${muted}"/>`);
    parts.push(textAt(at, top + height + 19, x.format(tick), { size: 12, color: muted, anchor: "middle" }));
  }
  parts.push(`<path d="M${left} ${top + height}h${round(width)}" stroke="${muted}" fill="none"/>`);
  parts.push(textAt(left + width / 2, top + height + 38, x.label, { size: 12.5, color: muted, anchor: "middle" }));
  return parts.join("");
}

/** How far the lines keep away from a box of pixels, vertically. */
function clearance(frame: Frame, series: readonly Series[], from: number, to: number, y: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { points } of series) {
    const places = points.map(([px, py]) => [toX(frame, px), toY(frame, py)] as const);
    places.slice(1).forEach(([x1, y1], i) => {
      const [x0, y0] = places[i]!;
      for (let at = Math.max(from, x0); at <= Math.min(to, x1); at += 4)
        least = Math.min(least, Math.abs(y - (y0 + ((y1 - y0) * (at - x0)) / (x1 - x0))));
    });
  }
  return least;
}

/** Vertical lines; their words stand at the top or at the bottom, wherever the curves leave more room. */
function drawMarks(frame: Frame, marks: LinePlot["marks"], series: readonly Series[]): string {
  const draw = ({ x, label }: { x: number; label: string }) => {
    const at = round(toX(frame, x));
    const width = textWidth(label, markSize) + 6;
    const right = at + width < frame.left + frame.width;
    const [from, to] = right ? [at, at + width] : [at - width, at];
    const [high, low] = [frame.top + 11, frame.top + frame.height - 8];
    const y = clearance(frame, series, from, to, high) >= clearance(frame, series, from, to, low) ? high : low;
    const style = { size: markSize, color: muted, anchor: right ? "start" : "end", italic: true } as const;
    return (
      `<line x1="${at}" y1="${frame.top}" x2="${at}" y2="${frame.top + frame.height}" stroke="${muted}" stroke-dasharray="2 3"/>` +
      textAt(right ? at + 6 : at - 6, y, label, style)
    );
  };
  return (marks ?? []).map(draw).join("");
}

interface Styled extends Series {
  color: string;
  /** A stroke-dasharray, or "". */
  stroke: string;
}

function styled(series: readonly Series[]): Styled[] {
  return series.map((one, i) => ({
    ...one,
    color: one.color ?? palette[i % palette.length]!,
    stroke:
      one.dashed === undefined
        ? strokes[Math.floor(i / palette.length) % strokes.length]!
        : strokes[Number(one.dashed)]!,
  }));
}

const dashArray = (stroke: string) => (stroke ? ` stroke-dasharray="${stroke}"` : "");

function drawSeries(frame: Frame, { points, color, stroke, markers }: Styled): string {
  const places = points.map(([x, y]) => `${round(toX(frame, x))} ${round(toY(frame, y))}`);
  const dots = markers ?? points.length <= 16;
  const line = `<path d="M${places.join("L")}" fill="none" stroke="${color}" stroke-width="2.2" stroke-linejoin="round"${dashArray(stroke)}/>`;
  const dot = (place: string) => {
    const [x, y] = place.split(" ");
    return `<circle cx="${x}" cy="${y}" r="3.6" fill="${color}" stroke="#fff" stroke-width="1"/>`;
  };
  return line + (dots ? places.map(dot).join("") : "");
}

/** Pushes labels apart until none is closer than `gap` to the next, keeping them within [low, high]. */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  const placed = [...wanted];
  order.forEach((index, rank) => {
    const least = rank === 0 ? low : placed[order[rank - 1]!]! + gap;
    placed[index] = Math.max(placed[index]!, least);
  });
  order.toReversed().forEach((index, rank) => {
    const most = rank === 0 ? high : placed[order[order.length - rank]!]! - gap;
    placed[index] = Math.min(placed[index]!, most);
  });
  return placed;
}

function drawNames(frame: Frame, series: readonly Styled[]): string {
  const ends = series.map(({ points }) => points.at(-1)!);
  const heights = ends.map(([, y]) => toY(frame, y));
  const placed = spread(heights, nameSize * 1.35, frame.top + 4, frame.top + frame.height - 2);
  return series
    .map(({ name, color, stroke }, i) => {
      const from = round(toX(frame, ends[i]![0]) + 6);
      const to = round(frame.left + frame.width + 18);
      const leader = `<path d="M${from} ${round(heights[i]!)}L${to} ${round(placed[i]!)}" stroke="${color}" stroke-opacity="0.6"${dashArray(stroke)} fill="none"/>`;
      return leader + textAt(to + 4, placed[i]! + 4.5, name, { size: nameSize, color, weight: "bold" });
    })
    .join("");
}

function checkSeries({ title, series }: LinePlot): void {
  const fault = (reason: string) => {
    throw new ArgumentError(`linePlot "${title}": ${reason}`, { op: "linePlot", argument: "series" });
  };
  if (series.length === 0) fault("series must not be empty");
  for (const { name, points } of series) if (points.length === 0) fault(`the series "${name}" has no points`);
}

/** Lines of text above and below a plot; plots in a row keep room for the most, so that their frames align. */
export interface TextRoom {
  title: number;
  caption: number;
}

function wrapTitle({ title }: LinePlot, width: number): string[] {
  return wrapText(title, width / boldMargin, titleSize);
}

function wrapCaption({ caption }: LinePlot, width: number): string[] {
  return caption ? wrapText(caption, width - 4, captionSize) : [];
}

export function textRoom(plot: LinePlot, width: number): TextRoom {
  return { title: wrapTitle(plot, width).length, caption: wrapCaption(plot, width).length };
}

function layout(plot: LinePlot, series: readonly Series[], size: PlotSize, room: TextRoom): Frame {
  const points = series.flatMap((one) => one.points);
  const x = makeAxis(
    points.map((point) => point[0]),
    plot.x,
  );
  const y = makeAxis(
    points.map((point) => point[1]),
    { pad: 0.08, ...plot.y },
  );
  const nameWidth = Math.max(...series.map(({ name }) => textWidth(name, nameSize, "bold")));
  const left = 14 + Math.max(...y.ticks.map((tick) => textWidth(y.format(tick), 12)));
  const top = 58 + (room.title - 1) * titleSize * 1.3;
  const width = size.width - left - nameWidth - 26;
  const height = size.height - top - 46 - (room.caption > 0 ? room.caption * captionSize * 1.4 + 8 : 0);
  if (width < 80 || height < 60)
    throw new ArgumentError(`linePlot "${plot.title}": ${size.width} by ${size.height} leaves no room for the lines`, {
      op: "linePlot",
      argument: "size",
    });
  return { left: round(left), top: round(top), width: round(width), height: round(height), x, y };
}

/** The plot as SVG elements, top left at 0 0. */
export function plotElements(plot: LinePlot, size: PlotSize, room = textRoom(plot, size.width)): string {
  checkSeries(plot);
  const series = styled(plot.series);
  const frame = layout(plot, series, size, room);
  const title = wrapTitle(plot, size.width);
  const captionAt = frame.top + frame.height + 62;
  return (
    linesAt(0, 18, title, { size: titleSize, weight: "bold", color: ink, leading: titleSize * 1.3 }) +
    textAt(0, frame.top - 18, frame.y.label, { size: 12.5, color: muted }) +
    drawAxes(frame) +
    drawMarks(frame, plot.marks, series) +
    series.map((one) => drawSeries(frame, one)).join("") +
    drawNames(frame, series) +
    linesAt(0, captionAt, wrapCaption(plot, size.width), { size: captionSize, color: ink })
  );
}

/** An SVG document around elements. */
export function svgDocument(elements: string, { width, height, title }: PlotSize & { title: string }): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" viewBox="0 0 ${round(width)} ${round(height)}" ` +
    `font-family="${fontFamily}" role="img"><title>${escapeXml(title)}</title>` +
    `<rect width="100%" height="100%" fill="#ffffff"/>${elements}</svg>\n`
  );
}

/** One plot as an SVG document. */
export function linePlot(plot: LinePlot, { width = 720, height = 460 }: Partial<PlotSize> = {}): string {
  const margin = 24;
  const svg = plotElements(plot, { width: width - 2 * margin, height: height - 2 * margin });
  return svgDocument(`<g transform="translate(${margin} ${margin})">${svg}</g>`, { width, height, title: plot.title });
}
