// Plots: sound XML, nothing outside of the page, nothing upon another, and errors for what cannot be drawn.
import { describe, expect, it } from "vitest";
import { spread } from "../../lib/plot/line-plot.js";
import { figure, type LinePlot, linePlot } from "../../lib/plot/index.js";
import { makeAxis } from "../../lib/plot/scale.js";
import { textWidth, wrapText } from "../../lib/plot/text.js";
import { expectTextsApart, expectWellFormed, texts } from "./svg.js";

const plot: LinePlot = {
  title: 'Curves of <a> & "b"',
  x: { scale: "log", label: "tokens", ticks: [256, 1024, 4096] },
  y: { scale: "log", label: "perplexity" },
  marks: [{ x: 256, label: "trained length" }],
  series: [
    { name: "first & last", points: [256, 1024, 4096].map((x) => [x, x / 8] as const) },
    { name: "second", points: [256, 1024, 4096].map((x) => [x, x / 8.1] as const) },
  ],
  caption: "What is measured, and what it means. ".repeat(8),
};

describe("linePlot", () => {
  it("is one well-formed document with escaped text", () => {
    const svg = linePlot(plot);
    expect(svg).toContain("<title>Curves of &lt;a&gt; &amp; &quot;b&quot;</title>");
    expectWellFormed(svg);
  });
  it.each([
    [520, 420],
    [720, 460],
    [1000, 700],
  ])("keeps texts apart and inside at %d by %d", (width, height) => {
    const svg = linePlot(plot, { width, height });
    expect(texts(svg).length).toBeGreaterThan(10);
    expectTextsApart(svg, { width, height });
  });
  it("tells eighteen lines apart, by colour and dashes, and their names do not touch", () => {
    const names = Array.from({ length: 18 }, (_, i) => `scheme-${i + 1}`);
    const points = (i: number) => [256, 1024, 4096].map((x) => [x, 40 + i / 4] as const);
    const svg = linePlot({ ...plot, series: names.map((name, i) => ({ name, points: points(i) })) }, { height: 680 });
    const lines = [
      ...svg.matchAll(/<path d="M[^"]*" fill="none" stroke="([^"]+)"[^>]*?(stroke-dasharray="[^"]+")?\/>/g),
    ];
    expect(new Set(lines.map(([, color, dashes]) => `${color} ${dashes}`)).size).toBe(18);
    const heights = texts(svg).filter(({ content }) => names.includes(content));
    expect(heights).toHaveLength(18);
    for (const one of heights)
      for (const other of heights)
        expect(one === other || one.top >= other.bottom || other.top >= one.bottom).toBe(true);
  });
  it("places data where its axes say", () => {
    const svg = linePlot({
      title: "t",
      x: { min: 0, max: 10 },
      y: { min: 0, max: 1 },
      series: [
        {
          name: "s",
          points: [
            [0, 0],
            [5, 0.5],
            [10, 1],
          ],
        },
      ],
    });
    const path = /<path d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"/.exec(svg)!.slice(1).map(Number);
    expect(path[2]).toBeCloseTo((path[0]! + path[4]!) / 2, 1);
    expect(path[3]).toBeCloseTo((path[1]! + path[5]!) / 2, 1);
    expect(path[1]).toBeGreaterThan(path[5]!);
  });
  it("refuses what cannot be drawn", () => {
    const draw = (series: LinePlot["series"], size = {}) => linePlot({ title: "t", y: { scale: "log" }, series }, size);
    expect(() => draw([])).toThrow('linePlot "t": series must not be empty');
    expect(() => draw([{ name: "s", points: [] }])).toThrow('the series "s" has no points');
    expect(() => draw([{ name: "s", points: [[1, 0]] }])).toThrow(
      "a log axis needs positive, finite values, got 0 to 0",
    );
    expect(() => draw([{ name: "s", points: [[1, Number.NaN]] }])).toThrow("finite values");
    expect(() => draw([{ name: "s", points: [[1, 1]] }], { width: 100, height: 80 })).toThrow("leaves no room");
  });
});

describe("figure", () => {
  it("puts everything on one page without overlap of plots", () => {
    const svg = figure({
      title: "A page",
      subtitle: "of plots",
      facts: [
        { value: "12", label: "a dozen" },
        { value: "3 ms", label: "late" },
      ],
      plots: [plot, { ...plot, caption: "short" }, plot],
      notes: [{ heading: "Note", text: "words ".repeat(60), italic: true }],
      footer: "end",
    });
    const places = [...svg.matchAll(/<g transform="translate\(([\d.]+) ([\d.]+)\)">/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    expect(places).toHaveLength(3);
    expect(places[0]![1]).toBe(places[1]![1]);
    expect(places[2]![1]).toBeGreaterThan(places[0]![1]! + 440);
    const height = Number(/height="([\d.]+)"/.exec(svg)![1]);
    expect(Math.max(...texts(svg).map(({ bottom }) => bottom))).toBeLessThan(height);
  });
});

describe("axes and text", () => {
  it("ticks are round", () => {
    expect(makeAxis([0, 97]).ticks).toEqual([0, 20, 40, 60, 80, 100]);
    expect(makeAxis([1, 1000], { scale: "log" }).ticks).toEqual([1, 10, 100, 1000]);
    expect(makeAxis([38, 131], { scale: "log" }).ticks).toEqual([40, 60, 80, 100, 120]);
    expect(makeAxis([5, 5]).place(5)).toBeCloseTo(0.5);
  });
  it("labels are pushed apart and stay inside", () => {
    const placed = spread([10, 11, 12, 90, 91], 15, 0, 100);
    expect(placed.map((y, i) => placed.every((other, j) => i === j || Math.abs(y - other) >= 15 - 1e-9))).not.toContain(
      false,
    );
    expect(Math.max(...placed)).toBeLessThanOrEqual(100);
    expect(placed.toSorted((a, b) => a - b)).toEqual(placed);
  });
  it("lines are broken at spaces, within the width", () => {
    const lines = wrapText("one two three four five six seven", 80, 12);
    expect(lines.join(" ")).toBe("one two three four five six seven");
    for (const line of lines) expect(textWidth(line, 12)).toBeLessThanOrEqual(80);
  });
});
