// Sampling against definitions: distributions, filters, penalty, and the random numbers' own sequence.
import { describe, expect, it } from "vitest";
import { randomNumbers } from "../../lib/random.js";
import { largest, Sampler } from "../../lib/sampling.js";

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
