// Sparse patterns: FLOP/s on allowed pairs as a share of the dense kernel's of the same minute; then also of the ceiling.
import { flashAttention, idle, patterns, Tensor } from "../dist/index.js";
import { causalPairs, ceilings, median, random } from "./measure.mjs";

const shapes = [
  { dtype: "float32", numHeads: 32, numKVHeads: 8, headDim: 128 },
  { dtype: "bfloat16", numHeads: 32, numKVHeads: 8, headDim: 128 },
  { dtype: "float32", numHeads: 12, numKVHeads: 12, headDim: 64 },
];
const scattered = (q, kv) => kv <= q && (kv === q || (q * 7 + kv * 13) % 4 === 0);

const paper = { segments: [2048, 4096, 8192, 16384, 32768], rates: [1, 2, 4, 6, 12], causal: true };
const longNet = { segments: [1024, 2048, 4096], rates: [1, 2, 4] };

/** What a name means at a length: options of the call. */
const kinds = {
  "window 1023": () => ({ window: { before: 1023, after: 0 } }),
  "sinks 4 + 1023": () => ({ pattern: patterns.sinks({ tokens: 4, window: 1023 }) }),
  "blocks 64 × 64": () => ({ pattern: patterns.blocks({ blockSize: 64, allowed: scattered }) }),
  BigBird: () => ({ pattern: patterns.bigBird() }),
  "LongNet 1024/1 2048/2 4096/4": () => ({ pattern: patterns.dilated({ ...longNet, causal: true }) }),
  "LongNet, the paper's setting": () => ({ pattern: patterns.dilated(paper) }),
  "Longformer 256": () => ({ pattern: patterns.longformer({ window: 256, globals: [0] }) }),
  "gathered keys, causal": ({ order }) => ({ causal: true, blockTable: order }),
};

export function cases({ quick }) {
  const list = [];
  for (const shape of shapes)
    for (const kind of Object.keys(kinds)) {
      if (kind.endsWith("setting") || (quick && shape !== shapes[0])) continue;
      list.push({ op: "pattern", kind, seqLen: 4096, ...shape, ...longNet, target: 0.85 });
    }
  for (const dtype of quick ? [] : ["float32", "bfloat16"])
    list.push({
      op: "pattern",
      kind: "LongNet, the paper's setting",
      seqLen: 32768,
      ...{ dtype, numHeads: 8, numKVHeads: 2, headDim: 128, target: 0.85 },
    });
  return list;
}

function pairsOf(options, numHeads, seqLen) {
  if (!options.pattern) return numHeads * causalPairs(seqLen, seqLen);
  let pairs = 0;
  for (let head = 0; head < numHeads; head++) pairs += options.pattern.allowedPairs(seqLen, seqLen, { head, numHeads });
  return pairs;
}

export async function measure({ kind, dtype, numHeads, numKVHeads, headDim, seqLen }, { budget }) {
  const q = random(dtype, [1, seqLen, numHeads, headDim], 1);
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLen, numKVHeads, headDim], seed));
  const gathered = kind.startsWith("gathered");
  const order = new Tensor(
    "int32",
    Int32Array.from({ length: seqLen }, (_, i) => (i * 1597) % seqLen),
    [1, seqLen],
  );
  const options = kinds[kind]({ order });
  const pages = gathered ? [k, v].map((x) => x.reshape([seqLen, 1, numKVHeads, headDim])) : [k, v];
  const run = (tensors, given) => async () => {
    flashAttention(q, ...tensors, given).dispose();
    await idle();
  };
  const windowPairs = 1024 * seqLen - (1024 * 1023) / 2;
  const pairs = kind === "window 1023" ? numHeads * windowPairs : pairsOf(options, numHeads, seqLen);
  // Alternating, so that both see the same machine.
  const times = [[], []];
  const rounds = Math.max(3, Math.round(budget * 3));
  for (let round = 0; round < rounds; round++) {
    times[0].push(await median(run([k, v], { causal: true }), { budget: 0, least: 1 }));
    times[1].push(await median(run(pages, options), { budget: 0, least: 1 }));
  }
  const [dense, sparse] = times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
  const flops = (count) => 4 * headDim * count;
  const rate = flops(pairs) / sparse;
  const denseRate = flops(numHeads * causalPairs(seqLen, seqLen)) / dense;
  const { [dtype]: peak } = await ceilings();
  return { seconds: sparse, rate, unit: "FLOP/s", share: rate / denseRate, ceiling: denseRate, ofPeak: rate / peak };
}
