// Tokens chosen on the device are those that are chosen from all logits, and only what the choice needs comes down.
import { describe, expect, it, vi } from "vitest";
import { type GenerateOptions, loadModel, type Model, Tensor } from "../../lib/index.js";
import { randomNumbers } from "../../lib/random.js";
import { Sampler, type SamplingOptions } from "../../lib/sampling.js";
import { likeliest } from "../../lib/sampling-on-device.js";
import { fixture } from "../models/fixtures.js";

const folder = fixture("models", "llama");
const prompt = { tokens: Array.from({ length: 12 }, (_, i) => (i * 37) % 200) };
const filters: SamplingOptions[] = [{}, { topP: 0.8 }, { minP: 0.2 }, { topP: 0.95, minP: 0.05 }];
const beginThere: SamplingOptions[] = [
  ...filters,
  { temperature: 0.7 },
  { temperature: 1.6, topP: 0.99 },
  { temperature: 2, minP: 0.01 },
];
const chosenThere: SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 0, topK: 40, topP: 0.5 },
  { temperature: 0, topK: 290 },
  ...[1, 5, 40].flatMap((topK) =>
    [0.7, 1.3].flatMap((temperature) => filters.map((filter) => ({ topK, temperature, ...filter }))),
  ),
];

function expectNear(actual: number[], expected: number[]): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((x, i) => void expect(Math.abs(x - expected[i]!)).toBeLessThan(1e-5 * (1 + Math.abs(expected[i]!))));
}

async function generated(model: Model, options: GenerateOptions): Promise<{ ids: number[]; logprobs: number[] }> {
  const [ids, logprobs]: [number[], number[]] = [[], []];
  for await (const { tokenId, logprob } of model.generate(prompt, { maxTokens: 8, seed: 11, ...options })) {
    ids.push(tokenId);
    logprobs.push(logprob);
  }
  return { ids, logprobs };
}

/** What `body` gives, and the elements of each download from a device meanwhile. */
async function downloads<T>(body: () => Promise<T>): Promise<{ result: T; sizes: number[] }> {
  const { data } = Tensor.prototype;
  const sizes: number[] = [];
  const spy = vi.spyOn(Tensor.prototype, "data").mockImplementation(function (this: Tensor, options) {
    if (this.device !== "cpu") sizes.push(this.size);
    return data.call(this, options);
  });
  try {
    return { result: await body(), sizes };
  } finally {
    spy.mockRestore();
  }
}

describe("of the same logits", () => {
  const vocabSize = 3001;
  const random = randomNumbers(4);
  const rows = {
    spread: Float32Array.from({ length: vocabSize }, () => 12 * random() - 6),
    ties: Float32Array.from({ length: vocabSize }, () => Math.floor(4 * random())),
    flat: new Float32Array(vocabSize),
    masked: Float32Array.from({ length: vocabSize }, (_, i) => (i % 100 === 7 ? i / 500 : -Infinity)),
  };
  it.each(Object.entries(rows))("%s: the same draws", async (_, row) => {
    using logits = new Tensor("float32", row, [1, vocabSize], { device: "cuda" });
    let asked = 0;
    const all = async () => {
      asked++;
      return row;
    };
    for (const options of [...chosenThere, { topK: 256 }, { topK: 256, topP: 0.9, temperature: 3 }, ...beginThere]) {
      const given = { seed: 5, ...options };
      const [there, here] = [new Sampler("generate", given), new Sampler("generate", given)];
      const found = await likeliest(logits, there.wanted(vocabSize)!);
      asked = 0;
      for (let draw = 0; draw < 20; draw++) {
        const [actual, expected] = [await there.chooseAmong(found, all), here.choose(row, [])];
        expect(actual.tokenId).toBe(expected.tokenId);
        expectNear([actual.logprob], [expected.logprob]);
      }
      if (options.topK || options.temperature === 0) expect(asked).toBe(0);
      // 256 of 3001 equal tokens: of 20 draws hardly one stays there
      if (row === rows.flat && !options.topK && options.temperature !== 0) expect(asked).toBeGreaterThan(10);
    }
  });

  it("a peak needs no row, whatever the options", async () => {
    const row = Float32Array.from(rows.spread, (logit) => 40 * logit);
    using logits = new Tensor("float32", row, [1, vocabSize], { device: "cuda" });
    for (const options of beginThere) {
      const sampler = new Sampler("generate", { ...options, temperature: 1, seed: 6 });
      const found = await likeliest(logits, sampler.wanted(vocabSize)!);
      for (let draw = 0; draw < 20; draw++) await sampler.chooseAmong(found, () => Promise.reject(new Error("a row")));
    }
  });

  it("a temperature beyond float32 is that of the CPU", async () => {
    using logits = new Tensor("float32", rows.spread, [1, vocabSize], { device: "cuda" });
    for (const options of filters) {
      const sampler = new Sampler("generate", { ...options, temperature: 1e-42 });
      const found = await likeliest(logits, sampler.wanted(vocabSize)!);
      const { tokenId } = await sampler.chooseAmong(found, async () => rows.spread);
      expect(tokenId).toBe(found.ids[0]);
    }
  });

  it.each([Number.NaN, Infinity])("a logit %d is refused", async (bad) => {
    const row = Float32Array.from(rows.spread).fill(bad, 100, 101);
    using logits = new Tensor("float32", row, [1, vocabSize], { device: "cuda" });
    for (const options of [{ temperature: 0 }, { topK: 5 }, {}, { topP: 0.9, temperature: 0.5 }]) {
      const sampler = new Sampler("generate", options);
      const found = await likeliest(logits, sampler.wanted(vocabSize)!);
      await expect(sampler.chooseAmong(found, async () => row)).rejects.toThrow("finite logits from the model");
      expect(() => sampler.choose(row, [])).toThrow("finite logits from the model");
    }
  });
});

