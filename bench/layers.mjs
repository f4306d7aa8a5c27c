// node bench/layers.mjs [--quick]: attention of whole layers beside transformers' in the same run: hidden 768, 12 heads × 64,
// float32, the attention part (projections left out on both sides). Needs python3 with torch and transformers
// (PYTHON names another interpreter).
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { flashAttention, idle, lshAttention, machine, memory, patterns } from "../dist/index.js";
import { random } from "./measure.mjs";

const quick = process.argv.includes("--quick");
const sizes = quick
  ? { reformer: 8192, longformer: 4096, bigBird: 4096 }
  : { reformer: 65536, longformer: 32768, bigBird: 32768 };
const [numHeads, dim] = [12, 64];

const ours = {
  reformer: {
    name: "Reformer LSH, 1 round, chunk 64",
    target: 2.9,
    run: (q, _, v) => lshAttention(q, v, { rounds: 1, chunk: 64, causal: true }),
  },
  longformer: {
    name: "Longformer, 256 on each side",
    target: 4.4,
    run: (q, k, v) => flashAttention(q, k, v, { pattern: patterns.longformer({ window: 256 }) }),
  },
  bigBird: {
    name: "BigBird, blocks of 64, 3 random",
    run: (q, k, v) => flashAttention(q, k, v, { pattern: patterns.bigBird({ numHeads }) }),
  },
};

async function measure(kind) {
  const shape = [1, sizes[kind], numHeads, dim];
  const tensors = [1, 2, 3].map((seed) => random("float32", shape, seed));
  await idle();
  let least = Number.POSITIVE_INFINITY;
  let held = 0;
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    const out = ours[kind].run(...tensors);
    await idle();
    least = Math.min(least, performance.now() - start);
    held = Math.max(held, memory().usedBytes);
    out.dispose();
  }
  for (const tensor of tensors) tensor.dispose();
  return { seconds: least / 1000, held };
}

const python = process.env.PYTHON ?? "python3";
const script = fileURLToPath(new URL("./peers/layers.py", import.meta.url));
console.log(
  `${cpus()[0].model}, ${machine().threads} threads, kernels ${machine().isa}; hidden 768, 12 heads × 64, float32\n`,
);
for (const kind of Object.keys(ours)) {
  const { seconds, held } = await measure(kind);
  const peer = spawnSync(python, [script, kind, String(sizes[kind])], { encoding: "utf8", maxBuffer: 1 << 24 });
  let beside = `transformers could not run: ${peer.stderr.trim().split("\n").at(-1)}`;
  if (peer.status === 0) {
    const { seconds: theirs, peakBytes } = JSON.parse(peer.stdout.trim().split("\n").at(-1));
    const target = ours[kind].target ? ` (target ${ours[kind].target})` : "";
    beside = `transformers ${theirs.toFixed(2)} s in ${(peakBytes / 2 ** 30).toFixed(1)} GiB: ${(theirs / seconds).toFixed(1)} ×${target}`;
  }
  console.log(
    `${ours[kind].name.padEnd(34)} ${String(sizes[kind]).padStart(6)} tokens  ${seconds.toFixed(2)} s, ${(held / 2 ** 30).toFixed(2)} GiB with inputs; ${beside}`,
  );
}
