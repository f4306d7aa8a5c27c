// `longspan generate`.
import { loadAsGiven, type ModelOptions } from "./load.js";
import type { ContextOptions, Model, Progress } from "../index.js";
import { defaultModel, readText } from "./files.js";
import { type Bar, printJson, progressBar } from "./output.js";
import { UsageError } from "./run.js";
import { formatCount } from "./units.js";

interface Options extends ModelOptions {
  prompt?: string;
  file?: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: string[];
  contextSize?: number;
  kvDtype?: "float32" | "bfloat16" | "int8" | "float8";
  ropeScaling?: { rope_type: string; factor?: number };
  window?: number;
  sinks?: number;
  json?: boolean;
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}

function contextOptions({ contextSize, kvDtype, ropeScaling, window, sinks }: Options): ContextOptions {
  if (sinks !== undefined && window === undefined) throw new UsageError("--sinks needs --window");
  return {
    ...(contextSize !== undefined && { contextSize }),
    ...(kvDtype && { kvDtype }),
    ...(ropeScaling && { ropeScaling }),
    ...(window !== undefined && { attention: { window: window - 1, ...(sinks !== undefined && { sinks }) } }),
  };
}

function showProgress(bar: Bar): (progress: Progress) => void {
  return ({ phase, done, total, tokensPerSecond }) => {
    if (phase !== "prefill" || total === undefined) return;
    const rate = `${formatCount(tokensPerSecond ?? 0)} tokens/s`;
    bar.update(done, total, `${formatCount(done)} of ${formatCount(total)} tokens, ${rate}`);
  };
}

/** Writes the text as it comes; what was written stands also when an abort ends it. */
async function write(model: Model, options: Options, signal: AbortSignal): Promise<void> {
  const { prompt, file, maxTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop } = options;
  const context = await model.createContext(contextOptions(options));
  const bar = await progressBar("reading");
  const begun = performance.now();
  try {
    if (file !== undefined)
      await context.prefill(file === "-" ? await readStdin() : await readText(file), {
        onProgress: showProgress(bar),
        signal,
      });
    if (prompt !== undefined) await context.prefill(prompt, { onProgress: showProgress(bar), signal });
  } finally {
    bar.stop();
  }
  const read = performance.now();
  const promptTokens = context.length;
  const generation = context.generate(undefined, {
    maxTokens,
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    seed,
    stop,
    signal,
  });
  const tokens: { tokenId: number; logprob: number }[] = [];
  let text = "";
  const summary = () => ({
    text,
    tokens,
    usage: { promptTokens, completionTokens: tokens.length },
    seconds: { read: (read - begun) / 1000, write: (performance.now() - read) / 1000 },
    interrupted: signal.aborted,
  });
  try {
    for await (const piece of generation) {
      text += piece.text;
      tokens.push({ tokenId: piece.tokenId, logprob: piece.logprob });
      if (!options.json) process.stdout.write(piece.text);
    }
  } finally {
    if (options.json) printJson(summary());
    else if (text !== "" && !text.endsWith("\n")) process.stdout.write("\n");
    await context.dispose();
  }
}

export async function generate(source: string | undefined, options: Options, signal: AbortSignal): Promise<void> {
  if (options.prompt === undefined && options.file === undefined)
    throw new UsageError("generate needs --prompt or --file; see longspan generate --help");
  const model = await loadAsGiven(source ?? defaultModel, options, signal);
  try {
    await write(model, options, signal);
  } finally {
    await model.dispose();
  }
}
