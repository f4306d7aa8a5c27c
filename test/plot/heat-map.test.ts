// Heat maps: one colour scale that reads without colour, numbers only where they fit, nothing upon another.
import { describe, expect, it } from "vitest";
import { heatColor } from "../../lib/plot/colors.js";
import { type HeatMaps, heatMaps } from "../../lib/plot/index.js";
import { expectTextsApart, expectWellFormed, texts } from "./svg.js";

const percent = (share: number) => `${Math.round(100 * share)} %`;

function content(maps: number, rows: number, columns: number): HeatMaps {
  return {
    title: "Found <by> depth & length",
    maps: Array.from({ length: maps }, (_, map) => ({
      title: `scheme ${map}`,
      values: Array.from({ length: rows }, (_, row) =>
        Array.from({ length: columns }, (_, column) => ((map + row + column) % 5) / 4),
      ),
    })),
    x: { label: "tokens of the prompt", names: Array.from({ length: columns }, (_, i) => String(256 * 2 ** i)) },
    y: { label: "depth", names: Array.from({ length: rows }, (_, i) => percent(i / Math.max(1, rows - 1))) },
    scale: { label: "prompts answered rightly", format: percent },
    boundary: { columns: 1, label: "trained length" },
    caption: "What was measured, and how much of it. ".repeat(6),
  };
}

const sizeOf = (svg: string) => ({
  width: Number(/width="([\d.]+)"/.exec(svg)![1]),
  height: Number(/height="([\d.]+)"/.exec(svg)![1]),
});

describe("heatMaps", () => {
  it.each([
    [1, 1, 1, 960],
    [1, 5, 5, 400],
    [4, 5, 1, 960],
    [5, 3, 2, 960],
    [7, 5, 5, 960],
    [12, 11, 9, 1200],
    [2, 35, 35, 960],
  ])("draws %d maps of %d × %d on %d pixels with nothing upon another", (maps, rows, columns, width) => {
    const svg = heatMaps(content(maps, rows, columns), { width });
    expectWellFormed(svg);
    expectTextsApart(svg, sizeOf(svg));
    for (let map = 0; map < maps; map++) expect(texts(svg).map((one) => one.content)).toContain(`scheme ${map}`);
  });
  it("colours a value alike in every map, and writes it where it fits", () => {
    const two = content(2, 1, 2);
    const values = [[[0.25, 1]], [[1, null]]];
    const svg = heatMaps({ ...two, maps: two.maps.map((map, i) => ({ ...map, values: values[i]! })) });
    expect(svg.match(new RegExp(`fill="${heatColor(1).fill}" stroke="#ffffff"`, "g"))).toHaveLength(2);
    expect(svg.match(new RegExp(`fill="${heatColor(0.25).fill}" stroke="#ffffff"`, "g"))).toHaveLength(1);
    const written = texts(svg).map((one) => one.content);
    expect(written).toContain("25 %");
    expect(written).toContain("–");
    expect(written).toContain("prompts answered rightly; white: not measured");
    expect(texts(heatMaps(content(2, 35, 35))).map((one) => one.content)).not.toContain("25 %");
  });
  it("refuses what cannot be drawn", () => {
    const good = content(1, 2, 2);
    const draw = (values: (number | null)[][]) => () => heatMaps({ ...good, maps: [{ title: "m", values }] });
    expect(() => heatMaps({ ...good, maps: [] })).toThrow("maps must not be empty");
    expect(draw([[0, 1]])).toThrow('the map "m" must have 2 rows of 2 values');
    expect(draw([[0, 1], [0]])).toThrow('the map "m" must have 2 rows of 2 values');
    expect(
      draw([
        [0, 1],
        [0, 1.5],
      ]),
    ).toThrow('the map "m" has 1.5, outside of 0 to 1');
    expect(
      draw([
        [0, 1],
        [0, Number.NaN],
      ]),
    ).toThrow("has NaN, outside of 0 to 1");
    expect(() => heatMaps(content(4, 2, 40), { width: 300 })).toThrow("leaves no room for 4 maps in a row");
  });
});

describe("the colours of heat maps", () => {
  const shares = Array.from({ length: 101 }, (_, i) => i / 100);
  it("grow darker all the way", () => {
    const light = shares.map((share) => heatColor(share).luminance);
    for (let i = 1; i < light.length; i++) expect(light[i]).toBeLessThan(light[i - 1]!);
    expect(light[0]! / light[100]!).toBeGreaterThan(15);
  });
  it("let text upon them be read", () => {
    for (const share of shares) {
      const { text, luminance } = heatColor(share);
      const ratio = text === "#ffffff" ? 1.05 / (luminance + 0.05) : (luminance + 0.05) / (0.02 + 0.05);
      expect(ratio, String(share)).toBeGreaterThan(3.8);
    }
  });
});
