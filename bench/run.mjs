// npm run bench [-- attention patterns decode matmul positions event-loop] [--quick] [--json] [--no-peers] [--budget seconds]
// Prints each case as a share of this machine's own ceiling and as a ratio to the peers, and keeps the figures in
// bench/results/latest.json.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { machine, memory } from "../dist/index.js";
import { ceilings } from "./measure.mjs";
import { measurePeer, peers } from "./peers.mjs";

const files = ["attention", "patterns", "decode", "matmul", "positions", "event-loop"];
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
    budget: { type: "string", default: "1" },
  },
});
const unknown = positionals.filter((name) => !files.includes(name));
if (unknown.length) {
  console.error(`unknown bench ${unknown.join(", ")}; known: ${files.join(", ")}`);
  process.exit(2);
}

const say = options.json ? console.error : console.log;
const percent = (x) => `${(x * 100).toFixed(0)} %`;
const engineering = (rate, unit) =>
  unit === "tokens/s" ? `${rate.toFixed(0)} ${unit}` : `${(rate / 1e9).toPrecision(4)} G${unit}`;

function nameOf({ op, ...rest }) {
  const heads = rest.numHeads ? ` ${rest.numHeads}/${rest.numKVHeads} × ${rest.headDim}` : "";
  if (op === "attention") return `${rest.dtype}${heads} ${rest.causal ? "causal" : "full"} ${rest.seqLen}`;
  if (op.startsWith("remapped") || op === "turning")
    return `${rest.dtype}${heads} ${rest.kind} ${rest.seqLen ?? `over ${rest.seqLenKV} keys`}`;
  if (op === "pattern") return `${rest.dtype}${heads} ${rest.kind}`;
  if (op === "decode") {
    const queries = rest.queries === rest.dtype ? "" : `${rest.queries} on `;
    return `${queries}${rest.dtype}${heads} over ${rest.seqLenKV} keys from ${rest.source}`;
  }
  if (op === "event-loop") return `prefill of ${rest.tokens} tokens`;
  return `${rest.activations} × ${rest.weights} ${rest.rows} × ${rest.inFeatures} × ${rest.outFeatures}`;
}

function verdict(result, testCase) {
  if (result.lagP99Ms !== undefined)
    return `lag p99 ${result.lagP99Ms.toFixed(1)} ms, max ${result.lagMaxMs.toFixed(1)} ms (target p99 < 20 ms)`;
  if (testCase.limit)
    return `${percent(result.share).padStart(6)} of a layer (at most ${percent(testCase.limit)}${result.share <= testCase.limit ? "" : ", missed"})`;
  const target = testCase.target
    ? ` (target ${percent(testCase.target)}${result.share >= testCase.target ? "" : ", missed"})`
    : "";
  const ofPeak = result.ofPeak === undefined ? "" : `, ${percent(result.ofPeak)} of the ceiling`;
  if (testCase.op.startsWith("remapped")) return `${percent(result.share).padStart(6)} of plain${ofPeak}${target}`;
  const whole = result.ofPeak === undefined ? "the ceiling" : `dense, ${percent(result.ofPeak)} of the ceiling`;
  return `${percent(result.share).padStart(6)} of ${whole}${target}`;
}

async function benchFile(name) {
  const { cases, measure } = await import(`./${name}.mjs`);
  const list = cases({ quick: options.quick });
  const budget = Number(options.budget);
  say(`\n${name}`);
  const against = options["no-peers"] ? [] : peers.map((peer) => ({ peer, ...measurePeer(peer, list, budget) }));
  for (const { peer, error } of against) if (error) say(`  ${peer.name} could not run: ${error}`);
  const rows = [];
  for (const [i, testCase] of list.entries()) {
    const result = await measure(testCase, { budget });
    const ratios = against
      .filter(({ seconds }) => seconds?.[i])
      .map(({ peer, seconds }) => ({ peer: peer.name, seconds: seconds[i], ratio: seconds[i] / result.seconds }));
    const beside = ratios.map(({ peer, ratio }) => `, ${ratio.toFixed(2)} × ${peer}`).join("");
    say(
      `  ${testCase.op.padEnd(10)} ${nameOf(testCase).padEnd(52)} ${engineering(result.rate, result.unit).padStart(16)} ${verdict(result, testCase)}${beside}`,
    );
    rows.push({ ...testCase, ...result, peers: ratios });
  }
  return rows;
}

const facts = machine();
const measured = await ceilings();
say(
  `${cpus()[0].model}, ${facts.threads} threads, kernels ${facts.isa}, memory budget ${(memory().budgetBytes / 2 ** 30).toFixed(1)} GiB`,
);
say(
  `ceilings: float32 ${engineering(measured.float32, "FLOP/s")}, bfloat16 ${engineering(measured.bfloat16, "FLOP/s")}, read ${engineering(measured.read, "B/s")}`,
);
if (!options["no-peers"])
  say(`peers: ${peers.map(({ name }) => name).join(", ") || "none found (see bench/peers.mjs)"}`);

const results = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0].model,
  ...facts,
  ceilings: measured,
  rows: [],
};
for (const name of positionals.length ? positionals : files) results.rows.push(...(await benchFile(name)));
const folder = new URL("./results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("latest.json", folder), `${JSON.stringify(results, null, 1)}\n`);
if (options.json) console.log(JSON.stringify(results));
