// Builds the addon with a sanitizer into build/<name> and runs the native tests and the suite under it:
//   node scripts/sanitize.mjs [address | thread] [vitest arguments]
// `address` is AddressSanitizer with UndefinedBehaviorSanitizer, each fault fatal. Leaks are not looked for: Node keeps
// its own until the end. LONGSPAN_SANITIZED tells tests that watch resident memory that it means nothing here.
// Kernels are one source and their checks are most of the build, so those of the machine's best instruction set and of
// baseline are instrumented; test/isa runs on the best, the native tests on both.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "./tree.mjs";

const [name = "address", ...vitestArguments] = process.argv.slice(2);
const folder = join(root, "build", name);

function run(command, args, environment = {}) {
  return spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...environment } }).status ?? 1;
}

function library(file) {
  return spawnSync(process.env.CXX ?? "g++", [`-print-file-name=${file}`], { encoding: "utf8" }).stdout.trim();
}

/** The best instruction set here, asked of an addon; "" where there is none yet. */
function bestIsa(command, binary, environment) {
  const code = "process.stdout.write(require(process.env.LONGSPAN_BINARY).machine().isa)";
  const env = { ...process.env, ...environment, LONGSPAN_BINARY: binary };
  return spawnSync(command[0], [...command.slice(1), "-e", code], { encoding: "utf8", env }).stdout;
}

function build() {
  const jobs = process.env.LONGSPAN_BUILD_JOBS ?? String(availableParallelism());
  // Warnings are judged at -O3: what -O1 says of unrolling and of values it cannot follow is another matter.
  const plain = bestIsa([process.execPath], join(root, "build", "Release", "longspan.node"), {});
  const switches = [
    `-DLONGSPAN_SANITIZE=${name}`,
    `-DLONGSPAN_SANITIZE_ISAS=${plain ? `${plain};baseline` : ""}`,
    "-DLONGSPAN_WERROR=OFF",
    `-DLONGSPAN_OUTPUT=${join(folder, "out")}`,
  ];
  return (
    run("cmake", ["-S", root, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", ...switches]) === 0 &&
    run("cmake", ["--build", folder, "--parallel", jobs]) === 0
  );
}

// What the sanitizer wrote; whether it wrote anything.
function printReports() {
  const reports = readdirSync(folder).filter((file) => file.startsWith("report."));
  for (const file of reports) {
    console.log(readFileSync(join(folder, file), "utf8"));
    rmSync(join(folder, file));
  }
  return reports.length > 0;
}

function main() {
  if (!["address", "thread"].includes(name)) {
    console.error(`sanitize: expected address or thread, got ${name}`);
    return 2;
  }
  if (!build()) {
    console.log("0 passed, 1 failed");
    return 1;
  }
  const log = `log_path=${join(folder, "report")}`; // vitest drops what a dying worker wrote
  const options = {
    ASAN_OPTIONS: `detect_leaks=0:${log}`,
    UBSAN_OPTIONS: `print_stacktrace=1:${log}`,
    TSAN_OPTIONS: `suppressions=${join(root, "tools", "tsan.supp")}:${log}`,
    LONGSPAN_SANITIZED: name,
  };
  const native = run(process.execPath, ["scripts/native-tests.mjs", folder], options);
  const binary = join(folder, "out", "longspan.node");
  const environment = { ...options, LONGSPAN_BINARY: binary, LD_PRELOAD: library(`lib${name[0]}san.so`) };
  // ThreadSanitizer's shadow memory wants the address space unshuffled.
  const command = name === "thread" ? ["setarch", "-R", process.execPath] : [process.execPath];
  const projects = ["--project=suite", `--project=${bestIsa(command, binary, environment)}`];
  const wanted = vitestArguments.length > 0 ? vitestArguments : projects;
  const tested = run(command[0], [...command.slice(1), "scripts/test.mjs", ...wanted], environment);
  const reported = printReports();
  return native === 0 && tested === 0 && !reported ? 0 : 1;
}

process.exitCode = main();
