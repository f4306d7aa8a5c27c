// Every architecture against transformers: logits, cached decoding by any chunk, greedy continuations, nll.
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadModel } from "../../lib/index.js";
import { fixture, floats, nllOf, reference, relativeError } from "./fixtures.js";

const tolerance = 1e-5;

describe.each(readdirSync(fixture("models")))("%s", (name) => {
  const folder = fixture("models", name);
  const ref = reference(folder);
  const tokens = ref.ids("input_ids");

  it("gives the reference's logits", async () => {
    await using model = await loadModel(folder);
    expect(relativeError(await floats(model.forward(tokens)), ref.array("output"))).toBeLessThan(tolerance);
    const last = await model.forward(tokens, { logits: "last" });
    expect(last.shape).toEqual([1, model.config.vocabSize]);
    expect(
      relativeError(await floats(Promise.resolve(last)), ref.array("output").slice(-model.config.vocabSize)),
    ).toBeLessThan(tolerance);
  });

  it.each([1, 7, 64])("gives them through the cache in chunks of %i", async (chunk) => {
    await using model = await loadModel(folder);
    using cache = model.createCache();
    const logits: number[] = [];
    for (let i = 0; i < tokens.length; i += chunk)
      logits.push(...(await floats(model.forward(tokens.slice(i, i + chunk), { cache }))));
    expect(cache.length).toBe(tokens.length);
    expect(relativeError(logits, ref.array("output"))).toBeLessThan(tolerance);
  });

  it("continues greedily as the reference does", async () => {
    await using model = await loadModel(folder);
    const greedy = ref.ids("greedy");
    const generated: number[] = [];
    const options = { maxTokens: 32, temperature: 0 };
    for await (const { tokenId } of model.generate({ tokens: greedy.slice(0, 24) }, options)) generated.push(tokenId);
    expect(generated.length === 32 || model.config.eosTokenIds.includes(generated.at(-1)!)).toBe(true);
    expect(generated).toEqual(greedy.slice(24, 24 + generated.length));
  });

  it.runIf(ref.has("long_ids"))("holds beyond the trained length", async () => {
    await using model = await loadModel(folder);
    const logits = await floats(model.forward(ref.ids("long_ids")));
    expect(relativeError(logits.slice(-8 * model.config.vocabSize), ref.array("long_last_logits"))).toBeLessThan(
      tolerance,
    );
  });

  it("gives nll as its logits do", async () => {
    await using model = await loadModel(folder);
    const { vocabSize } = model.config;
    const output = ref.array("output");
    const expected = tokens.slice(1).map((id, i) => nllOf(output.subarray(i * vocabSize, (i + 1) * vocabSize), id));
    expect(relativeError(await model.nll(tokens), Float32Array.from(expected))).toBeLessThan(tolerance);
  });
});

describe("bfloat16", () => {
  it("stays near float32, and the cache too", async () => {
    const folder = fixture("models", "llama");
    const ref = reference(folder);
    await using model = await loadModel(folder, { dtype: "bfloat16" });
    expect(relativeError(await floats(model.forward(ref.ids("input_ids"))), ref.array("output"))).toBeLessThan(0.05);
    await using exact = await loadModel(folder);
    using cache = exact.createCache({ kvDtype: "bfloat16" });
    const logits = await floats(exact.forward(ref.ids("input_ids"), { cache }));
    expect(relativeError(logits, ref.array("output"))).toBeLessThan(0.02);
  });
});

describe("threads", () => {
  it("do not change a bit", async () => {
    const folder = fixture("models", "qwen3");
    const tokens = reference(folder).ids("input_ids");
    const runs: Float32Array[] = [];
    for (const threads of [1, 2, 3, 7]) {
      await using model = await loadModel(folder, { threads });
      runs.push(await floats(model.forward(tokens)));
    }
    for (const run of runs) expect(Buffer.from(run.buffer).equals(Buffer.from(runs[0]!.buffer))).toBe(true);
  });
});
