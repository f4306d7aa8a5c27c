// Writes docs/patterns.md and its pictures from scripts/gallery/entries.mjs:
//   node scripts/gallery.mjs            pictures and text; rates as they stand in docs/patterns/rates.json
//   node scripts/gallery.mjs --rates    measures the rates anew (4096 tokens, float32, 8/2 heads × 128)
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { causalPairs } from "../bench/measure.mjs";
import { flashAttention, idle, machine, patterns, Tensor } from "../dist/index.js";
import { entries } from "./gallery/entries.mjs";
import { root } from "./tree.mjs";

const folder = join(root, "docs", "patterns");
const ratesFile = join(folder, "rates.json");
const seqLen = 4096;
const heads = { numHeads: 8, numKVHeads: 2, headDim: 128 };
const percent = (x) => `${(x * 100).toFixed(x < 0.1 ? 1 : 0)} %`;

function pairsAt(pattern) {
  let pairs = 0;
  for (let head = 0; head < heads.numHeads; head++)
    pairs += pattern.allowedPairs(seqLen, seqLen, { head, numHeads: heads.numHeads });
  return pairs;
}

/** Queries and keys that patterns by content choose from: slow waves and noise. */
function waves(n, numHeads, headDim, seed) {
  let state = seed;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2147483648 - 1;
  };
  const values = Float32Array.from({ length: n * numHeads * headDim }, (_, i) => {
    const [token, d] = [Math.floor(i / (numHeads * headDim)), i % headDim];
    return Math.sin((token * (1 + (d % 5))) / (n / 16) + d) + noise();
  });
  return new Tensor("float32", values, [1, n, numHeads, headDim]);
}

async function best(run, times = 4) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    run().dispose();
    await idle();
    least = Math.min(least, performance.now() - start);
  }
  return least / 1000;
}

/** Each pattern's FLOP/s on allowed pairs, as a share of causal attention's, measured before and after it. */
async function measureRates(list) {
  const [q, k, v] = [heads.numHeads, heads.numKVHeads, heads.numKVHeads].map((numHeads, i) =>
    waves(seqLen, numHeads, heads.headDim, i + 1),
  );
  const densePairs = heads.numHeads * causalPairs(seqLen, seqLen);
  const shares = {};
  for (const entry of list) {
    const pattern = entry.make(seqLen, q, k);
    await idle();
    const before = await best(() => flashAttention(q, k, v, { causal: true }), 2);
    const seconds = await best(() => flashAttention(q, k, v, { pattern }));
    const after = await best(() => flashAttention(q, k, v, { causal: true }), 2);
    shares[entry.name] = pairsAt(pattern) / seconds / (densePairs / Math.min(before, after));
    console.log(`${entry.name.padEnd(18)} ${percent(shares[entry.name])}`);
  }
  return { cpu: cpus()[0].model, threads: machine().threads, isa: machine().isa, shares };
}

function section(entry, rates) {
  const [q, k] = [waves(64, 1, 16, 1), waves(64, 1, 16, 2)];
  const pattern = entry.make(64, q, k);
  const place = entry.head === undefined ? {} : { head: entry.head };
  writeFileSync(join(folder, `${entry.name}.svg`), `${pattern.toSvg({ seqLen: 64, cell: 3, ...place })}\n`);
  const large = entry.chosen ? undefined : entry.make(seqLen);
  const share = rates.shares[entry.name];
  return [
    `### ${entry.name}`,
    "",
    `<img src="patterns/${entry.name}.svg" width="194" align="right" alt="${entry.name}, 64 tokens">`,
    "",
    `\`${entry.small}\`, drawn at 64 tokens.`,
    "",
    "| | |",
    "|---|---|",
    `| sees | ${entry.formula} |`,
    `| from | ${entry.source} |`,
    `| use | ${entry.use} |`,
    `| density | ${percent(pattern.density(64, 64, place))} at 64 tokens${large ? `, ${percent(large.density(seqLen, seqLen, place))} at 4,096` : ""}${entry.large ? ` with \`${entry.large}\`` : ""} |`,
    ...(share === undefined ? [] : [`| rate | ${percent(share)} of causal attention's FLOP/s, on allowed pairs |`]),
    "",
  ].join("\n");
}

mkdirSync(folder, { recursive: true });
const list = entries({ patterns });
if (process.argv.includes("--rates"))
  writeFileSync(ratesFile, `${JSON.stringify(await measureRates(list), null, 2)}\n`);
const rates = existsSync(ratesFile) ? JSON.parse(readFileSync(ratesFile, "utf8")) : { shares: {} };
const head = readFileSync(join(root, "scripts", "gallery", "head.md"), "utf8");
const measured = rates.cpu
  ? `Rates: 4,096 tokens, float32, 8 query heads on 2 key heads × 128, ${rates.threads} threads of ${rates.cpu}, kernels ${rates.isa}; \`node scripts/gallery.mjs --rates\` measures them anew.\n`
  : "";
const tail = readFileSync(join(root, "scripts", "gallery", "tail.md"), "utf8");
writeFileSync(
  join(root, "docs", "patterns.md"),
  `${head}\n${measured}\n${list.map((entry) => section(entry, rates)).join("\n")}\n${tail}`,
);
console.log(`docs/patterns.md: ${list.length} patterns`);
