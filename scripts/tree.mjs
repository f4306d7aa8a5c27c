// The files of the checkout, without git: a CI machine may have no git, or one that distrusts the owner of the folder.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Paths relative to the root, sorted, of the files under these folders whose name the pattern takes. */
export function listFiles(folders, pattern) {
  const found = [];
  for (const folder of folders.filter((name) => existsSync(join(root, name)))) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const file = relative(root, join(entry.parentPath ?? entry.path, entry.name));
      if (entry.isFile() && pattern.test(entry.name) && !file.includes("node_modules")) found.push(file);
    }
  }
  return found.sort();
}

export const cxx = /\.(h|cc|inl|cu)$/;
