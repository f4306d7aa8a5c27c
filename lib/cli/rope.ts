// `longspan rope`.
import { loadAsGiven, type ModelOptions } from "./load.js";
import { createHash } from "node:crypto";
import { mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  bestScheme,
  comparable,
  compareSchemes,
  formatPerplexity,
  planScheme,
  type SchemeComparison,
  schemeConfig,
  schemeFindings,
  schemeNames,
  schemeSnippet,
  trainedLength,
} from "../evaluation/index.js";
import { machine, type Model } from "../index.js";
import { closest } from "../options.js";
import { linePlot } from "../plot/index.js";
import { defaultModel, readText, requireWritable, writeText } from "./files.js";
import { printFacts, printJson, printLine, printTable, progressBar } from "./output.js";
import { defaultPassFile, type Facts, PassFile } from "./pass-file.js";
import { UsageError } from "./run.js";
import { fittingLengths, tokensOf } from "./tokens.js";
import { formatCount, formatSeconds } from "./units.js";

interface Options extends ModelOptions {
  text: string;
  lengths?: number[];
  schemes: string[];
  perLength: boolean;
  windows: number;
  tokens?: number;
  svg?: string;
  resume?: string;
  json?: boolean;
  version: string;
}

/** What is to be measured, once model and text are there. */
interface Request {
  source: string;
  model: Model;
  tokens: Int32Array;
  lengths: number[];
}

function requireSchemes(names: readonly string[]): void {
  const unknown = names.find((name) => !schemeNames.includes(name));
  if (unknown === undefined) return;
  const near = closest(unknown, schemeNames);
  throw new UsageError(
    `--schemes: there is no scheme "${unknown}"${near ? `; did you mean ${near}?` : ""} Known: ${schemeNames.join(", ")}`,
  );
}

const hash = (bytes: string | NodeJS.ArrayBufferView) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

async function weightsOf(source: string): Promise<string> {
  const isFolder = (await stat(source)).isDirectory();
  const names = isFolder ? (await readdir(source)).filter((name) => name.endsWith(".safetensors")).sort() : [""];
  const files = await Promise.all(
    names.map(async (name) => {
      const { size, mtime } = await stat(join(source, name));
      return `${name} ${size} bytes of ${mtime.toISOString()}`.trim();
    }),
  );
  return files.join(", ");
}

async function factsOf({ source, model, tokens, lengths }: Request, options: Options): Promise<Facts> {
  return {
    longspan: options.version,
    model: resolve(source),
    weights: await weightsOf(source),
    config: hash(JSON.stringify(model.config.raw)),
    text: `${tokens.length} tokens, ${hash(tokens)}`,
    lengths: lengths.join(", "),
    windows: String(options.windows),
    "--per-length": options.perLength ? "yes" : "no",
    dtype: options.dtype,
  };
}

/** Settings of the schemes that can be run, by their names. */
function settingsOf({ model, lengths }: Request, { schemes, perLength }: Options): Record<string, unknown> {
  const plans = schemes.map((name) => planScheme(model, name, { lengths, perLength }));
  return Object.fromEntries(
    plans.flatMap((plan) =>
      "passes" in plan ? [[plan.scheme, plan.passes.map(({ settings }) => comparable(settings))]] : [],
    ),
  );
}

/** The named file; else one in the cache, or none where nothing can be written there. */
async function openPasses(request: Request, options: Options): Promise<PassFile | undefined> {
  const facts = await factsOf(request, options);
  const settings = settingsOf(request, options);
  if (options.resume !== undefined) return PassFile.open(options.resume, facts, settings);
  const file = defaultPassFile(facts);
  try {
    // One by one: Node's recursive mkdir never returns where a folder can have no child, as in /proc.
    for (const folder of [dirname(dirname(file)), dirname(file)]) await mkdir(folder).catch(() => {});
    await requireWritable(file);
  } catch {
    process.stderr.write(`longspan: ${file} cannot be written, so that nothing is kept; see --resume\n`);
    return undefined;
  }
  return PassFile.open(file, facts, settings);
}

async function compare(request: Request, options: Options, signal: AbortSignal): Promise<SchemeComparison> {
  const { model, tokens, lengths } = request;
  const { schemes, windows, perLength } = options;
  const kept = await openPasses(request, options);
  const finished = [...(kept?.passes ?? [])];
  if (kept && finished.length > 0)
    process.stderr.write(`longspan: going on from ${kept.file}: ${finished.length} passes are done\n`);
  const bar = await progressBar("measuring");
  try {
    const comparison = await compareSchemes(model, tokens, {
      ...{ schemes, lengths, windows, perLength, finished, signal },
      onPass: (pass) => kept?.add(pass),
      onProgress: ({ done, total, scheme, length, window }) =>
        bar.update(done, total, `${scheme}, window ${window + 1} of ${windows}, ${formatCount(length)} tokens`),
    });
    if (options.resume === undefined) await kept?.remove();
    return comparison;
  } catch (error) {
    bar.stop();
    if (kept && kept.passes.length > 0)
      process.stderr.write(`longspan: ${kept.passes.length} passes are kept; the same command goes on from them\n`);
    else if (options.resume === undefined) await kept?.remove();
    throw error;
  } finally {
    bar.stop();
  }
}

