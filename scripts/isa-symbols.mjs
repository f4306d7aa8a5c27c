// Each csrc/cpu/isa_*.cc is compiled for one instruction set. Whatever else it exports the linker may give to the whole
// program, and so to a processor without that set: an object must export its table and nothing weak, and must call
// nothing of the C++ library.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tree.mjs";

const folder = join(process.argv[2] ?? join(root, "build", "cmake"), "CMakeFiles");
const nm = process.env.NM ?? "nm";

function objects() {
  if (!existsSync(folder)) return [];
  const targets = readdirSync(folder).filter((name) => /^isa_.*\.dir$/.test(name));
  return targets.map((name) => join(folder, name, "csrc", "cpu", `${name.slice(0, -4)}.cc.o`)).filter(existsSync);
}

function faults(object) {
  const lines = execFileSync(nm, ["--extern-only", "--demangle", object], { encoding: "utf8" }).trim().split("\n");
  const symbols = lines.map((line) => /^\s*[0-9a-f]*\s+(\S)\s+(.*)$/.exec(line)).filter(Boolean);
  const named = (pick) => symbols.filter(([, kind, name]) => pick(kind, name)).map(([, , name]) => name);
  const exported = named((kind) => kind !== "U" && !"wvWVu".includes(kind));
  const weak = named((kind) => "wvWVu".includes(kind));
  const borrowed = named((kind, name) => kind === "U" && /\bstd::|operator (new|delete)|__cxa_/.test(name));
  const isTable = exported.length === 1 && /^longspan::\w+Backend$/.test(exported[0]);
  return [
    ...(isTable ? [] : [`exports ${exported.length} symbols, not its table alone: ${exported.join(", ")}`]),
    ...weak.map((name) => `weak: ${name}`),
    ...borrowed.map((name) => `calls the C++ library: ${name}`),
  ];
}

const found = objects();
const wrong = found.flatMap((object) => faults(object).map((fault) => `${object}: ${fault}`));
if (found.length === 0) wrong.push(`no ISA objects under ${folder}: run npm run build:native first`);
if (wrong.length > 0) console.error(wrong.join("\n"));
else console.log(`${found.length} ISA objects, 1 export and 0 weak symbols each`);
process.exitCode = wrong.length === 0 ? 0 : 1;
