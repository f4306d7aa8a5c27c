// lib/ → dist/, compiled anew. The declarations printed from C++ go along: lib/native.d.ts would collide there with those
// of lib/native.ts, so in dist they are called native-signatures.d.ts.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { listFiles, root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
const printed = join(root, "lib", "native.d.ts");

function carryPrinted() {
  for (const file of listFiles(["dist"], /\.d\.ts$/)) {
    const text = readFileSync(join(root, file), "utf8");
    const renamed = text.replace(/(["'](?:\.\.?\/)+native)\.d\.ts(["'])/g, "$1-signatures.d.ts$2");
    if (renamed !== text) writeFileSync(join(root, file), renamed);
  }
  copyFileSync(printed, join(root, "dist", "native-signatures.d.ts"));
}

rmSync(join(root, "dist"), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
if (status === 0 && existsSync(printed)) carryPrinted();
process.exitCode = status ?? 1;