/** How the windows lie in the text. */
function windowsNote({ beginnings, lengths }: SchemeComparison, tokens: number): string {
  const longest = lengths.at(-1)!;
  const step = beginnings.length > 1 ? beginnings[1]! - beginnings[0]! : tokens;
  const overlap = step < longest ? `; those of ${formatCount(longest)} tokens overlap` : "";
  const apart = beginnings.length > 1 ? `, ${formatCount(step)} tokens apart${overlap}` : "";
  return `${beginnings.length} windows of each length in ${formatCount(tokens)} tokens of the text${apart}.`;
}

function drawing(comparison: SchemeComparison, notes: readonly string[]): string {
  const { trainedLength: trained, lengths, curves } = comparison;
  const series = curves.map(({ scheme, values }) => ({
    name: scheme,
    points: values
      .filter(({ perplexity }) => Number.isFinite(perplexity))
      .map(({ length, perplexity }) => [length, perplexity] as const),
  }));
  const plot = {
    title: "Perplexity by length and position scheme",
    x: { label: "tokens", scale: "log", ticks: lengths, format: formatCount },
    y: { label: "perplexity (lower is better)", scale: "log" },
    marks: lengths[0]! <= trained && trained <= lengths.at(-1)! ? [{ x: trained, label: "trained length" }] : [],
    series: series.filter(({ points }) => points.length > 0),
    caption: `Each value is exp of the mean of −log p of all tokens but the first. ${notes.join(" ")}`,
  } as const;
  return linePlot(plot, { width: 900, height: 680 });
}

/** The best scheme at the longest length and what to paste. */
function choiceOf(comparison: SchemeComparison, { source, model }: Request) {
  const best = bestScheme(comparison);
  if (!best) return undefined;
  const length = comparison.lengths.at(-1)!;
  return {
    scheme: best.scheme,
    length,
    perplexity: best.values.at(-1)!.perplexity,
    snippet: schemeSnippet(source, best.settings),
    config: schemeConfig(model.config.raw, best.settings, length) ?? null,
  };
}

type Choice = ReturnType<typeof choiceOf>;

function printComparison({ curves, skipped, lengths }: SchemeComparison, best: Choice): void {
  printTable(
    ["scheme", ...lengths.map((length) => `${formatCount(length)} `), "time"],
    curves.map(({ scheme, values, seconds }) => [
      scheme,
      ...values.map(({ length, perplexity }) => {
        const isBest = scheme === best?.scheme && length === best.length;
        return `${formatPerplexity(perplexity)}${isBest ? "*" : " "}`;
      }),
      formatSeconds(seconds),
    ]),
  );
  if (skipped.length > 0) {
    printLine();
    printFacts(
      "Skipped",
      skipped.map(({ scheme, reason }) => [scheme, reason] as const),
    );
  }
}

function printChoice(best: NonNullable<Choice>): void {
  printLine(`\nBest at ${formatCount(best.length)} tokens: ${best.scheme}. To use it:\n\n${best.snippet}`);
  if (best.config) printLine(`\nor in config.json:\n\n${JSON.stringify(best.config, null, 2)}`);
}

function jsonOf(comparison: SchemeComparison, { tokens }: Request, options: Options) {
  const { isa, threads } = machine();
  const { lengths, beginnings, curves, skipped } = comparison;
  return {
    text: options.text,
    tokens: tokens.length,
    trainedLength: comparison.trainedLength,
    ...{ isa, threads, dtype: options.dtype, perLength: options.perLength, lengths },
    windows: { count: beginnings.length, beginnings },
    schemes: curves.map(({ scheme, title, settings, passes, seconds }) => {
      return { scheme, title, settings: comparable(settings), passes: passes * beginnings.length, seconds };
    }),
    rows: curves.flatMap(({ scheme, values }) => values.map((value) => ({ scheme, ...value }))),
    skipped,
  };
}

async function measure(request: Request, options: Options, signal: AbortSignal): Promise<void> {
  const comparison = await compare(request, options, signal);
  const notes = [windowsNote(comparison, request.tokens.length), ...schemeFindings(comparison)];
  const best = choiceOf(comparison, request);
  if (options.svg) await writeText(options.svg, drawing(comparison, notes));
  if (options.json) return printJson({ ...jsonOf(comparison, request, options), notes, best: best ?? null });
  printComparison(comparison, best);
  printLine(`\n${notes.join("\n")}`);
  if (best) printChoice(best);
  if (options.svg) printLine(`\nCurves: ${options.svg}`);
}

export async function rope(given: string | undefined, options: Options, signal: AbortSignal): Promise<void> {
  requireSchemes(options.schemes);
  if (options.svg) await requireWritable(options.svg);
  const text = await readText(options.text);
  const { windows } = options;
  const source = given ?? defaultModel;
  const model = await loadAsGiven(source, options, signal);
  try {
    const trained = trainedLength(model);
    const tokens = await tokensOf(model, text, { count: options.tokens, signal });
    const wanted = options.lengths ?? [1, 2, 4, 8, 16].map((factor) => factor * trained);
    const hint = options.tokens === undefined ? `${windows} windows of each length` : "see --tokens";
    const lengths = fittingLengths(wanted, tokens.length, { op: "rope", file: options.text, hint, windows });
    await measure({ source, model, tokens, lengths }, options, signal);
  } finally {
    await model.dispose();
  }
}
