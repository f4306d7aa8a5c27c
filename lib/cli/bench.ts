// `longspan bench`.
import { type KernelRow, measureKernels } from "../evaluation/index.js";
import { machine, setThreads } from "../index.js";
import { paint, printFacts, printJson, printLine, printTable, progressBar } from "./output.js";
import { formatShare } from "./units.js";

function formatRate({ rate, unit }: Pick<KernelRow, "rate" | "unit">): string {
  return `${(rate / 1e9).toFixed(1)} ${unit === "flop/s" ? "GFLOP/s" : "GB/s"}`;
}

export async function bench(options: { threads?: number; json?: boolean }, signal: AbortSignal): Promise<void> {
  if (options.threads) setThreads(options.threads);
  const bar = await progressBar("measuring");
  bar.update(0, 1);
  const { ceilings, kernels } = await measureKernels({ onStep: bar.update, signal }).finally(() => bar.stop());
  const { isa, threads } = machine();
  if (options.json) return printJson({ isa, threads, ceilings, kernels });
  const giga = (value: number, unit: string) => (value > 0 ? `${(value / 1e9).toFixed(1)} ${unit}` : "none here");
  printFacts(`This machine, ${threads} threads, measured now (kernels: ${isa})`, [
    ["float32 multiply-add", giga(ceilings.float32Flops, "GFLOP/s")],
    ["bfloat16 pair products", giga(ceilings.bfloat16Flops, "GFLOP/s")],
    ["reading memory", giga(ceilings.readBytes, "GB/s")],
  ]);
  printLine();
  printLine(paint("bold", "Kernels, as shares of the ceiling that bounds them"));
  printTable(
    ["kernel", "best", "rate", "share"],
    kernels.map((row) => [row.kernel, `${row.milliseconds.toFixed(2)} ms`, formatRate(row), formatShare(row.share)]),
  );
}
