// Position schemes in a model: length policies, factors on queries, sinks. books.test.ts has perplexities of a reference.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ArgumentError,
  type ContextOptions,
  loadModel,
  type Model,
  positions,
  UnsupportedError,
} from "../../lib/index.js";
import { asset, fixture, floats, readJson, reference, relativeError } from "./fixtures.js";

const names = ["dynamic", "longrope"].map((scheme) => `llama-rope-${scheme}`);

describe.each(names)("length policies of %s", (name) => {
  const folder = fixture("models", name);
  const ref = reference(folder);
  const tokens = ref.ids("long_ids");
  let model: Model;
  beforeAll(async () => {
    model = await loadModel(folder);
  });
  afterAll(() => model.dispose());

  const last = (logits: Float32Array) => logits.slice(-8 * model.config.vocabSize);
  async function inPieces(options: ContextOptions, pieces: number[]): Promise<Float32Array> {
    await using context = await model.createContext(options);
    let at = 0;
    for (const count of pieces.slice(0, -1)) {
      await context.prefill({ tokens: tokens.slice(at, at + count) });
      at += count;
    }
    return await floats(model.forward(tokens.slice(at), { cache: context }));
  }

  it("reprefill equals the reference's one pass, however the text comes", async () => {
    const expected = ref.array("long_last_logits");
    for (const pieces of [[400], [100, 300], [120, 10, 262, 8], [392, 8]])
      expect(relativeError(last(await inPieces({ lengthPolicy: "reprefill" }, pieces)), expected)).toBeLessThan(1e-5);
  });

  it("reprefill chooses each token as one pass over all before it does", async () => {
    const start = name.includes("dynamic") ? 124 : 126; // both cross the trained length of 128
    await using context = await model.createContext({ lengthPolicy: "reprefill" });
    const generated: number[] = [];
    const options = { maxTokens: 8, temperature: 0 };
    for await (const { tokenId } of context.generate({ tokens: tokens.slice(0, start) }, options))
      generated.push(tokenId);
    const text = tokens.slice(0, start);
    for (const tokenId of generated) {
      const logits = await floats(model.forward(text, { logits: "last" }));
      expect(tokenId).toBe(logits.indexOf(Math.max(...logits)));
      text.push(tokenId);
    }
    expect(context.cache.length).toBeGreaterThanOrEqual(start + 7);
  });

  it("fixed with a contextSize equals one pass with the frequencies of that length", async () => {
    const whole = await inPieces({ contextSize: 400 }, [400]);
    expect(relativeError(last(whole), ref.array("long_last_logits"))).toBeLessThan(1e-5);
    for (const pieces of [
      [1, 399],
      [100, 200, 100],
    ]) {
      const logits = await inPieces({ contextSize: 400 }, pieces);
      expect(relativeError(last(logits), ref.array("long_last_logits"))).toBeLessThan(1e-5);
    }
  });

  it("fixed without one takes the length of the first prompt", async () => {
    const first = await inPieces({ lengthPolicy: "fixed" }, [150, 250]);
    const same = await inPieces({ contextSize: 150 }, [150]).catch((error: unknown) => error);
    expect(same).toMatchObject({ code: "ERR_LONGSPAN_CONTEXT_OVERFLOW" });
    const again = await inPieces({}, [150, 50, 200]);
    expect(relativeError(last(first), last(again))).toBeLessThan(1e-5);
    using cache = model.createCache();
    await model.forward(tokens.slice(0, 150), { cache });
    const bare = await floats(model.forward(tokens.slice(150), { cache }));
    expect(relativeError(last(bare), last(first))).toBeLessThan(1e-5);
    if (name.includes("dynamic"))
      expect(relativeError(last(first), ref.array("long_last_logits"))).toBeGreaterThan(1e-4);
  });

  it("reprefill survives an abort in the middle of reading anew", async () => {
    await using context = await model.createContext({ lengthPolicy: "reprefill" });
    await context.prefill({ tokens: tokens.slice(0, 200) });
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(context.prefill({ tokens: tokens.slice(200, 300) }, { signal: controller.signal })).rejects.toThrow(
      "enough",
    );
    expect(context.length).toBe(200);
    const logits = await floats(model.forward(tokens.slice(200), { cache: context }));
    expect(relativeError(last(logits), ref.array("long_last_logits"))).toBeLessThan(1e-5);
  });
});

