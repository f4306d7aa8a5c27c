// Reformer's attention, dense: from the buckets of every round, how often each pair is seen (chunks of the sorted list,
// walked one by one), then softmax over all keys with that multiplicity. The own position scores −50,000.
import type { Values } from "../support/tensors.js";
import { exact, type Precision } from "./attention.js";

export interface LshReferenceOptions {
  chunk: number;
  lookBack?: number;
  lookAhead?: number;
  causal?: boolean;
  wrap?: "round" | "rounds";
  attendAcrossBuckets?: boolean;
  duplicates?: "exact" | "per-round";
}

/** [seqLen × seqLen]: how often query i sees key j over all rounds. `buckets` [rounds][seqLen] of one head. */
export function seenPairs(buckets: number[][], options: LshReferenceOptions): Float64Array {
  const n = buckets[0]!.length;
  const chunks = buckets.map((bucket) => {
    const order = bucket.map((_, t) => t).sort((a, b) => bucket[a]! - bucket[b]! || a - b);
    return Array.from({ length: Math.ceil(n / options.chunk) }, (_, c) =>
      order.slice(c * options.chunk, (c + 1) * options.chunk).map((token) => ({ token, bucket: bucket[token]! })),
    );
  });
  const rings = options.wrap === "rounds" ? [chunks.flat()] : chunks;
  const roundOf = (place: number) => (options.wrap === "rounds" ? Math.floor(place / chunks[0]!.length) : 0);
  const count = new Float64Array(n * n);
  for (const ring of rings)
    for (let place = 0; place < ring.length; place++) {
      const seen = new Set<number>();
      for (let off = -(options.lookBack ?? 1); off <= (options.lookAhead ?? 0); off++)
        seen.add((((place + off) % ring.length) + ring.length) % ring.length);
      for (const query of ring[place]!)
        for (const other of seen)
          for (const key of ring[other]!) {
            if (options.causal && key.token > query.token) continue;
            if (options.attendAcrossBuckets === false)
              if (key.bucket !== query.bucket || roundOf(other) !== roundOf(place)) continue;
            count[query.token * n + key.token]!++;
          }
    }
  return count;
}

export function lshAttention(
  qk: Values,
  v: Values,
  buckets: Float64Array,
  rounds: number,
  options: LshReferenceOptions,
  scale: number,
  { dtype, float32 }: Precision = exact,
): { out: Float64Array; lse: Float64Array } {
  const [batch, n, heads, headDim] = qk.shape as [number, number, number, number];
  const valueDim = v.shape[3] as number;
  const out = new Float64Array(batch * n * heads * valueDim);
  const lse = new Float64Array(batch * heads * n);
  const row = (b: number, i: number, h: number) => (b * n + i) * heads + h;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const ofRound = (r: number) => ((r * batch + b) * heads + h) * n;
      const lists = Array.from({ length: rounds }, (_, r) => [...buckets.subarray(ofRound(r), ofRound(r) + n)]);
      const count = seenPairs(lists, options);
      const q = (i: number) => qk.data.subarray(row(b, i, h) * headDim, (row(b, i, h) + 1) * headDim);
      const keys = Array.from({ length: n }, (_, j) => {
        const length = Math.max(Math.hypot(...q(j)), 1e-12);
        return q(j).map((x) => dtype(x / length));
      });
      for (let i = 0; i < n; i++) {
        const query = q(i);
        const scores = keys.map((key, j) => {
          const c = count[i * n + j]!;
          if (c === 0) return Number.NEGATIVE_INFINITY;
          let s = 0;
          for (let d = 0; d < headDim; d++) s = float32(s + float32(query[d]! * key[d]!));
          s = i === j ? -5e4 : dtype(s * scale);
          return options.duplicates === "per-round" ? float32(s + Math.log(c)) : s;
        });
        const top = Math.max(...scores);
        if (top === Number.NEGATIVE_INFINITY) {
          lse[(b * heads + h) * n + i] = top;
          continue;
        }
        const sum = scores.reduce((total, s) => float32(total + float32(Math.exp(s - top))), 0);
        lse[(b * heads + h) * n + i] = float32(top + Math.log(sum));
        const at = row(b, i, h) * valueDim;
        for (let d = 0; d < valueDim; d++) {
          let total = 0;
          for (let j = 0; j < n; j++) {
            const p = dtype(float32(Math.exp(scores[j]! - top)) / sum);
            if (p > 0) total = float32(total + float32(p * v.data[row(b, j, h) * valueDim + d]!));
          }
          out[at + d] = dtype(total);
        }
      }
    }
  return { out, lse };
}
