// What a long measurement has finished, in a file: a run that was stopped goes on from there. The file says of which
// measurement it is; it is replaced as a whole after each pass, so that a crash leaves the one before.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ArgumentError } from "../errors.js";
import type { SchemePass } from "../evaluation/index.js";
import { readText, replaceFile } from "./files.js";

/** What a measurement is of, in words: two runs with the same facts can share passes. */
export type Facts = Readonly<Record<string, string>>;

interface Content {
  kind: "longspan rope";
  facts: Facts;
  /** Settings of each scheme, by its name. */
  schemes: Readonly<Record<string, unknown>>;
  passes: SchemePass[];
}

const kind = "longspan rope";

function refuse(file: string, reason: string, cause?: unknown): never {
  throw new ArgumentError(`${file} ${reason}; it was left as it is`, { op: "rope", argument: "resume", cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** null stands for what is no number: JSON has no NaN. */
function isPass(value: unknown): value is SchemePass {
  if (!isObject(value)) return false;
  const { scheme, window, length, sums, seconds } = value;
  const whole = [window, length].every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
  const isSum = (sum: unknown) => typeof sum === "number" || sum === null;
  return typeof scheme === "string" && whole && typeof seconds === "number" && Array.isArray(sums) && sums.every(isSum);
}

async function readContent(file: string): Promise<Content> {
  let content: unknown;
  try {
    content = JSON.parse(await readText(file));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    refuse(file, `is not what longspan rope --resume writes: ${cause.message}`, cause);
  }
  if (!isObject(content) || content.kind !== kind) refuse(file, "is not what longspan rope --resume writes");
  const { facts, schemes, passes } = content;
  if (!isObject(facts) || !isObject(schemes) || !Array.isArray(passes) || !passes.every(isPass))
    refuse(file, "is damaged: facts, schemes or passes are not what they must be");
  const numbers = passes.map((pass) => ({ ...pass, sums: pass.sums.map((sum) => sum ?? Number.NaN) }));
  return { kind, facts: facts as Facts, schemes, passes: numbers };
}

/** Names what differs, as it was and as it is. */
function requireSame(file: string, then: Content, facts: Facts, schemes: Content["schemes"]): void {
  const names = [...new Set([...Object.keys(facts), ...Object.keys(then.facts)])];
  const differing = names
    .filter((name) => facts[name] !== then.facts[name])
    .map((name) => `${name} (there ${then.facts[name] ?? "none"}, here ${facts[name] ?? "none"})`);
  for (const [name, settings] of Object.entries(schemes))
    if (Object.hasOwn(then.schemes, name) && !isDeepStrictEqual(then.schemes[name], settings))
      differing.push(`settings of ${name}`);
  if (differing.length > 0)
    refuse(file, `is of another measurement, with other ${differing.join(", ")}. Give --resume another file`);
}

/** Where passes are kept when no file is named: a cache, by what the measurement is of. */
export function defaultPassFile(facts: Facts): string {
  const name = createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "longspan", `rope-${name}.json`);
}

export class PassFile {
  readonly file: string;
  readonly #content: Content;

  private constructor(file: string, content: Content) {
    this.file = file;
    this.#content = content;
  }

  /** Reads the file, or begins it; ArgumentError where it is damaged, of another measurement, or cannot be written. */
  static async open(file: string, facts: Facts, schemes: Content["schemes"]): Promise<PassFile> {
    const before = existsSync(file) ? await readContent(file) : undefined;
    if (before) requireSame(file, before, facts, schemes);
    const all = { ...before?.schemes, ...schemes };
    const opened = new PassFile(file, { kind, facts, schemes: all, passes: before?.passes ?? [] });
    await opened.#write();
    return opened;
  }

  get passes(): readonly SchemePass[] {
    return this.#content.passes;
  }
  async add(pass: SchemePass): Promise<void> {
    this.#content.passes.push(pass);
    await this.#write();
  }
  async remove(): Promise<void> {
    await rm(this.file, { force: true });
  }

  async #write(): Promise<void> {
    await replaceFile(this.file, `${JSON.stringify(this.#content)}\n`);
  }
}
