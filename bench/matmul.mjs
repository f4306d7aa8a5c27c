// Products with packed weights: gemm as a share of the measured product ceiling, gemv as a share of a plain read.
import { idle, linear, packWeight } from "../dist/index.js";
import { native } from "../dist/binding.js";
import { benchDTypes, products } from "../test/cases/matmul.mjs";
import { ceilings, evictCaches, median, plainReadSeconds, random } from "./measure.mjs";

const timed = products.flatMap(({ bench }) => bench ?? []);

const bytesOf = { float32: 4, float16: 2, bfloat16: 2, q8_0: 34 / 32, q4_0: 18 / 32 };

export function cases({ quick }) {
  const list = [];
  for (const { op, sizes } of timed)
    for (const { targets, ...dtypes } of benchDTypes)
      for (const [rows, inFeatures, outFeatures] of quick ? sizes.slice(0, 1) : sizes)
        list.push({ op, ...dtypes, rows, inFeatures, outFeatures, target: targets[op] });
  return list;
}

export async function measure({ op, activations, weights, rows, inFeatures, outFeatures }, { budget }) {
  const x = random(activations, [rows, inFeatures], 1);
  const isQuantised = weights.startsWith("q");
  const weight = random(isQuantised ? "float32" : weights, [outFeatures, inFeatures], 2);
  const packed = packWeight(weight, { dtype: weights });
  await idle();
  weight.dispose();
  const bytes = inFeatures * outFeatures * bytesOf[weights];
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
