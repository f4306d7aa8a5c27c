// Axes: from data to pixels, linear or logarithmic, with ticks at round values.
import { ArgumentError } from "../errors.js";

export type ScaleKind = "linear" | "log";

export interface AxisOptions {
  scale?: ScaleKind;
  /** Ends of the axis; by default those of the data, widened to ticks on a linear axis. */
  min?: number | undefined;
  max?: number | undefined;
  /** Room beyond the data at both ends of a logarithmic axis, as a share of it. */
  pad?: number | undefined;
  /** Where ticks stand; round values by default. */
  ticks?: readonly number[] | undefined;
  format?: (value: number) => string;
  label?: string;
}

export interface Axis {
  min: number;
  max: number;
  ticks: readonly number[];
  /** 0 at min, 1 at max. */
  place(value: number): number;
  format(value: number): string;
  label: string;
}

/** 1, 2 or 5 times a power of ten, so that about `count` steps span the range. */
function roundStep(range: number, count: number): number {
  const rough = range / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * 0.999) ?? 10;
  return factor * power;
}

function linearTicks(min: number, max: number, count: number): number[] {
  const step = roundStep(max - min, count);
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The coarsest of 1, 1-3, 1-2-5 and linear steps that has three ticks or more within the range. */
function logTicks(min: number, max: number): number[] {
  for (const factors of [[1], [1, 3], [1, 2, 5]]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++)
      for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
    const inside = ticks.filter((tick) => tick >= min * 0.999 && tick <= max * 1.001);
    if (inside.length >= 3) return inside;
  }
  return linearTicks(min, max, 8);
}

export function compactNumber(value: number): string {
  const units = [
    { from: 1e9, divisor: 1e9, sign: "G" },
    { from: 1e6, divisor: 1e6, sign: "M" },
    { from: 1e4, divisor: 1e3, sign: "k" },
  ];
  const unit = units.find(({ from }) => Math.abs(value) >= from);
  return unit ? `${Number((value / unit.divisor).toPrecision(3))}${unit.sign}` : String(Number(value.toPrecision(6)));
}

/** An axis over the values, which must be finite, and positive on a logarithmic one. */
export function makeAxis(values: readonly number[], options: AxisOptions = {}): Axis {
  const { scale = "linear", format = compactNumber, label = "" } = options;
  let min = options.min ?? Math.min(...values);
  let max = options.max ?? Math.max(...values);
  const sound = Number.isFinite(min) && Number.isFinite(max) && (scale === "linear" || min > 0);
  if (!sound)
    throw new ArgumentError(
      `linePlot: a ${scale} axis needs ${scale === "log" ? "positive, " : ""}finite values, got ${min} to ${max}`,
      { op: "linePlot", argument: "series" },
    );
  if (min === max) [min, max] = scale === "log" ? [min / 2, max * 2] : [min - 0.5, max + 0.5];
  if (scale === "log") {
    const room = (max / min) ** (options.pad ?? 0);
    if (options.min === undefined) min /= room;
    if (options.max === undefined) max *= room;
    const place = (value: number) => Math.log(value / min) / Math.log(max / min);
    return { min, max, ticks: options.ticks ?? logTicks(min, max), place, format, label };
  }
  const step = roundStep(max - min, 5);
  if (options.min === undefined) min = Math.floor(min / step + 1e-9) * step;
  if (options.max === undefined) max = Math.ceil(max / step - 1e-9) * step;
  const place = (value: number) => (value - min) / (max - min);
  return { min, max, ticks: options.ticks ?? linearTicks(min, max, 5), place, format, label };
}
