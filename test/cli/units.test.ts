// Numbers as the command line takes and prints them.
import { describe, expect, it } from "vitest";
import { positions } from "../../lib/index.js";
import {
  factorTypes,
  formatBytes,
  formatSeconds,
  parseCount,
  parseLengths,
  parseNames,
  parseNumber,
  parseRopeScaling,
} from "../../lib/cli/units.js";

describe("parseCount", () => {
  it.each([
    ["1", 1],
    ["4k", 4096],
    ["1.5K", 1536],
    ["2m", 2 ** 21],
  ])("%s", (text, value) => expect(parseCount(text)).toBe(value));
  it.each(["", "0", "-1", "k", "1.3", "1e3", "4kb"])("refuses %j", (text) =>
    expect(() => parseCount(text)).toThrow("Expected a whole number such as 4096 or 4k (4 × 1024)."),
  );
});

describe("parseLengths", () => {
  it.each([
    ["256..4k", [256, 512, 1024, 2048, 4096]],
    ["300..1000", [300, 600]],
    ["1k,256,1024", [256, 1024]],
    ["128,256..512", [128, 256, 512]],
  ])("%s", (text, lengths) => expect(parseLengths(text)).toEqual(lengths));
  it.each(["1..2..3", "4k..1k", ",", "a"])("refuses %j", (text) => expect(() => parseLengths(text)).toThrow());
});

describe("parseRopeScaling and parseNumber", () => {
  it("reads types and factors", () => {
    expect(parseRopeScaling("none")).toEqual({ rope_type: "default" });
    expect(parseRopeScaling("linear:4")).toEqual({ rope_type: "linear", factor: 4 });
    expect(() => parseRopeScaling("linear:x")).toThrow("linear:4");
    expect(() => parseRopeScaling("linear:Infinity")).toThrow("linear:4");
  });
  it.each(factorTypes)("%s needs nothing but a factor", (type) => {
    const config = { model_type: "llama", head_dim: 32, max_position_embeddings: 256, rope_theta: 10000 };
    const of = (text: string) =>
      positions.fromConfig({ ...config, rope_parameters: parseRopeScaling(text) }, { seqLen: 1024 }).frequencies;
    expect(of(`${type}:4`).at(-1)).toBeLessThan(of("none").at(-1)!);
  });
  it("reads names, each once", () => {
    expect(parseNames("none, yarn,none")).toEqual(["none", "yarn"]);
    expect(() => parseNames("none,")).toThrow("none,yarn,window");
  });
  it("keeps numbers within their bounds", () => {
    expect(parseNumber({ max: 1 })("0.9")).toBe(0.9);
    expect(() => parseNumber({ max: 1 })("1.1")).toThrow("Expected a number from 0 to 1.");
    expect(() => parseNumber({ integer: true })("1.5")).toThrow("Expected a whole number from 0 on.");
  });
});

describe("formats", () => {
  it.each([
    [512, "512 B"],
    [2560, "2.5 KiB"],
    [1023.9 * 2 ** 20, "1024 MiB"],
    [3 * 2 ** 30, "3 GiB"],
  ])("%d bytes", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
  it("seconds", () => expect([3.14, 59.6, 75].map(formatSeconds)).toEqual(["3.1 s", "60 s", "1 min 15 s"]));
});
