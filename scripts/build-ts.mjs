// lib/ → dist/: compiled anew, with the declarations that C++ printed, and the worker that is JavaScript already.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");

rmSync(join(root, "dist"), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
for (const file of ["native.d.ts", "formats/tokenizer-worker.mjs"])
  if (status === 0 && existsSync(join(root, "lib", file)))
    copyFileSync(join(root, "lib", file), join(root, "dist", file));
process.exitCode = status ?? 1;
