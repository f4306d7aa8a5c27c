// The part of sampling that looks at all logits, as ops where the logits are: a few bytes come down instead of a row.
import { native } from "./binding.js";
import type { Likeliest } from "./sampling.js";
import { scope, type Tensor } from "./tensor.js";

/** The `count` likeliest tokens by logits [1, vocabSize]; of a single one the logit is left out. */
export async function likeliest(logits: Tensor, count: number, signal?: AbortSignal | undefined): Promise<Likeliest> {
  const found = scope(() => {
    const best =
      count === 1 ? { values: undefined, indices: native.argmax(logits) } : native.topK(logits, { k: count });
    return { ...best, nll: native.nll(logits, best.indices.reshape([count]).narrow(0, 0, 1)) };
  });
  const { values, indices, nll } = found;
  const read = (tensor: Tensor) => tensor.data({ ...(signal && { signal }) }) as Promise<Float32Array | Int32Array>;
  try {
    const [ids, top, first] = await Promise.all([read(indices), values ? read(values) : [0], read(nll)]);
    return { ids, logits: top, nll: first[0]! };
  } finally {
    for (const tensor of [indices, values, nll]) tensor?.dispose();
  }
}
