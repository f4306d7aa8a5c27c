// Generation: streams, text and usage in any order, stop strings across tokens, end of text, abort, whole characters.
import { describe, expect, it } from "vitest";
import { ArgumentError, type GenerateOptions, idle, loadModel, memory } from "../../lib/index.js";
import { StopStrings } from "../../lib/generate.js";
import { asset, fixture, reference } from "./fixtures.js";

const folder = asset("books");
const prompt = "The old man looked at";

describe("generate", () => {
  it("gives the same text by iteration and by text(), in pieces that join", async () => {
    await using model = await loadModel(folder);
    const options = { maxTokens: 30, seed: 5 };
    const generation = model.generate(prompt, options);
    let joined = "";
    for await (const { text } of generation) joined += text;
    expect(await generation.text()).toBe(joined);
    const other = model.generate(prompt, options);
    const usage = other.usage;
    expect(await other.text()).toBe(joined);
    expect(await usage).toMatchObject({ promptTokens: 5, completionTokens: 30 });
    expect(await model.generate(prompt, { maxTokens: 30, seed: 6 }).text()).not.toBe(joined);
  });

  it("continues a context across calls as one call would", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    await context.prefill(prompt);
    const first = await context.generate(undefined, { maxTokens: 8, temperature: 0 }).text();
    const second = context.generate(undefined, { maxTokens: 8, temperature: 0 });
    const whole = await model.generate(prompt, { maxTokens: 16, temperature: 0 }).text();
    expect(first + (await second.text())).toBe(whole);
    expect(await second.usage).toEqual({ promptTokens: 13, cachedTokens: 13, completionTokens: 8 });
    await context.generate(" and", { maxTokens: 3 }).text();
    expect(context.length).toBe(5 + 16 + 1 + 3);
  });

  it("ends before a stop string, wherever tokens are cut", async () => {
    await using model = await loadModel(folder);
    const whole = await model.generate(prompt, { maxTokens: 40, temperature: 0 }).text();
    for (const stop of ["young man, who", "ng", ["never there", "old", ", and a"]]) {
      const generation = model.generate(prompt, { maxTokens: 40, temperature: 0, stop });
      const places = [stop]
        .flat()
        .map((text) => whole.indexOf(text))
        .filter((at) => at >= 0);
      expect(await generation.text()).toBe(whole.slice(0, Math.min(...places)));
    }
    const none = model.generate(prompt, { maxTokens: 40, temperature: 0, stop: "who was a young man, and" });
    expect(await none.text()).toBe(whole);
  });

  it("ends at an end-of-text token, whose text is empty", async () => {
    await using model = await loadModel(folder);
    model.config.eosTokenIds.splice(0, 1, 12); // the comma
    const tokens = [];
    for await (const token of model.generate(prompt, { temperature: 0 })) tokens.push(token);
    expect(tokens.at(-1)).toMatchObject({ tokenId: 12, text: "" });
    expect(tokens.filter(({ tokenId }) => tokenId === 12)).toHaveLength(1);
  });

  it("stops with the consumer, and at an abort with its reason", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    for await (const token of context.generate(prompt, { maxTokens: 1000 })) if (token.tokenId >= 0) break;
    expect(context.length).toBe(6);
    const controller = new AbortController();
    const reason = new Error("stop");
    const run = async () => {
      let count = 0;
      for await (const token of context.generate(undefined, { maxTokens: 1000, signal: controller.signal }))
        if (token && ++count === 3) controller.abort(reason);
    };
    await expect(run()).rejects.toBe(reason);
    expect(await context.generate(undefined, { maxTokens: 2 }).text()).toBeTypeOf("string");
  });

  it("gives the memory back when the consumer stops", async () => {
    await using model = await loadModel(folder);
    await model.generate(prompt, { maxTokens: 2 }).text();
    await idle();
    const before = memory().usedBytes;
    for (let i = 0; i < 5; i++) for await (const token of model.generate(prompt)) if (token) break;
    await idle();
    expect(memory().usedBytes).toBeLessThanOrEqual(before);
  });

  it("runs on token ids where there is no tokenizer", async () => {
    const tiny = fixture("models", "llama");
    await using model = await loadModel(tiny);
    const tokens = reference(tiny).ids("input_ids").slice(0, 4);
    const generation = model.generate({ tokens }, { maxTokens: 3 });
    for await (const { text, tokenId } of generation) expect([text, typeof tokenId]).toEqual(["", "number"]);
    await expect(model.generate("text", { maxTokens: 3 }).text()).rejects.toMatchObject({
      code: "ERR_LONGSPAN_MODEL_FORMAT",
      message: expect.stringContaining("there is no tokenizer.json"),
    });
  });

  it("says what an option takes", async () => {
    await using model = await loadModel(folder);
    const generate = (options: object) => () => model.generate(prompt, options as GenerateOptions);
    expect(generate({ temprature: 1 })).toThrow('did you mean "temperature"?');
    expect(generate({ temperature: -1 })).toThrow("expected a number at least 0 for temperature, got -1");
    expect(generate({ temperature: Number.NaN })).toThrow(ArgumentError);
    expect(generate({ topP: 0 })).toThrow(ArgumentError);
    expect(generate({ topK: 1.5 })).toThrow(ArgumentError);
    expect(generate({ stop: "" })).toThrow(ArgumentError);
    expect(generate({ seed: "a" })).toThrow(ArgumentError);
    await using context = await model.createContext();
    expect(await context.generate(undefined, { maxTokens: 0 }).text()).toBe("");
  });

  it("gives out whole characters only", async () => {
    await using model = await loadModel(folder);
    const { Detokenizer } = await import("../../lib/formats/detokenizer.js");
    const text = "naïve café — \u{1F40B}\u{1F469}\u200D\u{1F680} 中文 end";
    const detokenizer = new Detokenizer(model.tokenizer, []);
    const pieces: string[] = [];
    for (const id of await model.tokenizer.encode(text)) pieces.push(await detokenizer.push(id));
    expect(pieces.join("")).toBe(text);
    for (const piece of pieces) expect(piece).not.toContain("\uFFFD");
  });
});

describe("StopStrings", () => {
  it("holds back only what may become a stop string", () => {
    const stops = new StopStrings(["END", "N!"]);
    expect(["abE", "N", "x", "EN", "D more"].map((text) => stops.push(text))).toEqual(["ab", "", "ENx", "", ""]);
    expect(stops.found).toBe(true);
    const open = new StopStrings(["END"]);
    expect([open.push("the E"), open.flush(), open.found]).toEqual(["the ", "E", false]);
  });
});
