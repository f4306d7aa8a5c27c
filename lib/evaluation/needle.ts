// Retrieval by depth and length: for each position scheme, how often a model finds what was hidden at a depth of prompts
// of a length. All schemes get the same probes. A scheme that this model or build cannot run is left out with the
// reason, and so are lengths that hold no prompt of the task.
import { ArgumentError, LongspanError, OutOfMemoryError, UnsupportedError } from "../errors.js";
import type { Model } from "../model.js";
import { checkedNumber, checkedOptions, checkedSignal, wrongArgument } from "../options.js";
import { isAnswered } from "./answers.js";
import { Pace } from "./pace.js";
import { type EvaluationProgress, trainedLength } from "./perplexity.js";
import { depths as usualDepths } from "./retrieval.js";
import { type SchemeChoice, schemeFor, type SchemeSettings } from "./schemes.js";
import { needleTask, type NeedleTaskName } from "./tasks/index.js";
import type { NeedleProbe, NeedleTask } from "./tasks/task.js";

export interface NeedleRow {
  scheme: string;
  length: number;
  depth: number;
  /** Share of probes whose answer was the most likely continuation. */
  accuracy: number;
  probes: number;
  seconds: number;
}

/** What could not be measured: a scheme from a length on, or a length for every scheme. */
export interface NeedleOmission {
  scheme?: string;
  length: number;
  reason: string;
}

export interface NeedleResult {
  task: string;
  trainedLength: number;
  rows: NeedleRow[];
  leftOut: NeedleOmission[];
}

export interface NeedleProgress extends EvaluationProgress {
  scheme: string;
  length: number;
  etaMs: number;
}

