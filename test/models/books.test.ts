// The bundled default model against transformers: logits, greedy text, perplexity by length and scaling.
import { describe, expect, it } from "vitest";
import { loadModel, type LoadOptions } from "../../lib/index.js";
import { asset, fixture, floats, readJson, reference, relativeError } from "./fixtures.js";

const folder = asset("books");

describe("books", () => {
  it.each([0, 1])("gives the reference's logits of prompt %i", async (prompt) => {
    const ref = reference(fixture("books"));
    await using model = await loadModel(folder);
    const logits = await floats(model.forward(ref.ids(`ids${prompt}`)));
    expect(relativeError(logits, ref.array(`logits${prompt}`))).toBeLessThan(1e-5);
  });

  it("encodes and continues as the reference does", async () => {
    interface Item {
      prompt: string;
      ids: number[];
      greedy_ids: number[];
      greedy_text: string;
    }
    await using model = await loadModel(folder);
    for (const item of readJson<Item[]>(fixture("books", "greedy.json"))) {
      expect(await model.tokenizer.encode(item.prompt)).toEqual(item.ids);
      const generation = model.generate(item.prompt, { maxTokens: 64, temperature: 0 });
      const ids: number[] = [];
      for await (const { tokenId, logprob } of generation) {
        ids.push(tokenId);
        expect(logprob).toBeLessThanOrEqual(0);
      }
      expect(ids).toEqual(item.greedy_ids);
      expect(await generation.text()).toBe(item.greedy_text);
      expect(await generation.usage).toEqual({ promptTokens: item.ids.length, cachedTokens: 0, completionTokens: 64 });
    }
  });

  interface Row {
    method: string;
    length: number;
    factor?: number;
    nll: number;
  }
  // test/evaluation has every method at 1024.
  const tested = ["none 256", "none 4096", "linear 2048"];
  const rows = readJson<Row[]>(fixture("books", "ppl.json")).filter((row) =>
    tested.includes(`${row.method} ${row.length}`),
  );

  it.each(rows)("has the reference's perplexity: $method at $length", async ({ method, length, factor, nll }) => {
    const options: LoadOptions = method === "linear" ? { ropeScaling: { rope_type: "linear", factor } } : {};
    await using model = await loadModel(folder, options);
    const ids = readJson<number[]>(fixture("books", "ppl_ids.json"));
    let sum = 0;
    let count = 0;
    for (let start = 0; start + length <= ids.length; start += length) {
      const part = await model.nll(ids.slice(start, start + length));
      sum += part.reduce((a, b) => a + b, 0);
      count += part.length;
    }
    expect(Math.abs(sum / count - nll)).toBeLessThan(2e-5);
  });

  it("reads text in pieces as it reads it whole", async () => {
    await using model = await loadModel(folder);
    const ids = readJson<number[]>(fixture("books", "ppl_ids.json"));
    const text = await model.tokenizer.decode(ids.concat(ids, ids));
    expect(text.length).toBeGreaterThan(2 ** 17);
    const whole = await model.tokenizer.encode(text);
    const pieces: number[] = [];
    for await (const part of model.tokenizer.encodeStream([text.slice(0, 100_001), text.slice(100_001)]))
      pieces.push(...part);
    expect(pieces).toEqual(whole);
  });
});
