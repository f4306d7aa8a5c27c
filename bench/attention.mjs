// Flash attention forward: share of the measured FMA (float32) or bfloat16 product ceiling, counted on allowed pairs.
import { flashAttention, idle, memory } from "../dist/index.js";
import { attentionCases, benchShapes, flops as flopsOf } from "../test/cases/attention.mjs";
import { ceilings, median, random } from "./measure.mjs";

const timed = attentionCases.filter((c) => c.bench);

/** Every case: name, tensors' sizes, and what the peer needs to run the same. */
export function cases({ quick }) {
  const list = [];
  for (const { seqLens, targets, ...shape } of benchShapes)
    for (const seqLen of seqLens)
      for (const { causal = false, bench } of timed) {
        if (seqLen < bench.from || (quick && (seqLen > 4096 || !bench.quick))) continue;
        list.push({ op: "attention", ...shape, seqLen, causal, target: targets[seqLen === 1024 ? 0 : 1] });
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
  const lengths = { seqLenQ: seqLen, seqLenKV: seqLen };
  const flops = flopsOf({ batch: 1, ...lengths, numHeads, numKVHeads, headDim, valueDim: headDim, causal });
  return { seconds, rate: flops / seconds, unit: "FLOP/s", share: flops / seconds / ceiling, ceiling, extraBytes };
}
