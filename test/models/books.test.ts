// The bundled default model against transformers: logits, greedy text, perplexity by length and position scheme.
import { describe, expect, it } from "vitest";
import { type ContextOptions, loadModel, positions } from "../../lib/index.js";
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
    args?: { train?: number; sinks?: number; n?: number; w?: number; k?: number; g?: number };
    nll: number;
  }
  const settings: Record<string, (row: Row) => ContextOptions> = {
    none: () => ({}),
    linear: ({ factor }) => ({ ropeScaling: { rope_type: "linear", factor } }),
    dynamic: ({ factor }) => ({ ropeScaling: { type: "dynamic", factor } }),
    yarn: ({ factor }) => ({ ropeScaling: { rope_type: "yarn", factor } }),
    logn: ({ args }) => ({ attention: { queryScale: positions.logN({ trainedLength: args!.train! }) } }),
    rerope: ({ args }) => ({ ropeScaling: { rope_type: "rerope", window: args!.w } }),
    leaky_rerope: ({ args }) => ({
      ropeScaling: { rope_type: "leaky_rerope", window: args!.w, scaling_factor: args!.k },
    }),
    selfextend: ({ args }) => ({ ropeScaling: { rope_type: "self_extend", windowSize: args!.w, groupSize: args!.g } }),
    lm_infinite: ({ args }) => ({ ropeScaling: { rope_type: "lm_infinite", window: args!.w, sinks: args!.n } }),
    streaming_sinks: ({ args }) => ({ attention: { window: args!.w! - 1, sinks: args!.sinks! } }),
  };
  const lengths: Record<string, number[]> = { none: [256, 4096], linear: [2048] }; // test/evaluation has them at 1024
  const rows = ["ppl.json", "ppl_methods.json"]
    .flatMap((file) => readJson<Row[]>(fixture("books", file)))
    .filter(({ method, length }) => method in settings && (lengths[method] ?? [1024]).includes(length));

  it.each(rows)("has the reference's perplexity: $method at $length", async (row) => {
    const { length, nll } = row;
    await using model = await loadModel(folder);
    const ids = readJson<number[]>(fixture("books", "ppl_ids.json"));
    let sum = 0;
    let count = 0;
    for (let start = 0; start + length <= ids.length; start += length) {
      const part = await model.nll(ids.slice(start, start + length), settings[row.method]!(row));
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
