// Heat maps in a grid: several tables over the same two axes, one colour scale for all of them with its legend, the
// numbers in the cells where they fit. Plain SVG text, as all plots here.
import { ArgumentError } from "../errors.js";
import { grid, heatColor, ink, muted } from "./colors.js";
import { svgDocument } from "./line-plot.js";
import { boldMargin, linesAt, round, textAt, textWidth, wrapText } from "./text.js";

export interface HeatMap {
  title: string;
  /** Rows from top to bottom, in each the columns; null where nothing was measured. */
  values: readonly (readonly (number | null)[])[];
}

export interface HeatMaps {
  title: string;
  maps: readonly HeatMap[];
  x: { label: string; names: readonly string[] };
  y: { label: string; names: readonly string[] };
  /** What the colours mean, from `min` to `max`; 0 to 1 by default. */
  scale: { label: string; min?: number; max?: number; format: (value: number) => string };
  /** A line behind so many columns of each map, and what it marks. */
  boundary?: { columns: number; label: string };
  /** What is measured and what it means; wrapped under the maps. */
  caption?: string;
}

export interface HeatMapSize {
  width?: number;
  /** Maps beside each other. */
  columns?: number;
}

const margin = 24;
const gap = 18;
const titleSize = 16;
const mapTitleSize = 13;
const nameSize = 11.5;
const captionSize = 12.5;
/** Above the cells of a map its title, below them the names of the columns and their label. */
const room = { above: 26, below: 42 };

interface Frame {
  /** Where the cells of the left-most maps begin. */
  left: number;
  cellWidth: number;
  cellHeight: number;
  columns: number;
}

function widest(names: readonly string[], size: number): number {
  return Math.max(...names.map((name) => textWidth(name, size)));
}

function check({ title, maps, x, y, scale }: HeatMaps): void {
  const fault = (argument: string, reason: string) => {
    throw new ArgumentError(`heatMaps "${title}": ${reason}`, { op: "heatMaps", argument });
  };
  if (maps.length === 0) fault("maps", "maps must not be empty");
  if (x.names.length === 0 || y.names.length === 0) fault("x", "both axes need names");
  const { min = 0, max = 1 } = scale;
  if (!(min < max)) fault("scale", `the scale needs min < max, got ${min} and ${max}`);
  for (const { title: name, values } of maps) {
    if (values.length !== y.names.length || values.some((row) => row.length !== x.names.length))
      fault("maps", `the map "${name}" must have ${y.names.length} rows of ${x.names.length} values`);
    const wrong = values.flat().find((value) => value !== null && !(value >= min && value <= max));
    if (wrong !== undefined) fault("maps", `the map "${name}" has ${wrong}, outside of ${min} to ${max}`);
  }
}

function layout({ title, maps, x, y }: HeatMaps, { width = 960, columns }: HeatMapSize): Frame {
  const rows = Math.ceil(maps.length / 4);
  const beside = Math.max(1, Math.min(maps.length, columns ?? Math.ceil(maps.length / rows)));
  const left = margin + Math.max(widest(y.names, nameSize), textWidth(y.label, nameSize)) + 8;
  const mapWidth = (width - left - margin - gap * (beside - 1)) / beside;
  // Few columns need not fill the page, but they make room for the label below them.
  const roomy = Math.max(96, textWidth(x.label, nameSize) / x.names.length);
  const cellWidth = Math.min(roomy, mapWidth / x.names.length);
  if (cellWidth < 4)
    throw new ArgumentError(`heatMaps "${title}": a width of ${width} leaves no room for ${beside} maps in a row`, {
      op: "heatMaps",
      argument: "width",
    });
  return { left, cellWidth, cellHeight: Math.min(34, Math.max(18, 0.7 * cellWidth)), columns: beside };
}

function drawCells({ values }: HeatMap, { scale }: HeatMaps, { cellWidth, cellHeight }: Frame): string {
  const { min = 0, max = 1, format } = scale;
  const known = values.flat().filter((value) => value !== null);
  const fits = widest(["–", ...known.map(format)], nameSize) <= cellWidth - 4;
  const draw = (value: number | null, row: number, column: number) => {
    const [x, y] = [column * cellWidth, row * cellHeight];
    const { fill, text } = value === null ? { fill: "none", text: muted } : heatColor((value - min) / (max - min));
    const box = `<rect x="${round(x)}" y="${round(y)}" width="${round(cellWidth)}" height="${round(cellHeight)}" fill="${fill}" stroke="${value === null ? grid : "#ffffff"}"/>`;
    const style = { size: nameSize, color: text, anchor: "middle" } as const;
    const label = value === null ? "–" : format(value);
    return box + (fits ? textAt(x + cellWidth / 2, y + cellHeight / 2 + 4, label, style) : "");
  };
  return values.flatMap((cells, row) => cells.map((value, column) => draw(value, row, column))).join("");
}

/** Names of columns, as many as fit without touching. */
function drawColumnNames({ x }: HeatMaps, { cellWidth }: Frame, y: number): string {
  const every = Math.ceil((widest(x.names, nameSize) + 6) / cellWidth);
  return x.names
    .map((name, i) =>
      i % every === 0 ? textAt((i + 0.5) * cellWidth, y, name, { size: nameSize, color: muted, anchor: "middle" }) : "",
    )
    .join("");
}

