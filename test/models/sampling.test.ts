// Sampling against definitions: distributions, filters, penalty, and the random numbers' own sequence.
import { describe, expect, it } from "vitest";
import { randomNumbers } from "../../lib/random.js";
import { largest, Sampler, type SamplingOptions } from "../../lib/sampling.js";

const logits = Float32Array.from([0, 1, 2, 3, -1, 0.5]);
const probabilities = (() => {
  const weights = [...logits].map(Math.exp);
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
})();

function frequencies(options: object, draws = 40_000): number[] {
  const sampler = new Sampler("generate", { seed: 3, ...options });
  const counts = Array<number>(logits.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sampler.choose(logits, []).tokenId]! += 1 / draws;
  return counts;
}
function renormalised(kept: number[], power = 1): number[] {
  const weights = probabilities.map((p, i) => (kept.includes(i) ? p ** power : 0));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}
function expectNear(actual: number[], expected: number[]): void {
  actual.forEach((share, i) => {
    expect(Math.abs(share - expected[i]!)).toBeLessThan(0.01);
    if (expected[i] === 0) expect(share).toBe(0);
  });
}

describe("Sampler", () => {
  const all = [0, 1, 2, 3, 4, 5];
  it("draws by the softmax", () => expectNear(frequencies({}), probabilities));
  it("temperature sharpens and flattens", () => {
    expectNear(frequencies({ temperature: 0.5 }), renormalised(all, 2));
    expectNear(frequencies({ temperature: 2 }), renormalised(all, 0.5));
  });
  it("temperature 0 takes the first of the largest", () => {
    const sampler = new Sampler("generate", { temperature: 0 });
    expect(sampler.choose(Float32Array.from([1, 5, 5, 2]), []).tokenId).toBe(1);
  });
  it("topK keeps the k largest", () => expectNear(frequencies({ topK: 2 }), renormalised([3, 2])));
  it("topP keeps the fewest that reach p", () => {
    expectNear(frequencies({ topP: probabilities[3]! - 1e-6 }), renormalised([3]));
    expectNear(frequencies({ topP: probabilities[3]! + 1e-3 }), renormalised([3, 2]));
    expectNear(frequencies({ topP: 0.999999 }), probabilities);
  });
  it("topP counts among what topK left", () => expectNear(frequencies({ topK: 3, topP: 0.7 }), renormalised([3, 2])));
  it("minP is relative to the most likely", () =>
    expectNear(frequencies({ minP: Math.exp(-2) + 1e-6 }), renormalised([3, 2])));
  it("repetitionPenalty divides positive and multiplies negative logits", () => {
    const sampler = new Sampler("generate", { temperature: 0, repetitionPenalty: 2 });
    expect(sampler.choose(logits, [3, 3]).tokenId).toBe(2);
    expect(sampler.choose(Float32Array.from([-1, -1.5]), [0]).tokenId).toBe(1);
  });
  it("logprob is before temperature and filters", () => {
    const sampler = new Sampler("generate", { temperature: 0.1, topK: 1, repetitionPenalty: 1.1 });
    expect(sampler.choose(logits, [3]).logprob).toBeCloseTo(Math.log(probabilities[3]!), 6);
  });
  it("the same seed gives the same draws", () => {
    const draw = (seed: number) => {
      const sampler = new Sampler("generate", { seed });
      return Array.from({ length: 50 }, () => sampler.choose(logits, []).tokenId);
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(1)).not.toEqual(draw(2 ** 32 + 1));
  });
});

// Longer than the head of the order, which has 256.
const vocabSize = 700;
const rows = (() => {
  const random = randomNumbers(8);
  const row = (f: (id: number) => number) => Float32Array.from({ length: vocabSize }, (_, id) => f(id));
  return {
    peaked: row(() => 12 * random() - 6),
    broad: row(() => 2 * random()),
    ties: row(() => Math.floor(3 * random())),
    flat: row(() => 0),
    masked: row((id) => (id % 2 ? -Infinity : random())),
    few: Float32Array.from({ length: 40 }, () => 4 * random()),
  };
})();
const settings: SamplingOptions[] = [
  {},
  { temperature: 0.6 },
  { temperature: 1.7 },
  { topP: 0.5 },
  { topP: 0.97 },
  { minP: 0.05 },
  { minP: 0.3, temperature: 1.4 },
  { topP: 0.9, minP: 0.2 },
  { topP: 0.95, minP: 0.01, temperature: 2 },
  { topK: 20, topP: 0.8 },
  { topK: 256 },
  { topK: 300 },
  { topK: 300, topP: 0.95 },
];
const cases = Object.keys(rows).flatMap((name) =>
  settings.map((options) => [name as keyof typeof rows, options] as const),
);

/** By definition: the tokens in the order in which they are drawn, with their probabilities. */
function distribution(row: Float32Array, { temperature = 1, topK = row.length, topP = 1, minP = 0 }: SamplingOptions) {
  const sorted = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b);
  const weight = (id: number) => Math.exp((row[id]! - row[sorted[0]!]!) / temperature!);
  const mass = (ids: number[]) => ids.reduce((sum, id) => sum + weight(id), 0);
  let kept = sorted.slice(0, topK!);
  const goal = topP! * mass(kept);
  if (topP! < 1) while (kept.length > 1 && mass(kept.slice(0, -1)) >= goal) kept.pop();
  else if (topK! >= row.length) kept = [...kept.slice(0, 256), ...kept.slice(256).sort((a, b) => a - b)];
  kept = kept.filter((id) => weight(id) >= minP!);
  const total = mass(kept);
  return kept.map((id) => ({ id, p: weight(id) / total }));
}

