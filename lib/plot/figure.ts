// A page of plots: a headline, a row of figures in large type, the plots in columns, and notes.
import { ink, muted } from "./colors.js";
import { type LinePlot, plotElements, svgDocument, textRoom } from "./line-plot.js";
import { boldMargin, linesAt, round, textAt, wrapText } from "./text.js";

export interface Figure {
  title: string;
  subtitle?: string;
  /** Single numbers, in large type: what they are stands below. */
  facts?: readonly { value: string; label: string }[];
  plots: readonly LinePlot[];
  /** Blocks of text under the plots. */
  notes?: readonly { heading: string; text: string; italic?: boolean }[];
  footer?: string;
}

export interface FigureSize {
  width?: number;
  plotHeight?: number;
  columns?: number;
}

/** Pieces of the page under each other: each draws itself at a height and says how much it took. */
class Page {
  readonly parts: string[] = [];
  y: number;
  readonly width: number;
  readonly margin: number;

  constructor(width: number, margin: number) {
    this.width = width;
    this.margin = margin;
    this.y = margin;
  }
  get inner(): number {
    return this.width - 2 * this.margin;
  }

  lines(text: string, style: { size: number; color: string; weight?: "bold"; italic?: boolean }, after: number): void {
    const wrapped = wrapText(text, this.inner / (style.weight === "bold" ? boldMargin : 1), style.size);
    const leading = style.size * 1.4;
    this.parts.push(linesAt(this.margin, this.y + style.size, wrapped, { ...style, leading }));
    this.y += wrapped.length * leading + after;
  }

  facts(facts: NonNullable<Figure["facts"]>): void {
    const step = (this.inner + 12) / facts.length;
    const labels = facts.map(({ label }) => wrapText(label, step - 36, 12.5));
    const height = 62 + Math.max(...labels.map((lines) => lines.length)) * 17;
    facts.forEach(({ value }, i) => {
      const x = round(this.margin + i * step);
      this.parts.push(
        `<rect x="${x}" y="${this.y}" width="${round(step - 12)}" height="${height}" rx="6" fill="#f3f6f9"/>`,
        textAt(x + 12, this.y + 38, value, { size: 25, weight: "bold", color: ink }),
        linesAt(x + 12, this.y + 60, labels[i]!, { size: 12.5, color: muted, leading: 17 }),
      );
    });
    this.y += height + 34;
  }

  plots(plots: readonly LinePlot[], columns: number, plotHeight: number): void {
    const gap = 44;
    const width = (this.inner - gap * (columns - 1)) / columns;
    for (let first = 0; first < plots.length; first += columns) {
      const row = plots.slice(first, first + columns);
      const rooms = row.map((plot) => textRoom(plot, width));
      const room = {
        title: Math.max(...rooms.map(({ title }) => title)),
        caption: Math.max(...rooms.map(({ caption }) => caption)),
      };
      row.forEach((plot, i) => {
        const svg = plotElements(plot, { width, height: plotHeight }, room);
        this.parts.push(`<g transform="translate(${round(this.margin + i * (width + gap))} ${this.y})">${svg}</g>`);
      });
      this.y += plotHeight + 34;
    }
  }
}

/** The whole page as an SVG document; its height follows from what is on it. */
export function figure(content: Figure, { width = 1200, plotHeight = 440, columns = 2 }: FigureSize = {}): string {
  const page = new Page(width, 40);
  page.lines(content.title, { size: 28, weight: "bold", color: ink }, 2);
  if (content.subtitle) page.lines(content.subtitle, { size: 14.5, color: muted }, 18);
  if (content.facts?.length) page.facts(content.facts);
  page.plots(content.plots, columns, plotHeight);
  for (const { heading, text, italic = false } of content.notes ?? []) {
    page.lines(heading, { size: 16, weight: "bold", color: ink }, 0);
    page.lines(text, { size: 14, color: ink, italic }, 16);
  }
  if (content.footer) page.lines(content.footer, { size: 12, color: muted }, 0);
  return svgDocument(page.parts.join("\n"), { width, height: page.y + page.margin - 10, title: content.title });
}
