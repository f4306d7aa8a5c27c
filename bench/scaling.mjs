// node bench/scaling.mjs [--quick]: does cost grow linearly? Time per token and extra bytes per token of one head × 64 from
// 65,536 to 1,048,576 tokens, and the exponent of a fit over all lengths; bench/results/scaling.{json,svg}.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import {
  flashAttention,
  idle,
  linearAttention,
  lshAttention,
  machine,
  memory,
  patterns,
  retention,
} from "../dist/index.js";
import { linePlot } from "../dist/plot/index.js";
import { paper } from "../test/cases/patterns.mjs";
import { random } from "./measure.mjs";

const quick = process.argv.includes("--quick");
const lengths = quick ? [16384, 65536, 262144] : [65536, 131072, 262144, 524288, 1048576];
const first = lengths[0];
const last = lengths.at(-1);
const dim = 64;

const methods = {
  "LongNet, longest segment 32,768": (q, k, v) => flashAttention(q, k, v, { pattern: patterns.dilated(paper) }),
  "4 sinks and a window of 1,024": (q, k, v) =>
    flashAttention(q, k, v, { pattern: patterns.sinks({ tokens: 4, window: 1023 }) }),
  "LSH, one round, chunks of 64": (q, _, v) => lshAttention(q, v, { rounds: 1, causal: true }),
  "linear attention, causal": (q, k, v) => linearAttention(q, k, v, { causal: true }),
  "retention, causal": (q, k, v) => retention(q, k, v),
};

/** Least of `times` runs: what the machine does when nobody else has it. */
async function measure(run, tensors, times) {
  let least = Number.POSITIVE_INFINITY;
  let extra = 0;
  for (let i = 0; i < times; i++) {
    const before = memory().usedBytes;
    const start = performance.now();
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, memory().usedBytes);
    }, 1);
    const out = run(...tensors);
    await idle();
    clearInterval(watch);
    least = Math.min(least, performance.now() - start);
    extra = Math.max(extra, Math.max(peak, memory().usedBytes) - before - out.size * 4);
    out.dispose();
  }
  return { seconds: least / 1000, extra: Math.max(extra, 0) };
}

/** The exponent b of seconds ≈ a · tokens^b, least squares of logarithms. */
function exponentOf(points) {
  const logs = points.map(({ tokens, seconds }) => [Math.log(tokens), Math.log(seconds)]);
  const mean = (i) => logs.reduce((sum, p) => sum + p[i], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  return logs.reduce((sum, p) => sum + (p[0] - x) * (p[1] - y), 0) / logs.reduce((sum, p) => sum + (p[0] - x) ** 2, 0);
}

const results = Object.fromEntries(Object.keys(methods).map((name) => [name, []]));
for (const tokens of lengths) {
  const tensors = [1, 2, 3].map((seed) => random("float32", [1, tokens, 1, dim], seed));
  await idle();
  for (const [name, run] of Object.entries(methods)) {
    const { seconds, extra } = await measure(run, tensors, tokens <= 262144 ? 4 : 2);
    results[name].push({ tokens, seconds, extraBytesPerToken: extra / tokens });
  }
  for (const tensor of tensors) tensor.dispose();
}

console.log(`${cpus()[0].model}, ${machine().threads} threads, kernels ${machine().isa}; one head × ${dim}, float32`);
console.log(`ns a token, ${lengths.map((n) => n.toLocaleString("en")).join(" · ")} tokens\n`);
const rows = [];
for (const [name, points] of Object.entries(results)) {
  const each = points.map(({ tokens, seconds }) => (seconds / tokens) * 1e9);
  const growth = each.at(-1) / each[0];
  const exponent = exponentOf(points);
  const extra = points.at(-1).extraBytesPerToken;
  rows.push({ name, points, growth, exponent });
  console.log(
    `${name.padEnd(34)} ${each.map((x) => x.toFixed(0).padStart(5)).join(" ")}   × ${growth.toFixed(2)} from ${first} to ${last} (target ≤ 1.25), exponent ${exponent.toFixed(3)} (≤ 1.05), ${extra.toFixed(1)} extra bytes a token at ${last}`,
  );
}
const folder = new URL("./results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(
  new URL("scaling.json", folder),
  `${JSON.stringify({ cpu: cpus()[0].model, ...machine(), rows }, null, 1)}\n`,
);
writeFileSync(
  new URL("scaling.svg", folder),
  linePlot({
    title: "Attention in linear time, one head × 64",
    x: { label: "tokens", scale: "log", ticks: lengths, format: (n) => `${Math.round(n / 1024)}k` },
    y: { label: "seconds", scale: "log" },
    series: rows.map(({ name, points }) => ({ name, points: points.map((p) => [p.tokens, p.seconds]) })),
    caption: `Least time of several runs on ${machine().threads} threads of ${cpus()[0].model}, kernels ${machine().isa}, float32. A line of slope 1 is linear time.`,
  }),
);
