// Perplexity by length for each position scheme. The value at a length L is exp of the mean of −log p at positions
// 1 … L−1 over windows that begin evenly spread over the text, the same ones for every scheme and length. Where a scheme's
// settings do not change with the length, one pass over the longest window has the values of all shorter ones in it.
import { isDeepStrictEqual } from "node:util";
import { ArgumentError, UnsupportedError } from "../errors.js";
import type { Model } from "../model.js";
import { type EvaluationProgress, trainedLength } from "./perplexity.js";
import { schemeFor, type SchemeSettings } from "./schemes.js";

/** One window of the text through the model. */
export interface SchemePass {
  scheme: string;
  /** Which of the windows, from 0 on. */
  window: number;
  /** Tokens of the window. */
  length: number;
  /** For each length that the pass serves: the sum of −log p over the predictions within it. */
  sums: readonly number[];
  seconds: number;
}

export interface SchemeValue {
  length: number;
  /** Mean of −log p, natural log. */
  nll: number;
  perplexity: number;
  windows: number;
  predictions: number;
}

export interface SchemeCurve {
  scheme: string;
  title: string;
  /** Those of the longest length. */
  settings: SchemeSettings;
  /** Passes over each window: 1 where one served all lengths. */
  passes: number;
  values: SchemeValue[];
  seconds: number;
}

export interface SkippedScheme {
  scheme: string;
  title: string;
  reason: string;
}

export interface SchemeComparison {
  trainedLength: number;
  lengths: number[];
  /** Where in the text the windows begin. */
  beginnings: number[];
  curves: SchemeCurve[];
  skipped: SkippedScheme[];
}

export interface SchemeProgress extends EvaluationProgress {
  scheme: string;
  length: number;
  window: number;
}

export interface SchemeComparisonOptions {
  /** Names of `schemeNames`. */
  schemes: readonly string[];
  lengths: readonly number[];
  /** How many windows of the text: 8 if absent. */
  windows?: number;
  /** Settings of each length's own factor, length / trained length, instead of the longest's for all. */
  perLength?: boolean;
  /** Passes of an earlier run of the same model, text, lengths and windows, which are not run again. */
  finished?: readonly SchemePass[];
  /** Called with each pass as it is finished, and awaited. */
  onPass?: (pass: SchemePass) => void | Promise<void>;
  /** Called as each pass begins, and at the end; tokens count. */
  onProgress?: (progress: SchemeProgress) => void;
  signal?: AbortSignal;
}

export const defaultWindows = 8;

/** A scheme's passes over each window: how long, for which lengths, with which settings; the shortest first. */
export interface SchemePlan {
  scheme: string;
  title: string;
  passes: { length: number; serves: number[]; settings: SchemeSettings }[];
}

/** What a scheme needs to be run over lengths in ascending order, or why it cannot be. */
export function planScheme(
  model: Model,
  name: string,
  { lengths, perLength = false }: { lengths: readonly number[]; perLength?: boolean },
): SchemePlan | SkippedScheme {
  const { title, byLength, at } = schemeFor(model, name);
  const passes: SchemePlan["passes"] = [];
  for (const length of lengths) {
    const settings = at(byLength || perLength ? length : lengths.at(-1)!);
    if (typeof settings === "string") return { scheme: name, title, reason: settings };
    const before = passes.at(-1);
    const shared = before && !byLength && isDeepStrictEqual(comparable(before.settings), comparable(settings));
    if (shared) passes[passes.length - 1] = { length, serves: [...before.serves, length], settings };
    else passes.push({ length, serves: [length], settings });
  }
  return { scheme: name, title, passes };
}

/** Settings as they can be compared and kept: a function by what is written for it. */
export function comparable({ ropeScaling, attention, snippet }: SchemeSettings): object {
  return JSON.parse(JSON.stringify({ ropeScaling, attention, snippet })) as object;
}

/** Tokens that `windows` different windows of a length need. */
export function neededTokens(length: number, windows: number): number {
  return length + windows - 1;
}

/** Beginnings of windows, evenly spread, the first at the first token and the last as late as fits. */
function spreadWindows(tokens: number, longest: number, windows: number): number[] {
  const room = tokens - longest;
  return Array.from({ length: windows }, (_, i) => (windows === 1 ? 0 : Math.round((i * room) / (windows - 1))));
}

function checkRequest(tokens: number, lengths: readonly number[], windows: number, schemes: readonly string[]): void {
  const fault = (argument: string, message: string) => {
    throw new ArgumentError(`compareSchemes: ${message}`, { op: "compareSchemes", argument });
  };
  if (!Number.isSafeInteger(windows) || windows < 1)
    fault("windows", `windows must be a whole number from 1 on, got ${windows}`);
  if (schemes.length === 0) fault("schemes", "schemes must not be empty");
  if (lengths.length === 0) fault("lengths", "lengths must not be empty");
  const wrong = lengths.find((length) => !Number.isSafeInteger(length) || length < 2);
  if (wrong !== undefined) fault("lengths", `a length must be a whole number from 2 on, got ${wrong}`);
  const longest = Math.max(...lengths);
  if (neededTokens(longest, windows) > tokens)
    fault(
      "lengths",
      `${windows} windows of ${longest} tokens need ${neededTokens(longest, windows)} tokens, got ${tokens}`,
    );
}

const keyOf = ({ scheme, window, length }: Omit<SchemePass, "sums" | "seconds">) => `${scheme} ${window} ${length}`;

