// Position schemes compared: the values are those of a direct loop over model.nll, a run that was stopped goes on with the
// same numbers, and what cannot be run is skipped with its reason.
import { beforeAll, describe, expect, it } from "vitest";
import {
  bestScheme,
  compareSchemes,
  planScheme,
  type SchemeComparison,
  schemeConfig,
  schemeFindings,
  schemeFor,
  type SchemePass,
  schemeSnippet,
  trainedLength,
} from "../../lib/evaluation/index.js";
import { ArgumentError, loadModel, type Model, positions } from "../../lib/index.js";
import { asset, fixture, readJson } from "../models/fixtures.js";

const ids = Int32Array.from(readJson<number[]>(fixture("books", "ppl_ids.json"))).subarray(0, 1200);
const lengths = [32, 128, 300];
let model: Model;
beforeAll(async () => {
  model = await loadModel(asset("books"));
  return () => model.dispose();
});

/** The protocol's own words: a pass for every scheme, window and length. */
async function direct(scheme: string, length: number, beginnings: number[], settingsLength: number) {
  const settings = schemeFor(model, scheme).at(settingsLength);
  if (typeof settings === "string") throw new Error(settings);
  const { snippet, ...options } = settings;
  let [sum, count] = [0, 0];
  for (const start of beginnings)
    for (const value of await model.nll(ids.subarray(start, start + length), options)) {
      sum += value;
      count++;
    }
  return { perplexity: Math.exp(sum / count), count };
}