/** On white, so that it is seen on dark cells. */
function dashes(path: string): string {
  return (
    `<path d="${path}" stroke="#ffffff" stroke-width="4"/>` +
    `<path d="${path}" stroke="${ink}" stroke-width="1.6" stroke-dasharray="4 3"/>`
  );
}

/** One map, the top left of its cells at 0 0. */
function drawMap(map: HeatMap, content: HeatMaps, frame: Frame, isFirst: boolean): string {
  const { x, y, boundary } = content;
  const { cellWidth, cellHeight } = frame;
  const [width, height] = [cellWidth * x.names.length, cellHeight * y.names.length];
  const atRight = { size: nameSize, color: muted, anchor: "end" } as const;
  const [title, ...cut] = wrapText(map.title, width / boldMargin, mapTitleSize);
  const parts = [
    textAt(0, -9, cut.length > 0 ? `${title} …` : title!, { size: mapTitleSize, weight: "bold", color: ink }),
    drawCells(map, content, frame),
    drawColumnNames(content, frame, height + 15),
    textAt(width / 2, height + 31, x.label, { size: nameSize, color: muted, anchor: "middle" }),
  ];
  if (isFirst) {
    parts.push(textAt(-8, -9, y.label, atRight));
    parts.push(...y.names.map((name, row) => textAt(-8, (row + 0.5) * cellHeight + 4, name, atRight)));
  }
  if (boundary) parts.push(dashes(`M${round(boundary.columns * cellWidth)} -4V${round(height + 4)}`));
  return parts.join("");
}

const legend = { width: 220, height: 12, steps: 11 }; // narrower on a narrow page

/** The colours from min to max, what they mean, and the sample of the boundary; top left at 0 0. */
function drawLegend({ scale, boundary, maps }: HeatMaps, width: number): { svg: string; height: number } {
  const { min = 0, max = 1, format, label } = scale;
  const barWidth = Math.min(legend.width, 0.4 * width);
  const step = barWidth / legend.steps;
  const small = { size: nameSize, color: muted } as const;
  const parts = Array.from({ length: legend.steps }, (_, i) => {
    const { fill } = heatColor(i / (legend.steps - 1));
    return `<rect x="${round(i * step)}" y="0" width="${round(step)}" height="${legend.height}" fill="${fill}" stroke="${grid}"/>`;
  });
  for (const share of [0, 0.5, 1]) {
    const value = format(min + share * (max - min));
    const x = step / 2 + share * (barWidth - step);
    parts.push(textAt(x, legend.height + 14, value, { ...small, anchor: "middle" }));
  }
  const at = barWidth + widest([format(max)], nameSize) / 2 + 8;
  const open = maps.some(({ values }) => values.flat().includes(null));
  const lines = wrapText(open ? `${label}; white: not measured` : label, width - at, nameSize);
  parts.push(linesAt(at, 10, lines, { ...small, leading: 16 }));
  const below = 10 + 16 * lines.length;
  if (boundary)
    parts.push(dashes(`M${round(at)} ${below - 4}H${round(at + 26)}`), textAt(at + 32, below, boundary.label, small));
  return { svg: parts.join(""), height: Math.max(legend.height + 14, below) };
}

/** All maps as one SVG document; its height follows from what is on it. */
export function heatMaps(content: HeatMaps, size: HeatMapSize = {}): string {
  check(content);
  const { width = 960 } = size;
  const frame = layout(content, size);
  const inner = width - 2 * margin;
  const title = wrapText(content.title, inner / boldMargin, titleSize);
  const parts = [linesAt(margin, margin + 16, title, { size: titleSize, weight: "bold", color: ink, leading: 21 })];
  const top = margin + 16 + title.length * 21;
  const mapHeight = room.above + frame.cellHeight * content.y.names.length + room.below;
  const mapWidth = frame.cellWidth * content.x.names.length;
  content.maps.forEach((map, i) => {
    const column = i % frame.columns;
    const x = frame.left + column * (mapWidth + gap);
    const y = top + Math.floor(i / frame.columns) * mapHeight + room.above;
    parts.push(`<g transform="translate(${round(x)} ${round(y)})">${drawMap(map, content, frame, column === 0)}</g>`);
  });
  const legendAt = top + Math.ceil(content.maps.length / frame.columns) * mapHeight + 4;
  const { svg, height: legendHeight } = drawLegend(content, width - margin - frame.left);
  parts.push(`<g transform="translate(${round(frame.left)} ${round(legendAt)})">${svg}</g>`);
  const caption = content.caption ? wrapText(content.caption, inner - 4, captionSize) : [];
  const captionAt = legendAt + legendHeight + 34;
  parts.push(linesAt(margin, captionAt, caption, { size: captionSize, color: ink }));
  const height = caption.length > 0 ? captionAt + caption.length * captionSize * 1.4 + 6 : captionAt;
  return svgDocument(parts.join("\n"), { width, height, title: content.title });
}
