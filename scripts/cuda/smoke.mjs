// The device beside the CPU of the same machine, through what users call, with plain Node: a line for each group of
// cases (the rule of errors: smoke/group.mjs), and exit code 1 where one failed.
//   node scripts/cuda/smoke.mjs [--device cuda] [--quick] [--only attention,models]
// Needs dist/, build/Release, assets/, test/cases/*.mjs and test/reference/patterns.mjs; no node_modules.
import "./addon.mjs";
import { parseArgs } from "node:util";
import { DeviceError, machine, Tensor } from "../../dist/index.js";
import { attention, cache, everyPattern, sequences } from "./smoke/attention.mjs";
import { Group } from "./smoke/group.mjs";
import { lsh } from "./smoke/hashed.mjs";
import { models } from "./smoke/models.mjs";
import { choice, conversions, embedding, matmul, memory, norms, pointwise, rope, transfers } from "./smoke/ops.mjs";

const groups = {
  transfers,
  conversions,
  pointwise,
  norms,
  rope,
  embedding,
  choice,
  matmul,
  attention,
  patterns: everyPattern,
  cache,
  sequences,
  lsh,
  models,
  memory,
};

function readOptions() {
  const { values } = parseArgs({
    options: {
      device: { type: "string", default: "cuda" },
      quick: { type: "boolean", default: false },
      only: { type: "string", default: Object.keys(groups).join() },
    },
  });
  const names = values.only.split(",");
  const unknown = names.filter((name) => !Object.hasOwn(groups, name));
  if (unknown.length === 0) return { ...values, names };
  console.error(`unknown group ${unknown.join(", ")}; known: ${Object.keys(groups).join(", ")}`);
  process.exit(2);
}

async function runGroup(name, { device, quick }) {
  const group = new Group(device, quick);
  const begun = performance.now();
  await groups[name](group).catch((error) => group.fault("the group ended early", `${error.stack}`));
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const { cases, repeated, faults, notes, worst } = group;
  const verdict = faults.length ? "FAILED" : "ok";
  const worstText = worst.share > 0 ? `worst ${(100 * worst.share).toFixed(0)} % of allowed (${worst.name})` : "exact";
  const counts = `${String(cases).padStart(4)} cases${repeated ? `, ${repeated} of them twice` : ""}`;
  console.log(`${verdict.padEnd(6)} ${name.padEnd(12)} ${seconds.padStart(6)} s ${counts}, ${worstText}`);
  for (const note of notes.slice(0, 8)) console.log(`         ${note}`);
  for (const fault of faults.slice(0, 12)) console.log(`       ✗ ${fault}`);
  if (faults.length > 12) console.log(`       … and ${faults.length - 12} more`);
  return faults.length === 0;
}

const options = readOptions();
try {
  options.device = new Tensor("float32", [0], [1], { device: options.device }).device;
} catch (error) {
  if (!(error instanceof DeviceError)) throw error;
  console.error(error.message);
  process.exit(1);
}
console.log(`${options.device} beside ${machine().isa} on ${machine().threads} threads`);
let failed = 0;
for (const name of options.names) if (!(await runGroup(name, options))) failed++;
console.log(`== ${failed} of ${options.names.length} groups failed, ${process.uptime().toFixed(0)} s`);
process.exitCode = failed ? 1 : 0;