export interface NeedleOptions {
  /** Names of `schemeNames`; `defaultNeedleSchemes` if absent. */
  schemes?: readonly string[] | undefined;
  lengths: readonly number[];
  /** From 0, the beginning, to 1, right before the question; 0, 0.25, 0.5, 0.75 and 1 if absent. */
  depths?: readonly number[] | undefined;
  /** At each depth and length; 4 if absent. */
  probes?: number | undefined;
  seed?: number | undefined;
  /** By name, or one of your own; if absent the one that suits the model's vocabulary. */
  task?: NeedleTaskName | NeedleTask | undefined;
  /** Factors are length / trained length at each length instead of the longest one's at all. */
  perLength?: boolean | undefined;
  /** Probes done and to do. */
  onProgress?: ((progress: NeedleProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export const defaultNeedleSchemes = ["none", "linear", "ntk", "dynamic", "yarn", "rerope", "window"] as const;

const op = "needle";
const names = ["schemes", "lengths", "depths", "probes", "seed", "task", "perLength", "onProgress", "signal"];

function checkedList<T>(argument: string, given: readonly T[]): T[] {
  if (!Array.isArray(given) || given.length === 0) wrongArgument(op, argument, "a list that is not empty", given);
  return [...new Set(given)];
}

function checkedNumbers(
  argument: string,
  given: readonly number[],
  rule: { integer?: boolean; min: number; max?: number },
) {
  const numbers = checkedList(argument, given);
  for (const value of numbers) checkedNumber(op, argument, value, rule);
  return numbers.sort((a, b) => a - b);
}

function checkedNeedleOptions(given: NeedleOptions) {
  const options = checkedOptions(op, given, names);
  return {
    ...options,
    schemes: checkedList<string>("schemes", options.schemes ?? defaultNeedleSchemes),
    lengths: checkedNumbers("lengths", options.lengths ?? [], { integer: true, min: 1 }),
    depths: checkedNumbers("depths", options.depths ?? usualDepths, { min: 0, max: 1 }),
    probes: checkedNumber(op, "probes", options.probes, { integer: true, min: 1 }) ?? 4,
    seed: checkedNumber(op, "seed", options.seed, { integer: true, min: 0 }) ?? 1,
    signal: checkedSignal(op, options.signal),
  };
}

/** Why something is left out, if the error is of that kind; all others end the measurement. */
function reasonOf(error: unknown, kinds: readonly (new (...given: never[]) => LongspanError)[]): string {
  if (error instanceof LongspanError && kinds.some((kind) => error instanceof kind)) return error.message;
  throw error;
}

interface Run {
  model: Model;
  scheme: string;
  length: number;
  settings: Parameters<typeof isAnswered>[3];
  onProbe: (probe: NeedleProbe) => void;
}

/** A row for each depth. */
async function measureLength(probes: readonly NeedleProbe[], run: Run): Promise<NeedleRow[]> {
  const { model, scheme, length, settings, onProbe } = run;
  const rows = new Map<number, NeedleRow & { right: number }>();
  for (const probe of probes) {
    const { ids, answer, depth } = probe;
    const begun = performance.now();
    const right = await isAnswered(model, ids, answer, settings);
    const row = rows.get(depth) ?? { scheme, length, depth, accuracy: 0, probes: 0, seconds: 0, right: 0 };
    row.right += Number(right);
    row.probes++;
    row.seconds += (performance.now() - begun) / 1000;
    rows.set(depth, row);
    onProbe(probe);
  }
  return [...rows.values()].map(({ right, ...row }) => ({ ...row, accuracy: right / row.probes }));
}

type Checked = ReturnType<typeof checkedNeedleOptions>;

/** Probes of each length that holds the task. */
async function probesByLength(task: NeedleTask, { lengths, depths, probes, seed, signal }: Checked) {
  const found = new Map<number, NeedleProbe[]>();
  const leftOut: NeedleOmission[] = [];
  for (const length of lengths)
    try {
      found.set(length, await task.probes({ length, depths, count: probes, seed, signal }));
    } catch (error) {
      leftOut.push({ length, reason: reasonOf(error, [ArgumentError]) });
    }
  if (found.size === 0) throw new ArgumentError(leftOut.at(-1)!.reason, { op, argument: "lengths" });
  return { found, leftOut };
}

function settingsAt({ name, at }: SchemeChoice, length: number): SchemeSettings {
  const settings = at(length);
  if (typeof settings === "string") throw new UnsupportedError(settings, { feature: `scheme ${name}` });
  return settings;
}

/** Rows up to the first length that the scheme cannot be run at. */
async function measureScheme(
  choice: SchemeChoice,
  found: ReadonlyMap<number, NeedleProbe[]>,
  options: Checked,
  run: Omit<Run, "length" | "settings">,
): Promise<{ rows: NeedleRow[]; leftOut?: NeedleOmission }> {
  const { perLength, lengths, signal } = options;
  const rows: NeedleRow[] = [];
  let reached = 0;
  try {
    for (const [length, probes] of found) {
      reached = length;
      const settings = settingsAt(choice, perLength ? length : lengths.at(-1)!);
      rows.push(
        ...(await measureLength(probes, { ...run, length, settings: { ...settings, ...(signal && { signal }) } })),
      );
    }
    return { rows };
  } catch (error) {
    const reason = reasonOf(error, [UnsupportedError, ArgumentError, OutOfMemoryError]);
    return { rows, leftOut: { scheme: choice.name, length: reached, reason } };
  }
}

/** Throws ArgumentError for what means nothing, UnsupportedError where no scheme can be run. */
export async function retrievalByDepth(model: Model, given: NeedleOptions): Promise<NeedleResult> {
  const options = checkedNeedleOptions(given);
  const schemes = options.schemes.map((name) => schemeFor(model, name));
  const task = typeof options.task === "object" ? options.task : await needleTask(model, options.task);
  const { found, leftOut } = await probesByLength(task, options);
  const pace = new Pace([...found.values()].flat(), schemes.length, model.config.hiddenSize);
  const rows: NeedleRow[] = [];
  for (const choice of schemes) {
    const onProbe = (probe: NeedleProbe) =>
      options.onProgress?.({ ...pace.step(probe), scheme: choice.name, length: probe.ids.length });
    const measured = await measureScheme(choice, found, options, { model, scheme: choice.name, onProbe });
    rows.push(...measured.rows);
    if (measured.leftOut) leftOut.push(measured.leftOut);
    pace.next();
  }
  if (rows.length > 0) return { task: task.name, trainedLength: trainedLength(model), rows, leftOut };
  const reasons = leftOut.flatMap(({ scheme, reason }) => (scheme ? `${scheme}: ${reason}` : []));
  throw new UnsupportedError(`${op}: no scheme can be run: ${reasons.join("; ")}`, { feature: "position schemes" });
}
