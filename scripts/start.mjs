// `npm start`: builds what is missing, then lets the bundled model read a book a thousand times longer than what it was
// trained on, measures what that costs in quality, time and memory, and draws longspan-report.svg. It uses longspan as
// any program would. Options, after `npm start --`: --book <file>, --report <file>.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { listFiles, root } from "./tree.mjs";

function newest(files) {
  return Math.max(0, ...files.map((file) => statSync(join(root, file)).mtimeMs));
}

/** Whether `target` is older than what it is made of. */
function isStale(target, sources) {
  return !existsSync(target) || statSync(target).mtimeMs < newest(sources);
}

function build(what, script) {
  console.log(`building ${what} …`);
  const { status } = spawnSync(process.execPath, [join(root, "scripts", script)], { cwd: root, stdio: "inherit" });
  if (status !== 0) throw new Error(`${what} could not be built`);
}

function buildMissing() {
  const addon = join(root, "build", "Release", "longspan.node");
  const sources = [...listFiles(["csrc", "cuda"], /\.(h|cc|inl|cu)$/), "CMakeLists.txt"];
  const ready = process.env.LONGSPAN_BINARY || (!existsSync(addon) && existsSync(join(root, "prebuilds")));
  if (!ready && isStale(addon, sources)) build("the native addon (a minute or two)", "build-native.mjs");
  if (isStale(join(root, "dist", "index.js"), listFiles(["lib"], /\.(ts|mjs)$/))) build("dist/", "build-ts.mjs");
}

function readOptions() {
  const { values } = parseArgs({
    options: { book: { type: "string" }, report: { type: "string", default: join(root, "longspan-report.svg") } },
  });
  return values;
}

const controller = new AbortController();
process.on("SIGINT", () => {
  if (controller.signal.aborted) process.exit(130);
  process.exitCode = 130;
  controller.abort(new DOMException("interrupted", "AbortError"));
});
try {
  const options = readOptions();
  buildMissing();
  const { run } = await import("./start/job.mjs");
  await run({ ...options, signal: controller.signal });
} catch (error) {
  if (controller.signal.aborted) console.error("longspan: interrupted");
  else {
    const code = error.code && !error.message.startsWith(error.code) ? `${error.code}: ` : "";
    console.error(`longspan: ${code}${error.message}`);
    process.exitCode = error.code?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  }
}