describe("by definition", () => {
  it.each(cases)("%s %j: a random number for a token, along the order", (name, options) => {
    const [sampler, random] = [new Sampler("generate", { seed: 21, ...options }), randomNumbers(21)];
    const tokens = distribution(rows[name], options);
    const ends = tokens.map((_, place) => tokens.slice(0, place + 1).reduce((sum, { p }) => sum + p, 0));
    for (let draw = 0; draw < 200; draw++) {
      const point = random();
      const place = ends.findIndex((end) => point < end);
      const near = ends.some((end) => Math.abs(point - end) < 1e-12);
      const { tokenId } = sampler.choose(rows[name], []);
      if (!near) expect(tokenId).toBe(tokens[place]!.id);
    }
  });

  const some = cases.filter(([name]) => name === "peaked" || name === "broad");
  it.each(some)("%s %j: chi-square of 1500 draws", (name, options) => {
    const [sampler, draws] = [new Sampler("generate", { seed: 2, ...options }), 1500];
    const seen = new Map<number, number>();
    for (let i = 0; i < draws; i++) {
      const { tokenId } = sampler.choose(rows[name], []);
      seen.set(tokenId, (seen.get(tokenId) ?? 0) + 1);
    }
    let [chi, bins, expected, found, total] = [0, 0, 0, 0, 0];
    const tokens = distribution(rows[name], options);
    tokens.forEach(({ id, p }, place) => {
      expected += draws * p;
      found += seen.get(id) ?? 0;
      if (expected < 10 && place < tokens.length - 1) return; // a bin of several tokens
      if (expected > 0) chi += (found - expected) ** 2 / expected;
      total += found;
      [bins, expected, found] = [bins + 1, 0, 0];
    });
    expect(total).toBe(draws);
    expect(chi).toBeLessThan(bins - 1 + 4 * Math.sqrt(2 * bins));
  });
});

describe("chooseAmong", () => {
  /** What a device finds. */
  function found(row: Float32Array, count: number, temperature: number | undefined) {
    const ids = largest(row, count);
    const best = row[ids[0]!]!;
    const nll = (t: number) => Math.fround(Math.log(row.reduce((sum, x) => sum + Math.exp((x - best) / t), 0)));
    const logits = count === 1 ? [0] : ids.map((id) => row[id]!);
    return { ids, logits, nll: nll(1), ...(temperature !== undefined && { drawNll: nll(temperature) }) };
  }

  it.each(cases)("%s %j: the draws of choose, all logits only where the draw goes beyond", async (name, options) => {
    const row = rows[name];
    const [among, here] = [
      new Sampler("generate", { seed: 4, ...options }),
      new Sampler("generate", { seed: 4, ...options }),
    ];
    const wanted = among.wanted(row.length);
    if ((options.topK ?? 0) > 256 && row.length > 256) return void expect(wanted).toBeUndefined();
    const head = new Set(largest(row, wanted!.count));
    const first = found(row, wanted!.count, wanted!.temperature);
    const tokens = distribution(row, options);
    const fits = tokens.length < 256 || wanted!.temperature === undefined;
    const isPlain = options.topP === undefined && options.minP === undefined;
    for (let draw = 0; draw < 100; draw++) {
      let asked = 0;
      const actual = await among.chooseAmong(first, async () => {
        asked++;
        return row;
      });
      const expected = here.choose(row, []);
      expect(actual.tokenId).toBe(expected.tokenId);
      expect(actual.logprob).toBeCloseTo(expected.logprob, 5);
      if (fits) expect(asked).toBe(0);
      else if (isPlain) expect(asked).toBe(head.has(expected.tokenId) ? 0 : 1);
    }
  });

  it.each([{}, { topP: 0.9 }, { minP: 0.1 }])(
    "%j at a temperature beyond float32 takes all logits",
    async (options) => {
      const sampler = new Sampler("generate", { ...options, temperature: 1e-40 });
      const { ids, logits, nll } = found(rows.peaked, 256, 1);
      const choice = await sampler.chooseAmong({ ids, logits, nll, drawNll: Number.NaN }, async () => rows.peaked);
      expect(choice.tokenId).toBe(ids[0]);
    },
  );
});

describe("largest", () => {
  it("equals sorting, ties by index", () => {
    const random = randomNumbers(9);
    for (const n of [1, 2, 7, 100])
      for (const k of [1, 2, 5, 100]) {
        const values = Float32Array.from({ length: n }, () => Math.floor(random() * 20));
        const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
        expect(largest(values, Math.min(k, n))).toEqual(sorted.slice(0, k));
      }
  });
});

describe("randomNumbers", () => {
  it("is uniform in [0, 1) and fixed for ever", () => {
    const random = randomNumbers(42);
    const numbers = Array.from({ length: 100_000 }, random);
    expect(numbers.slice(0, 3)).toMatchInlineSnapshot(`
      [
        0.6606157226783409,
        0.11170196412479017,
        0.07910565008091508,
      ]
    `);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(numbers.reduce((a, b) => a + b) / numbers.length).toBeCloseTo(0.5, 2);
  });
});
