// What every drawing is held to: sound XML, and texts inside of the page that do not lie upon another.
import { expect } from "vitest";
import { textWidth } from "../../lib/plot/text.js";

export function expectWellFormed(svg: string): void {
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*<\/svg>\n$/s);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  const open: string[] = [];
  for (const [, close, name, self] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g))
    if (close) expect(open.pop()).toBe(name);
    else if (!self) open.push(name!);
  expect(open).toEqual([]);
}

interface Box {
  content: string;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

function boxOf(x: number, y: number, size: number, style: string, content: string): Box {
  const weight = style.includes("bold") ? "bold" : "normal";
  const width = textWidth(content.replace(/&\w+;|&#\d+;/g, "&"), size, weight);
  const left = x - (style.includes('"middle"') ? width / 2 : style.includes('"end"') ? width : 0);
  return { content, left, right: left + width, top: y - 0.8 * size, bottom: y };
}

/** Every text with its box on the page, by the estimate of widths that the layout itself uses. */
export function texts(svg: string): Box[] {
  const shifts: [number, number][] = [[0, 0]];
  const boxes: Box[] = [];
  const pieces =
    /<g transform="translate\(([-\d.]+) ([-\d.]+)\)">|(<\/g>)|<text x="([-\d.]+)" y="([-\d.]+)" font-size="([\d.]+)"([^>]*)>([^<]*)</g;
  for (const [, dx, dy, close, x, y, size, style, content] of svg.matchAll(pieces)) {
    const [left, top] = shifts.at(-1)!;
    if (close) shifts.pop();
    else if (dx !== undefined) shifts.push([left + Number(dx), top + Number(dy)]);
    else boxes.push(boxOf(left + Number(x), top + Number(y), Number(size), style!, content!));
  }
  return boxes;
}

export function expectTextsApart(svg: string, { width, height }: { width: number; height: number }): void {
  const boxes = texts(svg);
  for (const box of boxes) {
    expect(box.left, box.content).toBeGreaterThanOrEqual(0);
    expect(box.right, box.content).toBeLessThanOrEqual(width);
    expect(box.bottom, box.content).toBeLessThanOrEqual(height);
    for (const other of boxes)
      if (box !== other && box.left < other.right && other.left < box.right)
        expect(box.top >= other.bottom || other.top >= box.bottom, `${box.content} | ${other.content}`).toBe(true);
  }
}
