// Files a command is given or asked to write.
import { existsSync } from "node:fs";
import { open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ArgumentError } from "../errors.js";

/** lib/cli and dist/cli both lie two levels below the package. */
const assets = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "assets");

/** The bundled models: one that writes, and one that finds what is hidden. */
export const defaultModel = join(assets, "books");
export const retrievalModel = join(assets, "kv-constructed");

/** Fails now rather than after minutes of work. */
export async function requireWritable(file: string): Promise<void> {
  try {
    const existed = existsSync(file);
    await (await open(file, "a")).close();
    if (!existed) await rm(file);
  } catch (cause) {
    cannot("written", file, cause);
  }
}

export async function writeText(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: unknown) => cannot("written", file, cause));
}

/** The file as it was or as it shall be, whatever happens: written beside it, then renamed. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const beside = `${file}.${process.pid}.tmp`;
  try {
    const handle = await open(beside, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {});
    cannot("written", file, cause);
  }
}

/** A whole text file, which must be UTF-8. */
export async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: unknown) => cannot("read", file, cause));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ArgumentError(`${file} is not UTF-8 text`, { op: "cli", argument: "file", cause });
  }
}

function cannot(verb: string, file: string, cause: unknown): never {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  throw new ArgumentError(`${file} cannot be ${verb}: ${reasons[reason] ?? reason}`, {
    op: "cli",
    argument: "file",
    cause,
  });
}

const reasons: Record<string, string> = {
  EACCES: "no permission",
  EROFS: "the file system is read-only",
  ENOENT: "no such file or folder",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
};
