// lib/ → dist/: compiled anew, with the declarations that C++ printed beside the others.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");

rmSync(join(root, "dist"), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
const printed = join(root, "lib", "native.d.ts");
if (status === 0 && existsSync(printed)) copyFileSync(printed, join(root, "dist", "native.d.ts"));
process.exitCode = status ?? 1;
