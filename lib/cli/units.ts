// Numbers as people write and read them: 4k, 256..4k, 1.5 GiB.
import { InvalidArgumentError } from "commander";

const suffixes: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2 };

/** 4096, 4k (4 · 1024) or 1m. */
export function parseCount(text: string): number {
  const found = /^(\d+(?:\.\d+)?)([km]?)$/i.exec(text.trim());
  const value = found ? Number(found[1]) * suffixes[found[2]!.toLowerCase()]! : Number.NaN;
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("Expected a whole number such as 4096 or 4k (4 × 1024).");
  return value;
}

/** "256,1k,3k", or "256..4k": doubled from the first to the last. */
export function parseLengths(text: string): number[] {
  const lengths = text.split(",").flatMap((part) => {
    const [first, last, ...more] = part.split("..");
    if (more.length > 0) throw new InvalidArgumentError("Expected lengths such as 256..4k or 256,1k,4k.");
    const from = parseCount(first!);
    const to = last === undefined ? from : parseCount(last);
    if (to < from) throw new InvalidArgumentError(`The range ${part} ends before it begins.`);
    const doubled: number[] = [];
    for (let length = from; length <= to; length *= 2) doubled.push(length);
    return doubled;
  });
  return [...new Set(lengths)].sort((a, b) => a - b);
}

/** "0,50,100" percent: shares from 0 to 1, ascending. */
export function parseShares(text: string): number[] {
  const shares = text.split(",").map((part) => parseNumber({ max: 100 })(part) / 100);
  return [...new Set(shares)].sort((a, b) => a - b);
}

/** A parser of numbers within bounds. */
export function parseNumber({ min = 0, max = Number.POSITIVE_INFINITY, integer = false } = {}) {
  return (text: string): number => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= min && value <= max && (!integer || Number.isSafeInteger(value)))
      return value;
    const bounds = max === Number.POSITIVE_INFINITY ? `from ${min} on` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`Expected a ${integer ? "whole " : ""}number ${bounds}.`);
  };
}

/** The rope_types that need a factor and nothing else; llama3's other numbers are those of Llama 3.1. */
export const factorTypes: readonly string[] = [
  "linear",
  "dynamic",
  "ntk",
  "ntk_fixed",
  "ntk_mixed",
  "by_parts",
  "yarn",
  "llama3",
];
const otherNumbers: Record<string, object> = { llama3: { low_freq_factor: 1, high_freq_factor: 4 } };

/** "linear:4", "yarn", "none" → rope_scaling; the factor of a type alone is left to the caller. */
export function parseRopeScaling(text: string): { rope_type: string; factor?: number } {
  const [type, factor, ...more] = text.split(":");
  const value = factor === undefined ? undefined : Number(factor);
  if (!type || more.length > 0 || (value !== undefined && !(value >= 1 && value < Number.POSITIVE_INFINITY)))
    throw new InvalidArgumentError("Expected none, or a type and its factor, such as linear:4.");
  const name = type === "none" ? "default" : type;
  const others = Object.hasOwn(otherNumbers, name) ? otherNumbers[name] : {};
  return { rope_type: name, ...others, ...(value !== undefined && { factor: value }) };
}

/** Words between commas, each once. */
export function parseNames(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("Expected names between commas, such as none,yarn,window.");
  return [...new Set(names)];
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value >= 100 || unit === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${Math.round(seconds - 60 * minutes)} s`;
}

export function formatShare(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}
