// T5's relative bias: Raffel et al. 2019, "Exploring the Limits of Transfer Learning", section 2.1. Distances fall into
// buckets, exact when near and logarithmic when far; each bucket has a learned bias per head. T5 does not scale its logits:
// use it with scale 1.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { type DistanceOptions, type DistanceTable, distanceTable } from "./distance-table.js";

export interface T5BucketOptions {
  /** relative_attention_num_buckets; 32 if absent. */
  numBuckets?: number | undefined;
  /** relative_attention_max_distance: all beyond share the last bucket; 128 if absent. */
  maxDistance?: number | undefined;
  /** Encoders, where keys after the query have half of the buckets; false if absent. */
  bidirectional?: boolean | undefined;
}

function buckets(op: string, { numBuckets, maxDistance, bidirectional = false }: T5BucketOptions) {
  const all = checkedNumber(op, "numBuckets", numBuckets, { integer: true, min: 4 }) ?? 32;
  const count = bidirectional ? Math.floor(all / 2) : all;
  const exact = Math.floor(count / 2);
  const longest = checkedNumber(op, "maxDistance", maxDistance, { integer: true, min: exact, above: true }) ?? 128;
  if (longest <= exact) wrongArgument(op, "maxDistance", `a number above ${exact}`, longest);
  const perLog = (count - exact) / Math.log(longest / exact);
  const bucket = (distance: number) => {
    const first = bidirectional && distance < 0 ? count : 0;
    const n = bidirectional ? Math.abs(distance) : Math.max(distance, 0);
    if (n < exact) return first + n;
    return first + Math.min(count - 1, exact + Math.floor(Math.log(n / exact) * perLog + 1e-12));
  };
  return { all, bucket };
}

/** The bucket of a distance, query position − key position (T5's own sign is the other). */
export function t5Bucket(distance: number, options: T5BucketOptions = {}): number {
  const op = "positions.t5Bucket";
  checkedNumber(op, "distance", distance, { integer: true });
  return buckets(op, checkedOptions(op, options, ["numBuckets", "maxDistance", "bidirectional"])).bucket(distance);
}

export interface T5BiasOptions extends DistanceOptions, T5BucketOptions {
  /** relative_attention_bias.weight [numBuckets, numHeads], row by row. */
  weight: ArrayLike<number>;
  bidirectional?: boolean | undefined;
}
/** The learned biases by distance. */
export function t5Bias(options: T5BiasOptions): DistanceTable {
  const op = "positions.t5Bias";
  return distanceTable(op, options, ["numBuckets", "maxDistance", "weight"], (given, numHeads) => {
    const { all, bucket } = buckets(op, given);
    const weight = given.weight ?? [];
    if (weight.length !== all * numHeads)
      wrongArgument(op, "weight", `${all} buckets of ${numHeads} heads: ${all * numHeads} numbers`, weight);
    return (head, distance) => weight[bucket(distance) * numHeads + head]!;
  });
}
