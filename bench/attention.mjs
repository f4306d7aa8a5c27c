// Flash attention forward: share of the measured FMA (float32) or bfloat16 product ceiling, counted on allowed pairs.
import { flashAttention, idle, memory } from "../dist/index.js";
import { causalPairs, ceilings, median, random } from "./measure.mjs";

const shapes = [
  {
    dtype: "float32",
    numHeads: 32,
    numKVHeads: 8,
    headDim: 128,
    seqLens: [1024, 4096, 16384],
    target: { 1024: 0.8, else: 0.85 },
  },
  {
    dtype: "float32",
    numHeads: 32,
    numKVHeads: 8,
    headDim: 64,
    seqLens: [1024, 4096, 16384],
    target: { 1024: 0.8, else: 0.85 },
  },
  { dtype: "float32", numHeads: 8, numKVHeads: 8, headDim: 128, seqLens: [4096, 16384], target: { else: 0.8 } },
  { dtype: "float32", numHeads: 8, numKVHeads: 8, headDim: 64, seqLens: [4096, 16384], target: { else: 0.8 } },
  {
    dtype: "bfloat16",
    numHeads: 32,
    numKVHeads: 8,
    headDim: 128,
    seqLens: [1024, 4096, 16384],
    target: { 1024: 0.73, else: 0.8 },
  },
  {
    dtype: "bfloat16",
    numHeads: 32,
    numKVHeads: 8,
    headDim: 64,
    seqLens: [1024, 4096, 16384],
    target: { 1024: 0.73, else: 0.75 },
  },
  { dtype: "bfloat16", numHeads: 8, numKVHeads: 8, headDim: 128, seqLens: [4096], target: { else: 0.8 } },
];

/** Every case: name, tensors' sizes, and what the peer needs to run the same. */
export function cases({ quick }) {
  const list = [];
  for (const { seqLens, target, ...shape } of shapes)
    for (const seqLen of seqLens)
      for (const causal of [true, false]) {
        if (quick && (seqLen > 4096 || !causal)) continue;
        if (!causal && seqLen === 1024) continue;
        list.push({ op: "attention", ...shape, seqLen, causal, target: target[seqLen] ?? target.else });
      }
  return list;
}

export async function measure({ dtype, numHeads, numKVHeads, headDim, seqLen, causal }, { budget }) {
  const { [dtype]: ceiling } = await ceilings();
  const q = random(dtype, [1, seqLen, numHeads, headDim], 1);
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLen, numKVHeads, headDim], seed));
  await idle();
  const before = memory().usedBytes;
  const seconds = await median(
    async () => {
      const out = flashAttention(q, k, v, { causal });
      await idle();
      out.dispose();
    },
    { budget },
  );
  const extraBytes = Math.max(0, memory().usedBytes - before);
  for (const tensor of [q, k, v]) tensor.dispose();
  const flops = 4 * headDim * numHeads * (causal ? causalPairs(seqLen, seqLen) : seqLen * seqLen);
  return { seconds, rate: flops / seconds, unit: "FLOP/s", share: flops / seconds / ceiling, ceiling, extraBytes };
}