/** One pass, or why the model cannot be run with these settings. */
async function runPass(
  model: Model,
  tokens: Int32Array,
  { serves, settings }: SchemePlan["passes"][number],
  signal: AbortSignal | undefined,
): Promise<Pick<SchemePass, "sums" | "seconds"> | string> {
  const { ropeScaling, attention } = settings;
  const begun = performance.now();
  try {
    const nll = await model.nll(tokens, {
      ...(ropeScaling !== undefined && { ropeScaling }),
      ...(attention && { attention }),
      ...(signal && { signal }),
    });
    const sums = serves.map((length) => nll.subarray(0, length - 1).reduce((sum, value) => sum + value, 0));
    return { sums, seconds: (performance.now() - begun) / 1000 };
  } catch (error) {
    if (error instanceof UnsupportedError || error instanceof ArgumentError) return error.message;
    throw error;
  }
}

function curveOf(plan: SchemePlan, passes: readonly SchemePass[], windows: number): SchemeCurve {
  const values = plan.passes.flatMap(({ length, serves }) => {
    const ofLength = passes.filter((pass) => pass.length === length);
    return serves.map((served, i): SchemeValue => {
      const predictions = windows * (served - 1);
      const nll = ofLength.reduce((sum, pass) => sum + pass.sums[i]!, 0) / predictions;
      return { length: served, nll, perplexity: Math.exp(nll), windows, predictions };
    });
  });
  return {
    scheme: plan.scheme,
    title: plan.title,
    settings: plan.passes.at(-1)!.settings,
    passes: plan.passes.length,
    values,
    seconds: passes.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

class Comparison {
  readonly #model: Model;
  readonly #tokens: Int32Array;
  readonly #options: SchemeComparisonOptions;
  readonly #beginnings: readonly number[];
  readonly #finished: ReadonlyMap<string, SchemePass>;
  #done = 0;
  #total = 0;

  constructor(model: Model, tokens: Int32Array, options: SchemeComparisonOptions, beginnings: readonly number[]) {
    this.#model = model;
    this.#tokens = tokens;
    this.#options = options;
    this.#beginnings = beginnings;
    this.#finished = new Map((options.finished ?? []).map((pass) => [keyOf(pass), pass]));
  }

  /** Counts a plan's tokens, those of finished passes as done. */
  expect(plan: SchemePlan): void {
    for (const { length } of plan.passes)
      for (const window of this.#beginnings.keys()) {
        this.#total += length;
        if (this.#finished.has(keyOf({ scheme: plan.scheme, window, length }))) this.#done += length;
      }
  }

  /** The curve of a scheme; why there is none where the model refuses its settings. */
  async run(plan: SchemePlan): Promise<SchemeCurve | SkippedScheme> {
    const { scheme, title } = plan;
    const passes: SchemePass[] = [];
    for (const window of this.#beginnings.keys())
      for (const part of plan.passes) {
        const pass = await this.#pass(scheme, window, part);
        if (typeof pass === "string") {
          this.#forget(plan, passes);
          return { scheme, title, reason: pass };
        }
        passes.push(pass);
      }
    return curveOf(plan, passes, this.#beginnings.length);
  }

  async #pass(scheme: string, window: number, part: SchemePlan["passes"][number]): Promise<SchemePass | string> {
    const { onPass, signal } = this.#options;
    const { length } = part;
    const known = this.#finished.get(keyOf({ scheme, window, length }));
    if (known) return known;
    this.report({ scheme, window, length });
    const start = this.#beginnings[window]!;
    const measured = await runPass(this.#model, this.#tokens.subarray(start, start + length), part, signal);
    if (typeof measured === "string") return measured;
    const pass = { scheme, window, length, ...measured };
    this.#done += length;
    await onPass?.(pass);
    return pass;
  }

  report(where: { scheme: string; window: number; length: number }): void {
    this.#options.onProgress?.({ done: this.#done, total: this.#total, ...where });
  }

  /** A scheme that is skipped has nothing left to do. */
  #forget(plan: SchemePlan, passes: readonly SchemePass[]): void {
    const all = plan.passes.reduce((sum, { length }) => sum + length * this.#beginnings.length, 0);
    this.#total -= all - passes.reduce((sum, { length }) => sum + length, 0);
  }
}

/**
 * Curves of the schemes in their order. A scheme that the checkpoint or this library cannot have is skipped with the
 * reason; where none is left, ArgumentError.
 */
export async function compareSchemes(
  model: Model,
  tokens: Int32Array,
  options: SchemeComparisonOptions,
): Promise<SchemeComparison> {
  const { windows = defaultWindows, perLength = false } = options;
  const schemes = [...new Set(options.schemes)];
  const lengths = [...new Set(options.lengths)].sort((a, b) => a - b);
  checkRequest(tokens.length, lengths, windows, schemes);
  const longest = lengths.at(-1)!;
  const beginnings = spreadWindows(tokens.length, longest, windows);
  const comparison = new Comparison(model, tokens, options, beginnings);
  const plans = schemes.map((name) => planScheme(model, name, { lengths, perLength }));
  for (const plan of plans) if ("passes" in plan) comparison.expect(plan);
  const curves: SchemeCurve[] = [];
  const skipped: SkippedScheme[] = [];
  for (const plan of plans) {
    const result = "passes" in plan ? await comparison.run(plan) : plan;
    if ("values" in result) curves.push(result);
    else skipped.push(result);
  }
  if (curves.length === 0)
    throw new ArgumentError(
      `compareSchemes: no scheme is left: ${skipped.map(({ scheme, reason }) => `${scheme}: ${reason}`).join("; ")}`,
      { op: "compareSchemes", argument: "schemes" },
    );
  comparison.report({ scheme: curves.at(-1)!.scheme, window: windows - 1, length: longest });
  return { trainedLength: trainedLength(model), lengths, beginnings, curves, skipped };
}
