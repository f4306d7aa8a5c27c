// What the library has to say besides results and errors: lines on stderr, from LONGSPAN_LOG_LEVEL on.
import { native } from "./binding.js";

const levels = ["silent", "error", "warn", "info", "debug"] as const;
export type LogLevel = Exclude<(typeof levels)[number], "silent">;

let most: number | undefined;

/** Writes `longspan: level: message` if the level is wanted; warn and error are by default. */
export function log(level: LogLevel, message: string): void {
  most ??= levels.indexOf(native.machine().logLevel as LogLevel);
  if (levels.indexOf(level) <= most) process.stderr.write(`longspan: ${level}: ${message}\n`);
}
