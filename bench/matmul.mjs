// Products with packed weights: gemm as a share of the measured product ceiling, gemv as a share of a plain read.
import { idle, linear, packWeight } from "../dist/index.js";
import { native } from "../dist/binding.js";
import { ceilings, evictCaches, median, plainReadSeconds, random } from "./measure.mjs";

const gemms = [
  [2048, 2048, 2048],
  [512, 896, 4864],
  [512, 4864, 896],
  [512, 2048, 8192],
];
const gemvs = [
  [1, 4096, 14336],
  [1, 14336, 4096],
];

export function cases({ quick }) {
  const list = [];
  for (const [activations, weights, target] of [
    ["bfloat16", "bfloat16", 0.93],
    ["float32", "float32", 0.92],
    ["float32", "float16", 0.85],
  ])
    for (const [rows, inFeatures, outFeatures] of quick ? gemms.slice(0, 1) : gemms)
      list.push({ op: "gemm", activations, weights, rows, inFeatures, outFeatures, target });
  for (const [activations, weights] of [
    ["bfloat16", "bfloat16"],
    ["float32", "float32"],
    ["float32", "float16"],
  ])
    for (const [rows, inFeatures, outFeatures] of quick ? gemvs.slice(0, 1) : gemvs)
      list.push({ op: "gemv", activations, weights, rows, inFeatures, outFeatures, target: 0.95 });
  return list;
}

export async function measure({ op, activations, weights, rows, inFeatures, outFeatures }, { budget }) {
  const x = random(activations, [rows, inFeatures], 1);
  const weight = random(weights, [outFeatures, inFeatures], 2);
  const packed = packWeight(weight);
  await idle();
  weight.dispose();
  const bytes = inFeatures * outFeatures * (weights === "float32" ? 4 : 2);
  const before = op === "gemv" ? await plainReadSeconds(bytes, budget / 2) : await ceilings();
  const seconds = await median(
    async () => {
      const out = linear(x, packed);
      await idle();
      out.dispose();
    },
    { budget, between: op === "gemv" ? evictCaches : undefined },
  );
  const after = op === "gemv" ? await plainReadSeconds(bytes, budget / 2) : await ceilings();
  native.dispose(packed);
  x.dispose();
  if (op === "gemv") {
    const ceiling = (2 * bytes) / (before + after);
    return { seconds, rate: bytes / seconds, unit: "B/s", share: bytes / seconds / ceiling, ceiling };
  }
  const flops = 2 * rows * inFeatures * outFeatures;
  const ceiling = Math.max(before[activations], after[activations]);
  return { seconds, rate: flops / seconds, unit: "FLOP/s", share: flops / seconds / ceiling, ceiling };
}
