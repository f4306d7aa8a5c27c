// Checks of options objects in TypeScript, worded as the native ones: unknown names are refused with a suggestion.
import { ArgumentError } from "./errors.js";

/** Edits (insert, delete, replace) between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

export function closest(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, edits: distance(word.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  return near && near.edits <= Math.max(2, Math.floor(word.length / 3)) ? near.name : undefined;
}

export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (typeof value === "string") return value.length > 40 ? `"${value.slice(0, 40)}…"` : `"${value}"`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === "object" ? `an object (${value.constructor?.name ?? "no class"})` : `a ${typeof value}`;
}

/** An ArgumentError that says what was expected. */
export function wrongArgument(op: string, argument: string, expected: string, actual: unknown): never {
  throw new ArgumentError(`${op}: expected ${expected} for ${argument}, got ${describe(actual)}`, { op, argument });
}

/** The options object itself: {} when absent; names that are none of `known` are refused. */
export function checkedOptions<T extends object>(
  op: string,
  given: T | undefined,
  known: readonly string[],
): Partial<T> {
  if (given === undefined || given === null) return {};
  if (typeof given !== "object" || Array.isArray(given)) wrongArgument(op, "options", "an object", given);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const near = closest(name, known);
    throw new ArgumentError(
      `${op}: unknown option "${name}"${near ? `; did you mean "${near}"? It` : "; it"} takes ${known.join(", ")}`,
      { op, argument: name },
    );
  }
  return given;
}

interface NumberRule {
  integer?: boolean;
  min?: number;
  max?: number;
  /** `min` itself is not allowed. */
  above?: boolean;
}

/** A number within a rule; undefined stays undefined. */
export function checkedNumber(op: string, argument: string, value: unknown, rule: NumberRule): number | undefined {
  if (value === undefined || value === null) return undefined;
  const { integer = false, min = -Infinity, max = Infinity, above = false } = rule;
  const good =
    typeof value === "number" &&
    !Number.isNaN(value) &&
    (integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    (above ? value > min : value >= min) &&
    value <= max;
  if (good) return value;
  const bounds = [min > -Infinity && `${above ? "above" : "at least"} ${min}`, max < Infinity && `at most ${max}`];
  const wanted = [integer ? "an integer" : "a number", bounds.filter(Boolean).join(" and ")].filter(Boolean).join(" ");
  return wrongArgument(op, argument, wanted, value);
}

export function checkedChoice<T extends string>(
  op: string,
  argument: string,
  value: unknown,
  choices: readonly T[],
): T | undefined {
  if (value === undefined || value === null) return undefined;
  if (choices.includes(value as T)) return value as T;
  const near = typeof value === "string" ? closest(value, choices) : undefined;
  const wanted = `one of ${choices.map((choice) => `"${choice}"`).join(", ")}`;
  return wrongArgument(op, argument, near ? `${wanted} (did you mean "${near}"?)` : wanted, value);
}

export function checkedSignal(op: string, signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal === null || signal instanceof AbortSignal) return signal ?? undefined;
  return wrongArgument(op, "signal", "an AbortSignal", signal);
}

export function checkedFunction<T>(op: string, argument: string, value: T | undefined): T | undefined {
  if (value === undefined || value === null || typeof value === "function") return value ?? undefined;
  return wrongArgument(op, argument, "a function", value);
}
