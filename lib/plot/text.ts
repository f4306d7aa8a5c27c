// Text in SVG: escaping, and widths estimated from Helvetica's metrics, since nothing here can ask a font. The estimate
// errs to the wide side, so that what is laid out by it also fits in the wider fonts that stand in for Helvetica.

export const fontFamily = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif";

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

const wideMargin = 1.13;
/** Of bold letters over normal ones. */
export const boldMargin = 1.13;

function emWidth(character: string): number {
  if (/[ijl.,:;'|!’]/.test(character)) return 0.26;
  if (/[frt()[\] /-]/.test(character)) return 0.32;
  if (/[mwMW%@—…]/.test(character)) return 0.9;
  if (/[A-Z×→]/.test(character)) return 0.7;
  return 0.56;
}

/** Width in pixels, rather too large than too small. */
export function textWidth(text: string, size: number, weight: "normal" | "bold" = "normal"): number {
  let ems = 0;
  for (const character of text) ems += emWidth(character);
  return ems * size * wideMargin * (weight === "bold" ? boldMargin : 1);
}

/** Lines that are at most `width` pixels wide, broken at spaces; a longer word stands alone. */
export function wrapText(text: string, width: number, size: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(/ +/)) {
      const longer = line === "" ? word : `${line} ${word}`;
      if (line !== "" && textWidth(longer, size) > width) {
        lines.push(line);
        line = word;
      } else line = longer;
    }
    lines.push(line);
  }
  return lines;
}

export interface TextStyle {
  size?: number;
  color?: string;
  anchor?: "start" | "middle" | "end";
  weight?: "normal" | "bold";
  italic?: boolean;
}

/** A text element; y is the baseline. */
export function textAt(x: number, y: number, text: string, style: TextStyle = {}): string {
  const { size = 12, color = "#1c2733", anchor = "start", weight = "normal", italic = false } = style;
  const attributes = [
    `x="${round(x)}" y="${round(y)}" font-size="${size}" fill="${color}"`,
    anchor === "start" ? "" : ` text-anchor="${anchor}"`,
    weight === "normal" ? "" : ' font-weight="bold"',
    italic ? ' font-style="italic"' : "",
  ];
  return `<text ${attributes.join("")}>${escapeXml(text)}</text>`;
}

/** Lines under each other, the first baseline at y. */
export function linesAt(
  x: number,
  y: number,
  lines: readonly string[],
  style: TextStyle & { leading?: number },
): string {
  const leading = style.leading ?? (style.size ?? 12) * 1.4;
  return lines.map((line, i) => textAt(x, y + i * leading, line, style)).join("");
}

/** Coordinates with at most two decimals. */
export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
