// The budget of house.md: files of at most 400 lines and functions of at most 40 at the 90th percentile, no function over
// 120 but the kernel main loops listed here, and one number for the whole of csrc, cuda and lib. Raising that number is
// a decision and goes into docs/adr.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { listFiles, root } from "./tree.mjs";

const budget = { fileP90: 400, functionP90: 40, function: 120, whole: 36_000 };
const mainLoops = new Set([]); // "file:function"

// Comments, strings and regular expressions become blanks; line breaks stay.
function blanked(text) {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\//g;
  return text.replace(token, (match) => match.replace(/[^\n]/g, " "));
}

// The start of the function whose body opens at `brace`, or −1: a parameter list, then only qualifiers, a return type or
// an initialiser list, then the brace.
function headOf(text, brace) {
  const before = text.slice(Math.max(0, brace - 600), brace);
  const tail =
    /\)\s*(?:(?:const|noexcept|override|final|mutable|&|&&)\s*)*(?:->\s*[\w:<>,*&\s]+|:\s*[^;=?]*|=>\s*)?$/.exec(
      before,
    );
  const arrow = /(?:\w|\)|>)\s*=>\s*$/.test(before);
  if (!tail && !arrow) return -1;
  let at = brace - before.length + (tail ? tail.index : before.lastIndexOf("=>"));
  if (tail) {
    for (let depth = 0; at >= 0; at--) {
      if (text[at] === ")") depth++;
      if (text[at] === "(" && --depth === 0) break;
    }
  }
  const head = text.slice(Math.max(0, at - 200), at);
  if (/\b(?:if|for|while|switch|catch|constexpr|return)\s*$/.test(head)) return -1;
  return at;
}

// Outermost functions only: a lambda's lines are its owner's.
function functions(file, text) {
  const found = [];
  const open = [];
  for (let at = 0, line = 1; at < text.length; at++) {
    if (text[at] === "\n") line++;
    else if (text[at] === "{") {
      const inside = open.some((scope) => scope.head >= 0);
      open.push({ line, head: inside ? -1 : headOf(text, at) });
    } else if (text[at] === "}") {
      const scope = open.pop();
      if (!scope || scope.head < 0) continue;
      const name =
        /([\w$~]+)[^\w$]*$/.exec(text.slice(Math.max(0, scope.head - 200), scope.head))?.[1] ?? "(anonymous)";
      const first = text.slice(0, scope.head).split("\n").length;
      found.push({ name: `${file}:${name}`, lines: line - first + 1 });
    }
  }
  return found;
}

function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const sources = listFiles(["csrc", "cuda", "lib"], /\.(h|cc|inl|cu|ts|mjs)$/).filter(
  (file) => file !== "lib/native.d.ts",
);
const files = sources.map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }));
const fileLines = files.map(({ text }) => text.split("\n").length - 1);
const all = files.flatMap(({ file, text }) => functions(file, blanked(text)));
const whole = fileLines.reduce((sum, lines) => sum + lines, 0);
const fileP90 = percentile(fileLines, 0.9);
const functionP90 = percentile(
  all.map(({ lines }) => lines),
  0.9,
);

const faults = all
  .filter(({ name, lines }) => lines > budget.function && !mainLoops.has(name))
  .map(({ name, lines }) => `${name} has ${lines} lines, over ${budget.function}`);
if (fileP90 > budget.fileP90) faults.push(`90 % of files should have at most ${budget.fileP90} lines: ${fileP90}`);
if (functionP90 > budget.functionP90)
  faults.push(`90 % of functions should have at most ${budget.functionP90} lines: ${functionP90}`);
if (whole > budget.whole) faults.push(`csrc, cuda and lib have ${whole} lines, over ${budget.whole}`);

console.log(
  `${files.length} files, ${whole} lines (of ${budget.whole}), p90 ${fileP90}; ${all.length} functions, p90 ${functionP90}`,
);
if (process.argv.includes("--list")) {
  for (const { name, lines } of all.toSorted((a, b) => b.lines - a.lines).slice(0, 25))
    console.log(`${lines}\t${name}`);
}
if (faults.length > 0) console.error(faults.join("\n"));
process.exitCode = faults.length === 0 ? 0 : 1;
