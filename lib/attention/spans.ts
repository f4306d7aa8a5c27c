// Attention that fades with distance: a learned span for each head.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { Tensor } from "../tensor.js";

export interface AdaptiveSpanOptions {
  /** z of each head, in tokens: distances up to it count in full. */
  spans: readonly number[];
  /** R: over how many positions the weight then falls to 0; 32 if absent. */
  ramp?: number;
}

/**
 * Options of flashAttention for adaptive spans (Sukhbaatar et al. 2019): the weight of a key at distance x is multiplied by
 * m(x) = clamp((R + z − x) / R, 0, 1), which is log m(x) added to its score, and nothing beyond the longest span is read.
 * `flashAttention(q, k, v, adaptiveSpan({ spans: [40, 900] }))`. z = length is causal attention. Throws ArgumentError.
 */
export function adaptiveSpan(options: AdaptiveSpanOptions): {
  causal: true;
  window: { before: number; after: number };
  distanceBias: Tensor;
} {
  const op = "adaptiveSpan";
  const given = checkedOptions(op, options, ["spans", "ramp"]);
  const ramp = checkedNumber(op, "ramp", given.ramp ?? 32, { min: 0, above: true }) as number;
  const { spans = [] } = given;
  if (!Array.isArray(spans) || spans.length === 0) wrongArgument(op, "spans", "a span for each head", spans);
  for (const span of spans) checkedNumber(op, "spans", span, { min: 0 });
  const reach = Math.ceil(Math.max(...spans) + ramp);
  const weight = (span: number, distance: number) => Math.min(Math.max((ramp + span - distance) / ramp, 0), 1);
  const table = Float32Array.from({ length: spans.length * (reach + 1) }, (_, i) =>
    Math.log(weight(spans[Math.floor(i / (reach + 1))] as number, i % (reach + 1))),
  );
  return {
    causal: true,
    window: { before: reach, after: 0 },
    distanceBias: new Tensor("float32", table, [spans.length, reach + 1], { device: "cpu" }),
  };
}
