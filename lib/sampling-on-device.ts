// The part of sampling that looks at all logits, as ops where the logits are: a few bytes come down instead of a row.
import { native } from "./binding.js";
import type { Likeliest, Wanted } from "./sampling.js";
import { scope, Tensor } from "./tensor.js";

/** The likeliest tokens by logits [1, vocabSize]; of a single one the logit is left out. */
export async function likeliest(
  logits: Tensor,
  { count, temperature }: Wanted,
  signal?: AbortSignal | undefined,
): Promise<Likeliest> {
  const found = scope(() => {
    const best =
      count === 1 ? { values: undefined, indices: native.argmax(logits) } : native.topK(logits, { k: count });
    const first = best.indices.reshape([count]).narrow(0, 0, 1);
    const isTempered = temperature !== undefined && temperature !== 1;
    const drawNll = isTempered ? native.nllOfChosen(overTemperature(logits, temperature), first) : undefined;
    return { ...best, nll: native.nllOfChosen(logits, first), drawNll };
  });
  const { values, indices, nll, drawNll } = found;
  const read = (tensor: Tensor) => tensor.data({ ...(signal && { signal }) }) as Promise<Float32Array | Int32Array>;
  try {
    const [ids, top, [own], tempered] = await Promise.all([
      read(indices),
      values ? read(values) : [0],
      read(nll),
      drawNll && read(drawNll),
    ]);
    return { ids, logits: top, nll: own!, ...(temperature !== undefined && { drawNll: tempered?.[0] ?? own! }) };
  } finally {
    for (const tensor of [indices, values, nll, drawNll]) tensor?.dispose();
  }
}

function overTemperature(logits: Tensor, temperature: number): Tensor {
  const { device } = logits;
  return native.multiply(logits, new Tensor("float32", [1 / temperature], [1], { device }));
}
