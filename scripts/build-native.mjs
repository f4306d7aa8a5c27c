// Builds build/Release/longspan.node (and the CUDA plugin where nvcc is found) through cmake-js and CMakeLists.txt.
// `--unless-prebuilt` (the install script) does nothing where prebuilds/ has a binary that loads here. Configuring runs
// each time, so that a changed LONGSPAN_… switch takes effect; building is incremental.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

function node(script, args, stdio) {
  return spawnSync(process.execPath, [require.resolve(script), ...args], { cwd: root, stdio });
}

function resolves(name) {
  try {
    return Boolean(require.resolve(name));
  } catch {
    return false;
  }
}

function onPath(name) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingTools() {
  const missing = [];
  if (!process.env.CXX && !onPath("c++") && !onPath("g++") && !onPath("clang++")) missing.push("g++");
  if (!onPath("cmake")) missing.push("cmake");
  if (!onPath("make") && !onPath("ninja")) missing.push("make");
  return missing;
}

function main() {
  if (process.argv.includes("--unless-prebuilt") && existsSync(join(root, "prebuilds"))) {
    if (node("node-gyp-build/build-test.js", [], "ignore").status === 0) return 0;
  }
  if (!resolves("cmake-js/package.json")) {
    console.error("longspan: the npm package cmake-js is missing: run  npm ci  first");
    return 1;
  }
  const missing = missingTools();
  if (missing.length > 0) {
    console.error(
      `longspan: no ready-made binary for this machine, and building one needs ${missing.join(", ")}: ` +
        `run  apt-get install -y g++ make cmake  and then the same npm command again`,
    );
    return 1;
  }
  const where = ["--out", "build/cmake", "--log-level", "warn"];
  const configured = node("cmake-js/bin/cmake-js", ["configure", ...where], "inherit");
  if (configured.status !== 0) return 1;
  const parallel = process.env.LONGSPAN_BUILD_JOBS ?? String(availableParallelism());
  return node("cmake-js/bin/cmake-js", ["build", ...where, "--parallel", parallel], "inherit").status === 0 ? 0 : 1;
}

process.exitCode = main();
