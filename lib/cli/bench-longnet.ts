// `longspan bench longnet`.
import { longNet, measureLongNet } from "../evaluation/index.js";
import { machine, setThreads } from "../index.js";
import { printFacts, printJson, progressBar } from "./output.js";
import { UsageError } from "./run.js";
import { formatCount } from "./units.js";

interface Options {
  tokens?: number;
  stream: boolean;
  file?: string;
  threads?: number;
  json?: boolean;
}

export async function benchLongNet(options: Options, signal: AbortSignal): Promise<void> {
  if (options.threads) setThreads(options.threads);
  if (options.file !== undefined && !options.stream) throw new UsageError("--file needs --stream");
  const { tokens = 1 << 20, stream, file } = options;
  const bar = await progressBar("attending");
  const result = await measureLongNet({
    tokens,
    stream,
    signal,
    onProgress: bar.update,
    ...(file === undefined ? {} : { file }),
  }).finally(() => bar.stop());
  const { isa, threads } = machine();
  if (options.json) return printJson({ isa, threads, ...result });
  const pairs = longNet.segments.map((w, i) => `${w}/${longNet.rates[i]}`).join(", ");
  printFacts(`Dilated attention (LongNet), one head × 64, float32, causal, ${threads} threads`, [
    ["segments / rates", pairs],
    ["tokens", formatCount(tokens)],
    ["attention", `${result.seconds.toFixed(2)} s`],
    ["a token", `${result.nanosecondsPerToken.toFixed(0)} ns`],
    ["rate", `${(result.flopsPerSecond / 1e9).toFixed(1)} GFLOP/s`],
    ["tensors and scratch", `${(result.tensorBytes / 2 ** 20).toFixed(0)} MiB${stream ? ", whatever the length" : ""}`],
  ]);
}