describe("books", () => {
  const ids = readJson<number[]>(fixture("books", "ppl_ids.json"));
  let model: Model;
  beforeAll(async () => {
    model = await loadModel(asset("books"));
  });
  afterAll(() => model.dispose());

  it.each<[string, ContextOptions]>([
    [
      "factors and sinks",
      { attention: { window: 60, sinks: 3, queryScale: positions.logN({ trainedLength: 40, clipped: false }) } },
    ],
    ["ReRoPE", { ropeScaling: { rope_type: "rerope", window: 33 } }],
    [
      "ReRoPE and factors",
      { ropeScaling: { type: "rerope", window: 20 }, attention: { queryScale: (i) => 1 + i / 99 } },
    ],
    ["Leaky ReRoPE", { ropeScaling: { rope_type: "leaky-rerope", window: 30, scaling_factor: 3 } }],
    ["Self-Extend", { ropeScaling: { rope_type: "selfExtend", window_size: 24, group_size: 5 } }],
    ["dual chunks", { ropeScaling: { rope_type: "dca", chunk_size: 48, local_size: 7 } }],
    ["LM-Infinite", { ropeScaling: { rope_type: "lm_infinite", window: 40, sinks: 3 } }],
    [
      "Self-Extend in a window",
      { ropeScaling: { rope_type: "self_extend", window_size: 8 }, attention: { window: 70 } },
    ],
    ["linear scaling", { ropeScaling: { type: "linear", factor: 3 } }],
    ["NTK", { ropeScaling: { rope_type: "ntk", factor: 3 } }],
    ["YaRN", { ropeScaling: { rope_type: "yarn", factor: 4 } }],
    [
      "YaRN and log-n",
      { ropeScaling: { type: "yarn", factor: 4 }, attention: { queryScale: positions.logN({ trainedLength: 9 }) } },
    ],
    ["Llama 3", { ropeScaling: { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 } }],
    ["p-RoPE", { ropeScaling: { rope_type: "proportional", partial_rotary_factor: 0.5 } }],
    ["Giraffe", { ropeScaling: { rope_type: "giraffe", power: 0.3 } }],
    ["ReRoPE in bfloat16 keys", { ropeScaling: { rope_type: "rerope", window: 33 }, kvDtype: "bfloat16" }],
  ])("decodes with %s as it reads", async (_, options) => {
    await using context = await model.createContext(options);
    const whole = await floats(model.forward(ids.slice(0, 150), { cache: context }));
    for (const pieces of [Array<number>(150).fill(1), [50, 20, 70, 10]]) {
      await using piecewise = await model.createContext(options);
      const logits: number[] = [];
      let at = 0;
      for (const count of pieces) {
        for (const logit of await floats(model.forward(ids.slice(at, at + count), { cache: piecewise })))
          logits.push(logit);
        at += count;
      }
      // bfloat16 keys may round otherwise where products of fewer rows were summed in another order.
      expect(relativeError(logits, whole)).toBeLessThan(options.kvDtype === "bfloat16" ? 1e-3 : 1e-5);
    }
  });

  it("keeps keys turned in two ways, and says so where they are missing", async () => {
    const ropeScaling = { rope_type: "rerope", window: 64 };
    await using plain = await model.createContext();
    await using remapped = await model.createContext({ ropeScaling });
    await using other = await loadModel(asset("books"), { ropeScaling });
    for (const context of [plain, remapped]) await context.prefill({ tokens: ids.slice(0, 10) });
    expect(remapped.cache.bytes / plain.cache.bytes).toBeCloseTo(1.5, 1);
    using cache = model.createCache();
    await expect(other.forward([1, 2, 3], { cache })).rejects.toMatchObject({
      code: "ERR_LONGSPAN_CACHE_MISMATCH",
      field: "keySets",
      expected: 2,
      actual: 1,
    });
    using fitting = other.createCache({ kvDtype: "bfloat16" });
    await other.forward([1, 2, 3], { cache: fitting });
    const both = { ropeScaling, attention: { window: 60, sinks: 4 } };
    await expect(model.createContext(both)).rejects.toThrow("attention.sinks");
  });

  it("keeps factors exact beside bfloat16 activations", async () => {
    await using narrow = await loadModel(asset("books"), { dtype: "bfloat16" });
    const attention = { queryScale: positions.logN({ trainedLength: 16 }) };
    const [wide, scaled, unscaled] = await Promise.all([
      model.nll(ids.slice(0, 200), { attention }),
      narrow.nll(ids.slice(0, 200), { attention }),
      narrow.nll(ids.slice(0, 200)),
    ]);
    const mean = (values: Float32Array) => values.reduce((a, b) => a + b) / values.length;
    expect(Math.abs(mean(scaled) - mean(wide))).toBeLessThan(0.02);
    expect(Math.abs(mean(unscaled) - mean(wide))).toBeGreaterThan(0.02);
  });

  it("accepts every scheme, in any spelling, and names what is wrong", async () => {
    const nll = (ropeScaling: object) => model.nll(ids.slice(0, 40), { ropeScaling: ropeScaling as never });
    const pairs = model.config.headDim / 2;
    const plain = await model.nll(ids.slice(0, 40));
    const good: object[] = [
      { type: "yarn", factor: 4, original_max_position_embeddings: 256, beta_fast: 16, truncate: false },
      { ropeType: "yarn", factor: 4, mscale: 1, mscaleAllDim: 1, ramp: "rotations" },
      { rope_type: "longrope", factor: 2, short_factor: Array(pairs).fill(1.1), long_factor: Array(pairs).fill(2) },
      { rope_type: "su", shortFactor: Array(pairs).fill(1.1), longFactor: Array(pairs).fill(2) },
      { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
      { rope_type: "proportional", partial_rotary_factor: 0.5 },
      { rope_type: "ntk", factor: 4 },
      { rope_type: "ntkMixed", factor: 4 },
      { rope_type: "ntk_fixed", factor: 4 },
      { rope_type: "by_parts", factor: 4 },
      { rope_type: "abf", rope_theta: 5e5 },
      { rope_type: "giraffe", power: 0.1 },
      { rope_type: "divisors", divisors: Array(pairs).fill(2) },
      { rope_type: "linear", dynamic: true, original_max_position_embeddings: 16 },
      { rope_type: "clex", frequencies: [Array(pairs).fill(0.1)], original_max_position_embeddings: 32 },
      { rope_type: "qwen_dynamic", seq_length: 16 },
      { type: "ReRoPE", window: 8 },
      { rope_type: "dual_chunk_attention", chunk_size: 16 },
    ];
    for (const ropeScaling of good) expect(await nll(ropeScaling)).not.toEqual(plain);
    for (const ropeScaling of [{}, { type: "default" }, { rope_type: "none" }, { type: "dynamic", factor: 4 }])
      expect(await nll(ropeScaling)).toEqual(plain);

    const bad = (ropeScaling: object) => expect(nll(ropeScaling)).rejects;
    await bad({ rope_type: "yarn" }).toThrow("expected a number above 0 for ropeScaling.factor");
    await bad({ rope_type: "yarn", factor: 4, mscal: 1 }).toThrow('did you mean "mscale"?');
    await bad({ rope_type: "longrope", short_factor: [1], long_factor: [1] }).toThrow(
      `a list of ${pairs} numbers above 0, one for each pair of rotated dims for ropeScaling.short_factor`,
    );
    await bad({ rope_type: "dynamic", factor: "4" }).toThrow('for ropeScaling.factor, got "4"');
    await bad({ rope_type: "yarn", factor: 4, original_max_position_embeddings: 0 }).toThrow(
      "for ropeScaling.original_max_position_embeddings",
    );
    await bad({ rope_type: "rerope" }).toThrow("a whole number above 0 for ropeScaling.window");
    await bad({ rope_type: "dca", chunk_size: 12, local_size: 12 }).toThrow("ropeScaling.local_size");
    await bad({ rope_type: "abf" }).toThrow("for ropeScaling.rope_theta");
    await bad({ rope_type: "xpos" }).toThrow(UnsupportedError);
    const attention = { queryScale: 2 } as never;
    await expect(model.nll([1, 2], { attention })).rejects.toThrow("a function for attention.queryScale");
    await expect(model.nll([1, 2], { attention: { queryScale: () => Number.NaN } })).rejects.toThrow(ArgumentError);
  });
});
