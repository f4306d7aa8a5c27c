// Builds and runs the C++ programs of test/native in the build folder of the addon, or in the one given.
// The last line is "N passed, N failed".
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "./tree.mjs";

const folder = process.argv[2] ?? join(root, "build", "cmake");
const sources = join(root, "test", "native");

function run(command, ...args) {
  return spawnSync(command, args, { cwd: root, stdio: "inherit" }).status ?? 1;
}

function main() {
  const names = existsSync(sources) ? readdirSync(sources).filter((name) => name.endsWith(".cc")) : [];
  const jobs = process.env.LONGSPAN_BUILD_JOBS ?? String(availableParallelism());
  if (run("cmake", "--build", folder, "--target", "native_tests", "--parallel", jobs) !== 0) {
    console.log(`0 passed, ${names.length || 1} failed`);
    return 1;
  }
  if (names.length === 0) return 0;
  const tested = spawnSync("ctest", ["--test-dir", folder, "--output-on-failure", "--parallel", jobs], {
    cwd: root,
    encoding: "utf8",
  });
  console.log(tested.stdout.trimEnd());
  const failed = Number(/(\d+) tests? failed out of/.exec(tested.stdout)?.[1] ?? names.length);
  console.log(`${names.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = main();
