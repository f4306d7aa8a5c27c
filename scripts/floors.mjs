// Who may import whom (house.md: look down, never up or sideways). C++ by folder, TypeScript by floor; a file or folder
// that no row names fails, so that each newcomer is given its place here.
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { cxx, listFiles, root } from "./tree.mjs";

// What a kernel may take of the system: plain C and intrinsics, nothing that instantiates weak symbols. `host` names the
// files of a room that are compiled once, for the host alone.
const plain = /^(cmath|cstddef|cstdint|cstring|climits|cfloat|time\.h|immintrin\.h|arm_neon\.h)$/;
const system = /^(?!node_api|js_native_api|napi|uv\.h|v8|cuda)/;
const folders = [
  { room: "csrc/attention", may: ["csrc/core/host_device.h"], system: plain, host: /\.cc$/ },
  { room: "csrc/quant", may: ["csrc/core"], system: plain },
  { room: "csrc/core", may: ["csrc/attention"], system },
  { room: "csrc/formats", may: ["csrc/core"], system },
  { room: "csrc/cpu", may: ["csrc/core", "csrc/attention", "csrc/quant"], system: plain, host: /\/backends\.(h|cc)$/ },
  { room: "csrc/ops", may: ["csrc/core", "csrc/attention", "csrc/quant", "csrc/formats"], system },
  { room: "csrc/node", may: ["csrc/ops", "csrc/core", "csrc/attention", "csrc/formats"], system: /./ },
  { room: "cuda", may: ["csrc/core", "csrc/attention", "csrc/quant"], system: /^(cuda|cub\/|emulated_|[a-z]+$)/ },
];

// From the top down. A floor imports floors below it; rooms of one floor do not see each other unless `beside` says so.
const floors = [
  { name: "cli", files: /^lib\/cli\// },
  { name: "index", files: /^lib\/index\.ts$/ },
  { name: "serve", files: /^lib\/serve\// },
  { name: "evaluation", files: /^lib\/evaluation\// },
  { name: "plot", files: /^lib\/plot\// },
  { name: "context", files: /^lib\/context\// },
  { name: "generate", files: /^lib\/(generate|load|context|model|sampling)[a-z-]*\.ts$|^lib\/generate\// },
  { name: "models", files: /^lib\/models\// },
  { name: "memory", files: /^lib\/memory\// },
  { name: "nn", files: /^lib\/nn\// },
  { name: "attention", files: /^lib\/attention(\.ts$|\/)/ },
  { name: "rooms", files: /^lib\/(positions|cache|patterns|formats|hub)\//, rooms: true },
  { name: "native", files: /^lib\/[a-z-]+(\.d)?\.ts$/ },
];

function matches(file, pattern) {
  return [...readFileSync(join(root, file), "utf8").matchAll(pattern)].map((match) => match.slice(1).find(Boolean));
}

function cxxFaults(file) {
  const row = folders.find(({ room }) => file.startsWith(`${room}/`));
  if (!row) return [`${file}: its folder has no row in scripts/floors.mjs`];
  const faults = [];
  for (const path of matches(file, /^\s*#\s*include\s+"([^"]+)"/gm)) {
    const target = normalize(join(dirname(file), path));
    const allowed = [row.room, ...row.may].some((room) => target === room || target.startsWith(`${room}/`));
    if (!allowed) faults.push(`${file}: ${row.room} must not include ${target}`);
  }
  for (const header of matches(file, /^\s*#\s*include\s+<([^>]+)>/gm)) {
    if (!(row.host?.test(file) ? system : row.system).test(header))
      faults.push(`${file}: ${row.room} must not include <${header}>`);
  }
  return faults;
}

function floorOf(file) {
  return floors.findIndex(({ files }) => files.test(file));
}

function tsFaults(file) {
  const own = floorOf(file);
  if (own < 0) return [`${file}: its folder has no floor in scripts/floors.mjs`];
  const faults = [];
  const imports = /\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g;
  for (const path of matches(file, imports)) {
    const target = normalize(join(dirname(file), path)).replace(/\.js$/, ".ts");
    if (!target.startsWith("lib/")) continue;
    const other = floorOf(target);
    const sideways = other === own && floors[own].rooms && dirname(target) !== dirname(file);
    if (other < own || sideways) faults.push(`${file}: ${floors[own].name} must not import ${target}`);
  }
  return faults;
}

const native = listFiles(["csrc", "cuda"], cxx);
const script = listFiles(["lib"], /\.m?ts$|\.mjs$/);
const faults = [...native.flatMap(cxxFaults), ...script.flatMap(tsFaults)];
if (faults.length > 0) console.error(faults.join("\n"));
else console.log(`${native.length} C++ and ${script.length} TypeScript files look down only`);
process.exitCode = faults.length === 0 ? 0 : 1;
