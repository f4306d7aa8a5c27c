// Patterns put together at random, on random shapes: the kernel equals dense attention under what `multiplicity` says.
import { expect, it } from "vitest";
import { flashAttention, type Pattern, patterns } from "../../lib/index.js";
import { attention } from "../reference/attention.js";
import { judge } from "../support/compare.js";
import { floatDTypes, round } from "../support/numbers.js";
import { type Random, random } from "../support/random.js";
import { layouts, randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

const pick =
  (next: Random) =>
  (low: number, high: number): number =>
    low + Math.floor(next() * (high - low + 1));

function simple(next: Random): Pattern {
  const int = pick(next);
  const kinds: (() => Pattern)[] = [
    () => patterns.full(),
    () => patterns.causal(),
    () => patterns.window({ before: int(0, 60), after: int(0, 9) }),
    () => patterns.sinks({ tokens: int(0, 9), window: int(0, 40) }),
    () => patterns.chunks({ size: int(1, 50), before: int(0, 2), after: int(0, 1), causal: next() < 0.5 }),
    () => patterns.prefixLM({ prefix: int(0, 50) }),
    () => patterns.documents({ lengths: [int(0, 40), int(0, 40), int(1, 40)], causal: next() < 0.5 }),
    () => patterns.dilatedWindow({ rate: int(1, 9), before: int(0, 20), after: int(0, 3) }),
    () => patterns.sparseStrided({ stride: int(1, 20) }),
    () => patterns.sparseFixed({ stride: int(4, 20), summary: int(1, 3) }),
    () => patterns.longformer({ window: int(0, 20), dilation: int(1, 4), globals: [int(0, 90), int(0, 90)] }),
    () => patterns.etc({ globals: int(0, 9), radius: int(0, 20) }),
    () => {
      const [size, salt] = [int(1, 30), int(0, 99)];
      const kind = (q: number, kv: number) =>
        (["none", "partial", "full"] as const)[(q * 7 + kv * 5 + salt) % 3] ?? "none";
      return patterns.blocks({ blockSize: { q: size, kv: int(1, 30) }, allowed: kind });
    },
    () => {
      const salt = int(0, 99);
      return patterns.mask({ allowed: (q, kv) => (q * 31 + kv * 17 + salt) % 7 < 2 });
    },
    () => {
      const base = int(2, 16);
      return patterns.dilated({ segments: [base, 4 * base], rates: [1, int(1, 4)], causal: next() < 0.5 });
    },
  ];
  return (kinds[int(0, kinds.length - 1)] as () => Pattern)();
}

function composed(next: Random, numHeads: number): Pattern {
  const parts = () => [simple(next), simple(next)];
  const roll = next();
  if (roll < 0.4) return simple(next);
  if (roll < 0.6) return patterns.union(parts());
  if (roll < 0.75) return patterns.intersect(parts());
  if (roll < 0.9) return patterns.sum(parts());
  return patterns.perHead(Array.from({ length: numHeads }, () => simple(next)));
}

describeOnIsa(`patterns at random on ${isa}`, () => {
  for (const seed of [...Array(40).keys(), 56, 169])
    it(`seed ${seed}`, async () => {
      const next = random(seed * 7919);
      const int = pick(next);
      const numKVHeads = int(1, 2);
      const numHeads = numKVHeads * int(1, 3);
      const [seqLenQ, seqLenKV] = [int(1, 110), int(1, 110)];
      const [headDim, valueDim] = [int(1, 20), int(1, 20)];
      const dtype = floatDTypes[int(0, floatDTypes.length - 1)] ?? "float32";
      const layout = layouts[int(0, layouts.length - 1)] ?? "dense";
      const pattern = composed(next, numHeads);
      const q = randomValues(next, [1, seqLenQ, numHeads, headDim], dtype);
      const k = randomValues(next, [1, seqLenKV, numKVHeads, headDim], dtype);
      const v = randomValues(next, [1, seqLenKV, numKVHeads, valueDim], dtype);
      const tensors = [q, k, v].map((x) => tensorOf(x, dtype, layout));
      const { out } = flashAttention(...(tensors as [never, never, never]), { pattern, returnLse: true });
      const place = { seqLenQ, seqLenKV, numHeads };
      const allows = (i: number, j: number, head: number) => pattern.multiplicity(i, j, { ...place, head });
      const reference = { allows, scale: Math.fround(headDim ** -0.5) };
      const exact = attention(q, k, v, reference);
      const naive = attention(q, k, v, reference, { dtype: round[dtype], float32: Math.fround });
      const { error, allowed } = judge(await read(out), exact.out, naive.out, dtype);
      expect(error, `${pattern.facts.title} ${JSON.stringify(place)} ${dtype}`).toBeLessThanOrEqual(allowed);
    });
});
