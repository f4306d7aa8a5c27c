// Decoding by the recorded pass of a token gives what decoding op by op gives: the same tokens, the same logits.
import { describe, expect, it } from "vitest";
import { loadModel, type Model } from "../../lib/index.js";
import { native } from "../../lib/binding.js";
import { RecordedPass } from "../../lib/model-recorded-pass.js";
import { fixture, relativeError } from "../models/fixtures.js";

const prompt = Array.from({ length: 40 }, (_, i) => (i * 37) % 200);

async function continued(
  model: Model,
  maxTokens: number,
  options = {},
): Promise<{ ids: number[]; logprobs: number[] }> {
  const context = await model.createContext(options);
  const [ids, logprobs]: [number[], number[]] = [[], []];
  for await (const { tokenId, logprob } of context.generate({ tokens: prompt }, { maxTokens, temperature: 0 })) {
    ids.push(tokenId);
    logprobs.push(logprob);
  }
  await context.dispose();
  return { ids, logprobs };
}

/** How many passes ran as recordings while `body` ran. */
async function replays(body: () => Promise<void>): Promise<number> {
  const { run } = RecordedPass.prototype;
  let count = 0;
  RecordedPass.prototype.run = async function (token) {
    const result = await run.call(this, token);
    if (result) count++;
    return result;
  };
  try {
    await body();
  } finally {
    RecordedPass.prototype.run = run;
  }
  return count;
}

describe.each([
  ["float32", {}, undefined],
  ["bfloat16", {}, undefined],
  ["float32", { attention: { window: 16 } }, undefined],
  ["float32", {}, "q8_0"],
  ["bfloat16", {}, "q4_0"],
] as const)("decoding in %s with %j, weights in %s", (dtype, options, weightDtype) => {
  it("is the same recorded and op by op, on the device and on the CPU", async () => {
    await using there = await loadModel(fixture("models", "llama"), { dtype, weightDtype, device: "cuda" });
    await using here = await loadModel(fixture("models", "llama"), { dtype, weightDtype, device: "cpu" });
    const expected = await continued(here, 40, options);
    let recorded = { ids: [] as number[], logprobs: [] as number[] };
    const count = await replays(async () => {
      recorded = await continued(there, 40, options);
    });
    expect(count).toBeGreaterThan(35);
    const { run } = RecordedPass.prototype;
    RecordedPass.prototype.run = async () => undefined;
    const plain = await continued(there, 40, options).finally(() => {
      RecordedPass.prototype.run = run;
    });
    expect(recorded).toEqual(plain);
    if (dtype === "float32") expect(recorded.ids).toEqual(expected.ids);
    expect(relativeError(recorded.logprobs.slice(0, 1), Float32Array.from(expected.logprobs.slice(0, 1)))).toBeLessThan(
      dtype === "float32" ? 1e-5 : 0.1,
    );
  });
});

describe("what is not recorded", () => {
  it.each([{ attention: { window: 16, sinks: 2 } }, { ropeScaling: { type: "rerope", window: 16 } }])(
    "%j, and decodes all the same",
    async (options) => {
      await using there = await loadModel(fixture("models", "llama"), { device: "cuda" });
      await using here = await loadModel(fixture("models", "llama"), { device: "cpu" });
      let found: number[] = [];
      const count = await replays(async () => {
        found = (await continued(there, 12, options)).ids;
      });
      expect(count).toBe(0);
      expect(found).toEqual((await continued(here, 12, options)).ids);
    },
  );
});

it("is recorded anew when the cache grows by a slab", async () => {
  await using model = await loadModel(fixture("models", "llama"), { device: "cuda" });
  using cache = model.createCache();
  using whole = model.createCache();
  const long = Array.from({ length: 1030 }, (_, i) => (i * 31) % 200);
  await model.forward(long.slice(0, 1018), { cache, logits: "last" });
  const steps: number[][] = [];
  for (const token of long.slice(1018)) {
    const logits = await model.forward([token], { cache });
    steps.push(Array.from((await logits.data()) as Float32Array));
    logits.dispose();
  }
  const all = await model.forward(long, { cache: whole });
  const expected = Array.from((await all.data()) as Float32Array);
  const { vocabSize } = model.config;
  expect(relativeError(steps.flat(), Float32Array.from(expected.slice(-12 * vocabSize)))).toBeLessThan(1e-4);
  expect(cache.length).toBe(1030);
  expect(native.deviceMemory("cuda").usedBytes).toBeGreaterThan(0);
});