/** Generates on the device and on the CPU, the same; with the sizes of what came down from the device. */
async function generatedAlike(options: SamplingOptions) {
  await using there = await loadModel(folder, { device: "cuda" });
  await using here = await loadModel(folder, { device: "cpu" });
  const { result, sizes } = await downloads(() => generated(there, options));
  const expected = await generated(here, options);
  expect(result.ids).toEqual(expected.ids);
  expectNear(result.logprobs, expected.logprobs);
  return { ids: result.ids, sizes, vocabSize: there.config.vocabSize };
}

describe("generation", () => {
  it("is that of the CPU where the device chooses, and no row of logits comes down", async () => {
    await using there = await loadModel(folder, { device: "cuda" });
    await using here = await loadModel(folder, { device: "cpu" });
    for (const options of chosenThere) {
      const { result, sizes } = await downloads(() => generated(there, options));
      const expected = await generated(here, options);
      expect(result.ids).toEqual(expected.ids);
      expectNear(result.logprobs, expected.logprobs);
      expect(Math.max(...sizes)).toBe(options.temperature === 0 ? 1 : options.topK);
    }
  });

  it.each(beginThere)("%j begins with the likeliest there, and is that of the CPU", async (options) => {
    const { ids, sizes, vocabSize } = await generatedAlike(options);
    // two lists of 256 for a token; a row only where it needs one: of 300 tokens seldom, unless a temperature is high
    expect(sizes.filter((size) => size === 256)).toHaveLength(2 * ids.length);
    const wholeRows = sizes.filter((size) => size === vocabSize).length;
    if ((options.temperature ?? 1) <= 1) expect(wholeRows).toBeLessThan(ids.length / 2);
  });

  it.each<SamplingOptions>([
    { temperature: 0, repetitionPenalty: 1.3 },
    { topK: 5, repetitionPenalty: 1.3 },
    { topK: 290 },
  ])("%j takes all logits, and is that of the CPU", async (options) => {
    const { ids, sizes, vocabSize } = await generatedAlike(options);
    expect(sizes.filter((size) => size === vocabSize)).toHaveLength(ids.length);
  });

  it("goes on behind an abort as if nothing had been", async () => {
    await using model = await loadModel(folder, { device: "cuda" });
    await using context = await model.createContext();
    const controller = new AbortController();
    const reason = new Error("stop");
    const ids: number[] = [];
    const run = async () => {
      const options = { temperature: 0, signal: controller.signal };
      for await (const { tokenId } of context.generate(prompt, options))
        if (ids.push(tokenId) === 3) controller.abort(reason);
    };
    await expect(run()).rejects.toBe(reason);
    for await (const { tokenId } of context.generate(undefined, { temperature: 0, maxTokens: 5 })) ids.push(tokenId);
    expect(ids).toEqual((await generated(model, { temperature: 0 })).ids);
  });
});
