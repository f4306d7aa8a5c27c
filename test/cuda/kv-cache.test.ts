// Caches of 8 bits a value, through a model: near to float32, smaller, the same recorded and op by op, not on the CPU.
import { describe, expect, it, vi } from "vitest";
import { loadModel, type Model, UnsupportedError } from "../../lib/index.js";
import { native } from "../../lib/binding.js";
import { RecordedPass } from "../../lib/model-recorded-pass.js";
import { fixture, relativeError } from "../models/fixtures.js";

const folder = fixture("models", "llama");
const tokens = Array.from({ length: 60 }, (_, i) => (i * 37) % 200);

type Options = NonNullable<Parameters<Model["createCache"]>[0]>;

/** Logits of all tokens: 40 in one pass, then one by one; and what the cache took. */
async function logitsOf(model: Model, options: Options): Promise<{ logits: Float32Array; bytes: number }> {
  using cache = model.createCache(options);
  const parts: number[] = [];
  for (const part of [tokens.slice(0, 40), ...tokens.slice(40).map((token) => [token])]) {
    const logits = await model.forward(part, { cache });
    parts.push(...((await logits.data()) as Float32Array));
    logits.dispose();
  }
  return { logits: Float32Array.from(parts), bytes: cache.bytes };
}

async function opByOp<T>(body: () => Promise<T>): Promise<T> {
  const { run } = RecordedPass.prototype;
  RecordedPass.prototype.run = async () => undefined;
  return body().finally(() => {
    RecordedPass.prototype.run = run;
  });
}

describe.each([
  ["int8", "float32", 0.05],
  ["float8", "float32", 0.1],
  ["int8", "bfloat16", 0.05],
  ["float8", "bfloat16", 0.1],
] as const)("a cache in %s under a model in %s", (kvDtype, dtype, most) => {
  it("gives logits near to those of float32, recorded as op by op", async () => {
    await using model = await loadModel(folder, { dtype, device: "cuda" });
    const exact = await logitsOf(model, { kvDtype: "float32" });
    const recordings = vi.spyOn(RecordedPass.prototype, "run");
    const recorded = await logitsOf(model, { kvDtype });
    const ran = await Promise.all(recordings.mock.results.map(({ value }) => value));
    recordings.mockRestore();
    expect(ran.filter(Boolean).length).toBeGreaterThan(15);
    const plain = await opByOp(() => logitsOf(model, { kvDtype }));
    const error = relativeError(Array.from(recorded.logits), exact.logits);
    expect(error).toBeLessThan(most);
    expect(error).toBeGreaterThan(1e-5);
    expect(recorded.logits).toEqual(plain.logits);
    const { numLayers, numKVHeads, headDim } = model.config;
    const padded = Math.ceil(headDim / 16) * 16;
    expect(exact.bytes).toBe(numLayers * numKVHeads * 1024 * (headDim + padded) * 4);
    expect(recorded.bytes).toBe(numLayers * numKVHeads * 1024 * (padded + padded + 8));
    expect(recorded.bytes / exact.bytes).toBeLessThan(0.4);
  });

  it("decodes in a context, with two sets of keys, and after a truncation", async () => {
    await using model = await loadModel(folder, { dtype, device: "cuda" });
    const ropeScaling = { rope_type: "rerope", window: 16 };
    const generated: number[][] = [];
    for (let i = 0; i < 2; i++) {
      await using context = await model.createContext({ kvDtype, ropeScaling });
      const options = { maxTokens: 12, temperature: 0 };
      const ids: number[] = [];
      for await (const { tokenId } of context.generate({ tokens }, options)) ids.push(tokenId);
      generated.push(ids);
    }
    expect(generated[0]).toHaveLength(12);
    expect(generated[1]).toEqual(generated[0]);
    await using exact = await loadModel(folder, { dtype, device: "cuda", ropeScaling });
    const float32 = await logitsOf(exact, { kvDtype: "float32" });
    const coded = await logitsOf(exact, { kvDtype });
    expect(relativeError(Array.from(coded.logits), float32.logits)).toBeLessThan(most);

    using cache = model.createCache({ kvDtype });
    const whole = await model.forward(tokens, { cache, logits: "last" });
    cache.truncate(30);
    const again = await model.forward(tokens.slice(30), { cache, logits: "last" });
    const [expected, found] = [(await whole.data()) as Float32Array, (await again.data()) as Float32Array];
    expect(relativeError(Array.from(found), expected)).toBeLessThan(dtype === "float32" ? 1e-4 : 0.05);
  });
});

describe.each(["int8", "float8"] as const)("%s on the CPU", (kvDtype) => {
  it("is refused at the call, with what there is", async () => {
    await using model = await loadModel(folder, { device: "cpu" });
    const refused = `createKVCache: a key/value cache in ${kvDtype} needs a CUDA device`;
    expect(() => model.createCache({ kvDtype })).toThrow(UnsupportedError);
    expect(() => model.createCache({ kvDtype })).toThrow(refused);
    await expect(model.createContext({ kvDtype })).rejects.toThrow(UnsupportedError);
    const shape = { numLayers: 1, numKVHeads: 1, headDim: 4, dtype: kvDtype };
    try {
      native.createKVCache({ ...shape, device: "cpu" });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedError);
      expect((error as UnsupportedError).known).toContain("bfloat16");
    }
  });
});
