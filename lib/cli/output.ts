// Where output goes. Results are stdout's; everything else is stderr's, and bars are shown only where a person watches.
import type { SingleBar } from "cli-progress";
import { formatSeconds } from "./units.js";

type Style = "bold" | "dim";
const codes: Record<Style, [number, number]> = { bold: [1, 22], dim: [2, 22] };

/** Text in a style, where stdout is a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string): string {
  if (!process.stdout.isTTY || process.env.NO_COLOR) return text;
  const [on, off] = codes[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

export function printLine(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  const plain = (_: string, item: unknown) => (typeof item === "number" && !Number.isFinite(item) ? null : item);
  printLine(JSON.stringify(value, plain, 2));
}

/** Columns, the first to the left and the rest to the right unless `left` says otherwise. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): void {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (left.includes(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd();
  printLine(paint("dim", line(head)));
  for (const row of rows) printLine(line(row));
}

/** Names and values under a heading. */
export function printFacts(heading: string, facts: readonly (readonly [string, string])[]): void {
  const width = Math.max(...facts.map(([name]) => name.length));
  printLine(paint("bold", heading));
  for (const [name, value] of facts) printLine(`  ${name.padEnd(width)}  ${value}`);
}

export interface Bar {
  /** With the time that is left, by what was done since the first call. */
  update(done: number, total: number, note?: string): void;
  stop(): void;
}

const silent: Bar = { update: () => {}, stop: () => {} };

/** ", 12 s left" once there is something to go by. */
export function timeLeft(first: { done: number; at: number }, now: { done: number; at: number }, total: number) {
  const done = now.done - first.done;
  if (done <= 0 || now.done >= total) return "";
  return `, ${formatSeconds((((now.at - first.at) / done) * (total - now.done)) / 1000)} left`;
}

/** A progress bar on stderr if that is a terminal; otherwise nothing. */
export async function progressBar(title: string): Promise<Bar> {
  if (!process.stderr.isTTY) return silent;
  const { default: progress } = await import("cli-progress");
  const bar: SingleBar = new progress.SingleBar({
    format: `${title} {bar} {percentage} %  {note}`,
    barsize: 28,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
  });
  let first: { done: number; at: number } | undefined;
  return {
    update(done, total, text = "") {
      const now = { done, at: performance.now() };
      const note = `${text}${first ? timeLeft(first, now, total) : ""}`;
      if (!first) bar.start(total, done, { note });
      else {
        bar.setTotal(total);
        bar.update(done, { note });
      }
      first ??= now;
    },
    stop: () => bar.stop(),
  };
}
