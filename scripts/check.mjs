// `npm run check`: everything that is checked without running the library, in one line each. All of them run; the first
// failure decides nothing but the exit code. `--fix` formats instead of complaining.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cxx, listFiles, root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const script = (name, ...args) => [process.execPath, join("scripts", name), ...args];
const bin = (name, path, ...args) => [
  process.execPath,
  join(dirname(require.resolve(`${name}/package.json`)), path),
  ...args,
];

const clangFormat = process.env.CLANG_FORMAT ?? "clang-format";
const cxxFiles = listFiles(["csrc", "cuda", "test/native"], cxx);
const fix = process.argv.includes("--fix");

const checks = [
  ["floors: who may import whom", script("floors.mjs")],
  ["isa: one export, nothing weak", script("isa-symbols.mjs")],
  ["types: lib/native.d.ts is what C++ prints", script("types.mjs", "--check")],
  ["size: files, functions, whole", script("size.mjs")],
  ["lockfile: for every machine", script("lockfile.mjs")],
  ["clang-format", [clangFormat, ...(fix ? ["-i"] : ["--dry-run", "-Werror"]), ...cxxFiles]],
  ["biome", bin("@biomejs/biome", "bin/biome", "check", ...(fix ? ["--write"] : ["--error-on-warnings"]))],
  ["tsc", bin("typescript", "bin/tsc", "-p", "tsconfig.json")],
];

// clang-format complains per place; the files are enough.
function unformatted(text) {
  const files = new Set([...text.matchAll(/^(\S+?):\d+:\d+: error/gm)].map(([, file]) => file));
  return files.size > 0 ? `${[...files].join("\n")}\nrun npm run format` : text;
}

let failed = 0;
for (const [title, [command, ...args]] of checks) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const passed = status === 0;
  console.log(`${passed ? "ok    " : "FAILED"} ${title}`);
  if (passed) continue;
  failed++;
  if (error?.code === "ENOENT") console.log(`${command} is missing: apt-get install -y ${command}`);
  const text = `${stdout ?? ""}${stderr ?? ""}`.trimEnd();
  console.log(title === "clang-format" ? unformatted(text) : text);
}
process.exitCode = failed === 0 ? 0 : 1;
