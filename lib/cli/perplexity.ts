// `longspan perplexity`.
import { loadAsGiven, type ModelOptions } from "./load.js";
import {
  linearScaling,
  type Method,
  perplexityByLength,
  type PerplexityRow,
  plainRope,
  slidingWindow,
  trainedLength,
} from "../evaluation/index.js";
import { machine, type Model } from "../index.js";
import { linePlot } from "../plot/index.js";
import { defaultModel, readText, requireWritable, writeText } from "./files.js";
import { printJson, printLine, printTable, progressBar } from "./output.js";
import { UsageError } from "./run.js";
import { fittingLengths, tokensOf } from "./tokens.js";
import { factorTypes, formatCount, formatSeconds } from "./units.js";

interface Options extends ModelOptions {
  text: string;
  lengths?: number[];
  tokens: number;
  compare: boolean;
  ropeScaling?: { rope_type: string; factor?: number };
  window?: number;
  sinks?: number;
  svg?: string;
  json?: boolean;
}

function methodsOf({ compare, ropeScaling, window, sinks }: Options, trained: number): Method[] {
  if (sinks !== undefined && window === undefined) throw new UsageError("--sinks needs --window");
  if (compare && (ropeScaling || window !== undefined))
    throw new UsageError("--compare stands alone: it chooses the scaling and the window itself");
  if (compare) return [plainRope, linearScaling, slidingWindow(Math.floor(trained / 2))];
  const names = [
    ropeScaling && `${ropeScaling.rope_type} scaling`,
    window && `window of ${window}`,
    sinks && `${sinks} sinks`,
  ];
  return [
    {
      name: names.filter(Boolean).join(", ") || plainRope.name,
      ...(ropeScaling && {
        ropeScaling: (factor: number) =>
          factorTypes.includes(ropeScaling.rope_type) ? { factor, ...ropeScaling } : ropeScaling,
      }),
      ...(window !== undefined && { attention: { window: window - 1, ...(sinks !== undefined && { sinks }) } }),
    },
  ];
}

function drawing(rows: readonly PerplexityRow[], methods: readonly Method[], trained: number, used: number): string {
  const lengths = [...new Set(rows.map(({ length }) => length))];
  return linePlot({
    title: "Perplexity by length",
    x: { label: "tokens per window", scale: "log", ticks: lengths, format: String },
    y: { label: "perplexity (lower is better)", scale: "log" },
    marks: lengths[0]! <= trained && trained <= lengths.at(-1)! ? [{ x: trained, label: "trained length" }] : [],
    series: methods.map(({ name }) => ({
      name,
      points: rows
        .filter(({ method }) => method === name)
        .map(({ length, perplexity }) => [length, perplexity] as const),
    })),
    caption: `The first ${formatCount(used)} tokens of the text, cut into windows; each token is predicted from all before it in its window.`,
  });
}

async function measure(model: Model, text: string, options: Options, signal: AbortSignal): Promise<void> {
  const trained = trainedLength(model);
  const methods = methodsOf(options, trained);
  const tokens = await tokensOf(model, text, { count: options.tokens, signal });
  const wanted = options.lengths ?? [1, 2, 4, 8, 16].map((factor) => factor * trained);
  const lengths = fittingLengths(wanted, tokens.length, { op: "perplexity", file: options.text, hint: "see --tokens" });
  const bar = await progressBar("measuring");
  const onProgress = ({ done, total }: { done: number; total: number }) =>
    bar.update(done, total, `${formatCount(done)} of ${formatCount(total)} tokens`);
  const rows = await perplexityByLength(model, tokens, { lengths, methods, onProgress, signal }).finally(() =>
    bar.stop(),
  );
  if (options.svg) await writeText(options.svg, drawing(rows, methods, trained, tokens.length));
  if (options.json) {
    const { isa, threads } = machine();
    return printJson({ text: options.text, tokens: tokens.length, trainedLength: trained, isa, threads, rows });
  }
  printTable(
    ["method", "length", "× trained", "perplexity", "end of window", "time"],
    rows.map(({ method, length, perplexity, tailPerplexity, seconds }) => [
      method,
      formatCount(length),
      `${Number((length / trained).toPrecision(3))}`,
      perplexity.toPrecision(4),
      tailPerplexity.toPrecision(4),
      formatSeconds(seconds),
    ]),
  );
  printLine(
    `\n${formatCount(tokens.length)} tokens of ${options.text}; the end of a window is its last ${Math.floor(trained / 2)} predictions.`,
  );
  if (options.svg) printLine(`Curves: ${options.svg}`);
}

export async function perplexity(source: string | undefined, options: Options, signal: AbortSignal): Promise<void> {
  if (options.svg) await requireWritable(options.svg);
  const text = await readText(options.text);
  const model = await loadAsGiven(source ?? defaultModel, options, signal);
  try {
    await measure(model, text, options, signal);
  } finally {
    await model.dispose();
  }
}