describe("compareSchemes", () => {
  it.each([
    { perLength: false, schemes: ["none", "linear", "dynamic", "window", "logn"] },
    { perLength: true, schemes: ["none", "yarn", "sinks"] },
  ])("equals a direct loop, perLength $perLength", async ({ perLength, schemes }) => {
    const { curves, beginnings, skipped } = await compareSchemes(model, ids, { schemes, lengths, perLength });
    expect(skipped).toEqual([]);
    expect(beginnings).toEqual([0, 129, 257, 386, 514, 643, 771, 900]);
    expect(curves.map(({ scheme }) => scheme)).toEqual(schemes);
    for (const { scheme, values } of curves)
      for (const { length, perplexity, windows, predictions } of values) {
        const own = perLength || scheme === "dynamic" ? length : 300;
        const expected = await direct(scheme, length, beginnings, own);
        expect(Math.abs(perplexity / expected.perplexity - 1), `${scheme} ${length}`).toBeLessThan(1e-5);
        expect({ windows, predictions }).toEqual({ windows: 8, predictions: expected.count });
      }
  });
  it("takes one pass where the settings are the same for all lengths", () => {
    const passes = (name: string, perLength = false) => {
      const plan = planScheme(model, name, { lengths, perLength });
      return "passes" in plan ? plan.passes.map(({ length, serves }) => [length, ...serves]) : plan.reason;
    };
    for (const name of ["none", "yarn", "window", "logn"]) expect(passes(name)).toEqual([[300, 32, 128, 300]]);
    for (const name of ["none", "window", "logn"]) expect(passes(name, true)).toEqual([[300, 32, 128, 300]]);
    // Up to the trained length the factor is 1.
    expect(passes("yarn", true)).toEqual([
      [128, 32, 128],
      [300, 300],
    ]);
    expect(passes("dynamic")).toEqual(lengths.map((length) => [length, length]));
  });
  it("goes on from finished passes after an abort, with the same rows", async () => {
    const request = { schemes: ["none", "dynamic", "sinks"], lengths: [64, 300], windows: 3 };
    const whole = await compareSchemes(model, ids, request);
    const finished: SchemePass[] = [];
    const controller = new AbortController();
    const stopped = compareSchemes(model, ids, {
      ...request,
      onPass: (pass) => {
        finished.push(pass);
        if (finished.length === 5) controller.abort(new Error("enough"));
      },
      signal: controller.signal,
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(finished).toHaveLength(5);
    const rest: SchemePass[] = [];
    const seen: number[] = [];
    const resumed = await compareSchemes(model, ids, {
      ...request,
      finished: JSON.parse(JSON.stringify(finished)),
      onPass: (pass) => void rest.push(pass),
      onProgress: ({ done, total }) => {
        expect(total).toBe(3 * (300 + 364 + 300));
        seen.push(done);
      },
    });
    expect(rest).toHaveLength(3 + 6 + 3 - 5);
    expect(seen[0]).toBe(3 * 300 + 64 + 300);
    expect(seen.at(-1)).toBe(3 * (300 + 364 + 300));
    expect(resumed.curves.map(({ values }) => values)).toEqual(whole.curves.map(({ values }) => values));
  });
  it("skips what cannot be run and measures the rest", async () => {
    const totals: number[] = [];
    const { curves, skipped } = await compareSchemes(model, ids, {
      schemes: ["longrope", "checkpoint", "none", "none"],
      lengths: [64],
      windows: 2,
      onProgress: ({ total }) => totals.push(total),
    });
    expect(curves.map(({ scheme }) => scheme)).toEqual(["checkpoint", "none"]);
    expect(skipped).toEqual([
      {
        scheme: "longrope",
        title: "LongRoPE",
        reason: "needs short_factor and long_factor, which this checkpoint's config has not",
      },
    ]);
    expect(new Set(totals)).toEqual(new Set([4 * 64]));
  });
  it("a scheme that the model refuses does not lose the others", async () => {
    const refusing = new Proxy(model, {
      get(target, name) {
        if (name !== "nll") return Reflect.get(target, name, target);
        return (tokens: Int32Array, options: { ropeScaling?: { rope_type?: string } | null }) =>
          options.ropeScaling?.rope_type === "yarn"
            ? target.nll(tokens, { ropeScaling: { rope_type: "not-yet" } })
            : target.nll(tokens, options);
      },
    });
    const request = { schemes: ["yarn", "none"], lengths: [64], windows: 2 };
    const { curves, skipped } = await compareSchemes(refusing, ids, request);
    expect(curves.map(({ scheme }) => scheme)).toEqual(["none"]);
    expect(skipped[0]).toMatchObject({
      scheme: "yarn",
      reason: expect.stringContaining('unknown rope_type "not-yet"'),
    });
    await expect(compareSchemes(refusing, ids, { ...request, schemes: ["yarn"] })).rejects.toThrow(
      /^compareSchemes: no scheme is left: yarn: unknown rope_type/,
    );
  });
  it("an error of onPass is no reason to skip", async () => {
    const onPass = () => {
      throw new ArgumentError("disk full", { op: "test", argument: "file" });
    };
    await expect(compareSchemes(model, ids, { schemes: ["none"], lengths: [64], onPass })).rejects.toThrow("disk full");
  });
  it.each([
    [{ lengths: [1] }, "a length must be a whole number from 2 on, got 1"],
    [{ lengths: [] }, "lengths must not be empty"],
    [{ lengths: [1194] }, "8 windows of 1194 tokens need 1201 tokens, got 1200"],
    [{ windows: 0 }, "windows must be a whole number from 1 on, got 0"],
    [{ schemes: [] }, "schemes must not be empty"],
    [{ schemes: ["yarm"] }, 'unknown scheme "yarm"; did you mean "yarn"?'],
  ])("refuses %j", async (change, message) => {
    await expect(compareSchemes(model, ids, { schemes: ["none"], lengths, ...change })).rejects.toThrow(message);
  });
});

describe("what a comparison says", () => {
  const curve = (scheme: string, ...perplexities: number[]) => ({
    ...{ scheme, title: scheme, settings: {}, passes: 1, seconds: 1 },
    values: perplexities.map((perplexity, i) => ({
      ...{ length: 256 * 2 ** i, nll: Math.log(perplexity), perplexity, windows: 8, predictions: 1 },
    })),
  });
  const comparison = (...curves: ReturnType<typeof curve>[]): SchemeComparison => ({
    ...{ trainedLength: 256, lengths: [256, 512, 1024], beginnings: [0], skipped: [], curves },
  });
  it("follows from the numbers", () => {
    const all = comparison(
      curve("none", 10, 20, 40),
      curve("flat", 10.5, 11, 10.5),
      curve("late", 10, 10.5, 15),
      curve("bump", 10, 12, 10.5),
      curve("worse", 30, 30, 30),
    );
    expect(bestScheme(all)?.scheme).toBe("flat");
    expect(schemeFindings(all)).toEqual([
      "Lowest at 1,024 tokens: flat (10.5), 1.00 times its value at 256.",
      "Never more than 10 % above their value at 256 tokens: flat, worse.",
      "More than 10 % above it: late from 1,024 on, none from 512 on.",
      "More than 10 % above it at some lengths only: bump at 512.",
      "More than 10 % worse than plain RoPE already at 256 tokens: worse (3.00 times).",
    ]);
  });
  it("claims nothing where nothing was measured", () => {
    const beyond = { ...comparison(curve("yarn", 10, 20, 40)), trainedLength: 128 };
    expect(schemeFindings(beyond)).toEqual(["Lowest at 1,024 tokens: yarn (40.0)."]);
    const none = comparison(curve("yarn", 10, 20, Number.NaN));
    expect(bestScheme(none)).toBeUndefined();
    expect(schemeFindings(none)[0]).toBe("No scheme has a finite perplexity at the longest length.");
  });
});

describe("what to paste", () => {
  const settingsOf = (name: string) => {
    const settings = schemeFor(model, name).at(1024);
    if (typeof settings === "string") throw new Error(settings);
    return settings;
  };
  it.each([
    ["yarn", '{ ropeScaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 256 } }'],
    ["sinks", "{ attention: { window: 251, sinks: 4 } }"],
    ["logn", "{ attention: { queryScale: positions.logN({ trainedLength: 256 }) } }"],
  ])("%s", (name, options) => {
    const imports = name === "logn" ? "loadModel, positions" : "loadModel";
    expect(schemeSnippet("a/model", settingsOf(name))).toBe(
      `import { ${imports} } from "longspan";\nconst model = await loadModel("a/model", ${options});`,
    );
  });
  it.each(["linear", "dynamic", "yarn", "llama3"])("%s in config.json means the same", (name) => {
    const { raw, headDim } = model.config;
    const settings = settingsOf(name);
    const { rope_type, ...parameters } = settings.ropeScaling!;
    const camel = Object.fromEntries(
      Object.entries(parameters).map(([key, value]) => [key.replace(/_(\w)/g, (_, x) => x.toUpperCase()), value]),
    );
    const seqLen = 1024;
    const more = name === "dynamic" ? { maxPositionEmbeddings: 256, seqLen } : {};
    const scheme = positions[name as "yarn"] as (options: object) => { frequencies: Float64Array };
    const expected = scheme({ rotaryDim: headDim, theta: 10000, ...camel, ...more }).frequencies;
    const { rope_parameters, ...older } = raw;
    for (const before of [raw, older]) {
      const pasted = { ...before, ...schemeConfig(before, settings, 1024) };
      expect(pasted).toHaveProperty(before === raw ? "rope_parameters.rope_theta" : "rope_scaling.rope_type");
      expect(positions.fromConfig(pasted, { seqLen }).frequencies).toEqual(expected);
    }
  });
  it.each(["none", "ntk", "window", "logn"])("%s has no form in config.json", (name) =>
    expect(schemeConfig(model.config.raw, settingsOf(name), 1024)).toBeUndefined(),
  );
});

it("the trained length is read within rope_parameters, too", async () => {
  await using extended = await loadModel(fixture("models", "llama-rope-llama3"));
  expect(extended.config.maxPositionEmbeddings).toBe(512);
  expect(trainedLength(extended)).toBe(64);
});
