// `longspan needle`.
import { loadAsGiven, type ModelOptions } from "./load.js";
import { basename } from "node:path";
import {
  type NeedleProgress,
  type NeedleResult,
  type NeedleRow,
  type NeedleTaskName,
  needleTask,
  retrievalByDepth,
} from "../evaluation/index.js";
import { machine, type Model } from "../index.js";
import { heatMaps } from "../plot/index.js";
import { requireWritable, retrievalModel, writeText } from "./files.js";
import { printJson, printLine, printTable, progressBar } from "./output.js";
import { formatCount, formatSeconds } from "./units.js";

interface Options extends ModelOptions {
  schemes?: string[];
  lengths: number[];
  depths: number[];
  probes: number;
  task?: NeedleTaskName;
  seed: number;
  perLength: boolean;
  byDepth: boolean;
  svg?: string;
  json?: boolean;
}

interface Measured extends NeedleResult {
  model: string;
  title: string;
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

function distinct<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}

/** Mean accuracy of rows, which all have the same number of probes. */
function mean(rows: readonly NeedleRow[]): number | null {
  return rows.length > 0 ? rows.reduce((sum, { accuracy }) => sum + accuracy, 0) / rows.length : null;
}

/** The axes of the tables and maps: what was measured, in order. */
function axesOf(rows: readonly NeedleRow[]) {
  const ascending = (a: number, b: number) => a - b;
  return {
    schemes: distinct(rows.map(({ scheme }) => scheme)),
    lengths: distinct(rows.map(({ length }) => length)).sort(ascending),
    depths: distinct(rows.map(({ depth }) => depth)).sort(ascending),
  };
}

/** Accuracy in a table: a row for each depth, a column for each length. */
function byDepth(rows: readonly NeedleRow[], scheme: string): (number | null)[][] {
  const { lengths, depths } = axesOf(rows);
  const own = rows.filter((row) => row.scheme === scheme);
  return depths.map((depth) =>
    lengths.map((length) => mean(own.filter((row) => row.length === length && row.depth === depth))),
  );
}

function caption({ rows, model, task, trainedLength }: Measured): string {
  const { schemes, lengths } = axesOf(rows);
  const { probes } = rows[0]!;
  const longest = lengths.at(-1)!;
  const found = schemes.map((scheme) => {
    const share = mean(rows.filter((row) => row.scheme === scheme && row.length === longest));
    return `${scheme} ${share === null ? "–" : percent(share)}`.replaceAll(" ", "\u00a0"); // not apart at a line's end
  });
  return (
    `${model}, trained with ${formatCount(trainedLength)} tokens; task ${task}, ${probes} ${probes === 1 ? "prompt" : "prompts"} in each cell, the same for all schemes. ` +
    `Over all depths at ${formatCount(longest)} tokens: ${found.join(", ")}.`
  );
}

function drawing(measured: Measured): string {
  const { rows, trainedLength, title } = measured;
  const { schemes, lengths, depths } = axesOf(rows);
  const known = lengths.filter((length) => length <= trainedLength).length;
  return heatMaps({
    title: `Finding ${title}, by depth and length`,
    maps: schemes.map((scheme) => ({ title: scheme, values: byDepth(rows, scheme) })),
    x: { label: "tokens of the prompt", names: lengths.map(formatCount) },
    y: { label: "depth", names: depths.map((depth) => `${Number((100 * depth).toFixed(1))} %`) },
    scale: { label: "prompts answered rightly; depth 0 % is the beginning", format: percent },
    ...(known > 0 && known < lengths.length && { boundary: { columns: known, label: "trained length" } }),
    caption: caption(measured),
  });
}

function printTables({ rows }: Measured, everyScheme: boolean): void {
  const { schemes, lengths, depths } = axesOf(rows);
  const cell = (share: number | null) => (share === null ? "–" : percent(share));
  const head = lengths.map(formatCount);
  const of = (scheme: string, length: number) => rows.filter((row) => row.scheme === scheme && row.length === length);
  const seconds = (scheme: string) => rows.reduce((sum, row) => sum + (row.scheme === scheme ? row.seconds : 0), 0);
  printTable(
    ["scheme", ...head, "time"],
    schemes.map((scheme) => [
      scheme,
      ...lengths.map((length) => cell(mean(of(scheme, length)))),
      formatSeconds(seconds(scheme)),
    ]),
  );
  if (!everyScheme && schemes.length > 1) return;
  for (const scheme of schemes) {
    printLine();
    printTable(
      [`${scheme}: depth`, ...head],
      byDepth(rows, scheme).map((cells, i) => [percent(depths[i]!), ...cells.map(cell)]),
    );
  }
}

function reportLeftOut({ leftOut }: NeedleResult): void {
  for (const { scheme, length, reason } of leftOut) {
    const what = scheme === undefined ? `length ${length}` : `${scheme} from length ${length} on`;
    process.stderr.write(`longspan: left out ${what}: ${reason}\n`);
  }
}

async function measure(model: Model, name: string, options: Options, signal: AbortSignal): Promise<Measured> {
  const { schemes, lengths, depths, probes, seed, perLength } = options;
  const task = await needleTask(model, options.task);
  const bar = await progressBar("measuring");
  const onProgress = ({ done, total, scheme, length, etaMs }: NeedleProgress) =>
    bar.update(done, total, `${scheme} at ${formatCount(length)}, ${formatSeconds(etaMs / 1000)} left`);
  const wanted = { schemes, lengths, depths, probes, seed, perLength, task, onProgress, signal };
  const result = await retrievalByDepth(model, wanted).finally(() => bar.stop());
  return { ...result, model: name, title: task.title };
}

export async function needle(source: string | undefined, options: Options, signal: AbortSignal): Promise<void> {
  const { svg, seed } = options;
  if (svg) await requireWritable(svg);
  const path = source ?? retrievalModel;
  const begun = performance.now();
  const model = await loadAsGiven(path, options, signal);
  const measured = await measure(model, basename(path), options, signal).finally(() => model.dispose());
  reportLeftOut(measured);
  if (svg) await writeText(svg, drawing(measured));
  const { task, title, trainedLength, rows, leftOut } = measured;
  const { depths } = axesOf(rows);
  if (options.json) {
    const { isa, threads: used } = machine();
    return printJson({ model: measured.model, task, trainedLength, seed, isa, threads: used, rows, leftOut });
  }
  printTables(measured, options.byDepth);
  const total = rows.reduce((sum, { probes }) => sum + probes, 0);
  printLine(
    `\nTask ${task}: ${title}; a scheme's row is the mean over ${depths.length === 1 ? "one depth" : `${depths.length} depths`}. ${formatCount(total)} prompts, ${rows[0]!.probes} for each scheme, depth and length, ` +
      `in ${formatSeconds((performance.now() - begun) / 1000)}; trained length ${formatCount(trainedLength)}.`,
  );
  if (svg) printLine(`Heat maps: ${svg}`);
}
