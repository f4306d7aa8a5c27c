// `npm test`: builds what is missing or out of date (addon and dist/, which worker threads in tests load), then runs
// vitest with the arguments given. With LONGSPAN_BINARY set that addon is tested and none is built.
// The last line is "N passed, N failed"; a file that did not load counts as one failure.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { root } from "./tree.mjs";

const require = createRequire(import.meta.url);
const report = join(root, "build", `test-${process.pid}.json`);

function node(...args) {
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status ?? 1;
}

// The addon, the CUDA kernels for the CPU (test/emulator), dist/.
function build() {
  if (!process.env.LONGSPAN_BINARY) {
    if (node("scripts/build-native.mjs") !== 0) return false;
    const emulated = ["--build", join(root, "build", "cmake"), "--parallel", "--target", "emulated_cuda"];
    if (spawnSync("cmake", emulated, { stdio: "inherit" }).status !== 0) return false;
  }
  return node("scripts/build-ts.mjs") === 0;
}

function counts() {
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
  const unloaded = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  return { passed: numPassedTests, failed: numFailedTests + unloaded };
}

function main() {
  if (!build()) {
    console.log("0 passed, 1 failed");
    return 1;
  }
  mkdirSync(dirname(report), { recursive: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = node(
    join(dirname(require.resolve("vitest/package.json")), "vitest.mjs"),
    "run",
    ...reporters,
    ...process.argv.slice(2),
  );
  let result = { passed: 0, failed: 1 };
  try {
    result = counts();
    rmSync(report);
  } catch (error) {
    console.error(`vitest left no report: ${error.message}`);
  }
  if (status !== 0 && result.failed === 0) result.failed = 1;
  console.log(`${result.passed} passed, ${result.failed} failed`);
  return result.failed === 0 ? 0 : 1;
}

process.exitCode = main();
