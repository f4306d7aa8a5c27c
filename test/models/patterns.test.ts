// Any pattern in every layer of a model: the same as window where it is a window, whole as in chunks, and decoded.
import { describe, expect, it } from "vitest";
import { ArgumentError, loadModel, patterns } from "../../lib/index.js";
import { asset, fixture, floats, readJson, relativeError } from "./fixtures.js";

const ids = readJson<number[]>(fixture("books", "ppl_ids.json")).slice(0, 700);

describe("attention: { pattern }", () => {
  it("a window by pattern is the model's own window", async () => {
    await using model = await loadModel(asset("books"), { attention: { window: 100 } });
    await using other = await loadModel(asset("books"), { attention: { pattern: patterns.window({ before: 100 }) } });
    const [a, b] = [
      await floats(model.forward(ids, { logits: "last" })),
      await floats(other.forward(ids, { logits: "last" })),
    ];
    expect(relativeError(b, a)).toBeLessThan(1e-6);
  });

  for (const [name, pattern] of Object.entries({
    LongNet: patterns.dilated({ segments: [64, 256], rates: [1, 4], causal: true }),
    "Sparse Transformer": patterns.sparseStrided({ stride: 24 }),
    blocks: patterns.blocks({
      blockSize: 32,
      allowed: (q, kv) => (q === kv ? "partial" : kv < q && q - kv < 3 ? "full" : "none"),
    }),
  }))
    it(`${name}: token by token as all at once`, async () => {
      await using model = await loadModel(asset("books"), { attention: { pattern } });
      const whole = await floats(model.forward(ids));
      const width = whole.length / ids.length;
      await using context = await model.createContext();
      await context.prefill({ tokens: ids.slice(0, 690) });
      for (const [i, id] of ids.slice(690).entries()) {
        const row = await floats(model.forward([id], { cache: context.cache, logits: "last" }));
        expect(relativeError(row, whole.subarray((690 + i) * width, (691 + i) * width))).toBeLessThan(1e-4);
      }
    });

  it("refuses a pattern for one length", async () => {
    const attention = { pattern: patterns.bigBird() };
    await expect(loadModel(asset("books"), { attention })).rejects.toThrow(ArgumentError);
    await expect(loadModel(asset("books"), { attention })).rejects.toThrow(/attention.pattern/);
  });
});
