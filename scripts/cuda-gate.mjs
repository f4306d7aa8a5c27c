// What ptxas said of the CUDA kernels (*.log beside their objects): fails where it serialised wgmma or ignored
// setmaxnreg (its messages C7508 and C7510 to C7515), and where a kernel of a fast path spills registers.
//   cuda-gate.mjs [folder] [--all]    --all lists every kernel, not those of the fast paths alone
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tree.mjs";

const folder = process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? join(root, "build/cmake/cuda");

// Matched against demangled names; each must find a kernel, so that a new name does not leave a path unwatched.
const fastPaths = [
  /\battentionTile<__nv_bfloat16, (64|128), false>/, // prefill
  /\battentionTile<__half, (64|128), false>/,
  /\battentionTile<__nv_bfloat16, (64|128), true>/, // decode
  /\btensorGemm<.*, true, /, // rows of 16 bytes; others are copied value by value
  /\bgemv<__nv_bfloat16, __nv_bfloat16,/,
  /\bgemvQuantised</,
  /\bturnAndAppend\b/,
];
// Where spills are a fault. ptxas gives sm_100 and sm_120 the same kernels with up to 112 bytes of them; those run this
// portable path at a fraction of what their own instructions could.
const tuned = /^sm_(80|86|89|90a?)$/;
const fatal = /\(?\b(C7508|C751[0-5])\b/;

/** Every mangled name in the text becomes what C++ calls it. */
function demangled(text) {
  for (const tool of ["cu++filt", "/usr/local/cuda/bin/cu++filt", "c++filt"]) {
    try {
      return execFileSync(tool, [], { input: text, encoding: "utf8", maxBuffer: 1 << 28 });
    } catch {} // the next one
  }
  throw new Error("neither cu++filt nor c++filt is there: apt-get install -y binutils");
}

/** Kernels and the functions that they call, each with its architecture. */
function read(text) {
  const functions = [];
  const messages = [];
  let arch = "?";
  let entry = "";
  let current = null;
  for (const line of text.split("\n")) {
    const compiling = /Compiling entry function '(.*)' for '(\w+)'/.exec(line);
    const properties = /Function properties for (.*)$/.exec(line);
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    const used = /Used (\d+) registers/.exec(line);
    if (fatal.test(line)) messages.push(line.trim());
    if (compiling) [, entry, arch] = compiling;
    if (properties) {
      current = { name: properties[1].trim(), arch, registers: 0, stack: 0, spills: 0 };
      functions.push(current);
    }
    if (frame && current) {
      current.stack = Number(frame[1]);
      current.spills = Number(frame[2]) + Number(frame[3]);
    }
    const kernel = used && functions.findLast(({ name }) => name === entry);
    if (kernel) kernel.registers = Number(used[1]);
  }
  return { functions, messages };
}

const short = (name) =>
  name
    .replaceAll("longspan::cuda::", "")
    .replace(/^void /, "")
    .replace(/\([^()]*\)$/, "");

function table(functions) {
  const rows = functions.map((f) => [short(f.name), f.arch, f.registers || "", f.spills, f.stack].map(String));
  const all = [["kernel", "arch", "registers", "spills", "stack"], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) => row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  "));
}

const logs = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".log")) : [];
if (logs.length === 0) {
  console.log(`skipped: no nvcc was found when ${folder} was built`);
  process.exit(0);
}
const { functions, messages } = read(
  demangled(logs.map((name) => readFileSync(join(folder, name), "utf8")).join("\n")),
);
const watched = functions.filter(({ name }) => fastPaths.some((path) => path.test(name)));
console.log(table(process.argv.includes("--all") ? functions : watched).join("\n"));

const faults = [
  ...messages,
  ...watched
    .filter(({ spills, arch }) => spills > 0 && tuned.test(arch))
    .map((f) => `${short(f.name)} spills ${f.spills} bytes on ${f.arch}`),
  ...fastPaths.filter((path) => !watched.some(({ name }) => path.test(name))).map((path) => `no kernel is ${path}`),
];
console.log(
  `${functions.length} functions in ${logs.length} logs, ${watched.length} of fast paths, ${faults.length} faults`,
);
if (faults.length > 0) console.error(faults.join("\n"));
process.exitCode = faults.length === 0 ? 0 : 1;
