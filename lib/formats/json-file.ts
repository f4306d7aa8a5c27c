// A JSON file of a checkpoint and typed reading of its fields: a missing or wrong one is a ModelFormatError that names
// the file and the field.
import { readFile } from "node:fs/promises";
import { ModelFormatError } from "../errors.js";

export type JsonObject = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The file's object; undefined when there is no such file. */
export async function readJsonFile(file: string): Promise<JsonObject | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new ModelFormatError(`${file}: cannot be read: ${(cause as Error).message}`, {
      file,
      reason: "cannot be read",
      cause,
    });
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isObject(value)) return value;
  } catch (cause) {
    const reason = `is not valid JSON: ${(cause as Error).message}`;
    throw new ModelFormatError(`${file}: ${reason}`, { file, reason, cause });
  }
  throw new ModelFormatError(`${file}: expected a JSON object`, { file, reason: "expected a JSON object" });
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
}

export class JsonFields {
  constructor(
    readonly file: string,
    readonly values: JsonObject,
    readonly path = "",
  ) {}

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null;
  }
  wrong(name: string, expected: string, actual: unknown = this.values[name]): never {
    const reason =
      actual === undefined
        ? `the field "${this.path}${name}" is missing, expected ${expected}`
        : `the field "${this.path}${name}" must be ${expected}, got ${shown(actual)}`;
    throw new ModelFormatError(`${this.file}: ${reason}`, { file: this.file, reason });
  }
  /** A whole number from `min` on; without a fallback it must be there. null counts as absent. */
  integer(name: string, fallback?: number, min = 1): number {
    const value = this.values[name] ?? fallback;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min) return value;
    return this.wrong(name, `a whole number from ${min} on`);
  }
  /** A finite number above 0. */
  positive(name: string, fallback?: number): number {
    const value = this.values[name] ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return this.wrong(name, "a number above 0");
  }
  boolean(name: string, fallback?: boolean): boolean {
    const value = this.values[name] ?? fallback;
    if (typeof value === "boolean") return value;
    return this.wrong(name, "true or false");
  }
  string(name: string, fallback?: string): string {
    const value = this.values[name] ?? fallback;
    if (typeof value === "string") return value;
    return this.wrong(name, "a string");
  }
  object(name: string): JsonFields | undefined {
    const value = this.values[name] ?? undefined;
    if (value === undefined) return undefined;
    if (isObject(value)) return new JsonFields(this.file, value, `${this.path}${name}.`);
    return this.wrong(name, "an object");
  }
  /** One whole number or a list of them, as a list; [] when absent. */
  integers(name: string): number[] {
    const value = this.values[name] ?? [];
    const list = Array.isArray(value) ? value : [value];
    if (list.every((item) => Number.isSafeInteger(item) && item >= 0)) return list;
    return this.wrong(name, "a whole number or a list of them");
  }
  strings(name: string): string[] | undefined {
    const value = this.values[name] ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    return this.wrong(name, "a list of strings");
  }
}
