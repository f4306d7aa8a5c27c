// Runs the suite under other releases of Node.js, taken from npm's package `node`:
//   node scripts/nodes.mjs [22 24 …] [-- vitest arguments]
// The addon is built once, by npm test under the first of them: Node-API is the same for all.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root } from "./tree.mjs";

const cut = process.argv.indexOf("--");
const versions = process.argv.slice(2, cut < 0 ? undefined : cut);
const vitestArguments = cut < 0 ? [] : process.argv.slice(cut + 1);

function underNode(version) {
  const folder = join(root, "build", `node-${version}`);
  mkdirSync(folder, { recursive: true });
  const install = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder, `node@${version}`];
  if (spawnSync("npm", install, { stdio: "inherit" }).status !== 0) return false;
  const bin = join(folder, "node_modules", "node", "bin");
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  console.log(`== Node ${spawnSync(join(bin, "node"), ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  const test = ["scripts/test.mjs", ...vitestArguments];
  return spawnSync(join(bin, "node"), test, { cwd: root, env, stdio: "inherit" }).status === 0;
}

const passed = (versions.length > 0 ? versions : ["20", "22", "24"]).map(underNode);
process.exitCode = passed.every(Boolean) ? 0 : 1;
