// lib/native.d.ts is what the addon says of itself: each C++ signature prints its own TypeScript (csrc/node/bind.h).
// `node scripts/types.mjs` writes it, `--check` fails when the file in the tree differs.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const file = join(root, "lib", "native.d.ts");

function printed() {
  const binary = process.env.LONGSPAN_BINARY ?? join(root, "build", "Release", "longspan.node");
  if (!existsSync(binary)) throw new Error(`there is no ${binary}: run npm run build:native first`);
  const { signatures } = require(binary);
  const text = typeof signatures === "function" ? signatures() : signatures;
  if (typeof text !== "string") throw new Error(`${binary} exports no signatures`);
  return `// Printed from the C++ signatures by scripts/types.mjs; never edited by hand.\n${text.trimEnd()}\n`;
}

function current() {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

const text = printed();
if (!process.argv.includes("--check")) {
  writeFileSync(file, text);
} else if (current() !== text) {
  console.error("lib/native.d.ts is not what the addon prints: run `npm run types` and commit the result");
  process.exitCode = 1;
}
