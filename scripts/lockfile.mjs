// The lockfile must serve every machine: no registry's address in it, and every optional package named, those for other
// systems too. npm drops what its registry does not have, and npm 11 then refuses `npm ci`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tree.mjs";

const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
const faults = [];
for (const [path, { resolved, optionalDependencies = {} }] of Object.entries(packages)) {
  if (resolved) faults.push(`${path}: has an address, ${resolved}`);
  for (const name of Object.keys(optionalDependencies)) {
    const named = packages[`node_modules/${name}`] ?? packages[`${path}/node_modules/${name}`];
    if (!named) faults.push(`${path}: its optional ${name} is missing: take the entry from the last commit`);
  }
}
if (faults.length > 0) console.error(faults.join("\n"));
process.exitCode = faults.length === 0 ? 0 : 1;
