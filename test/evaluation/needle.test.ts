// Retrieval by depth and length: the prompts of each task, and the story that the constructed model tells.
import { describe, expect, it } from "vitest";
import {
  defaultNeedleSchemes,
  type NeedleTask,
  needleTask,
  type NeedleTaskName,
  retrievalByDepth,
  retrievalProbes,
} from "../../lib/evaluation/index.js";
import { isAnswered } from "../../lib/evaluation/answers.js";
import { ArgumentError, loadModel, type Model, ModelFormatError, UnsupportedError } from "../../lib/index.js";
import { asset, fixture, readJson } from "../models/fixtures.js";

const depths = [0, 0.3, 0.5, 1];
const request = { depths, count: 2, seed: 3 };

async function textsOf(model: Model, task: NeedleTask, length: number) {
  const probes = await task.probes({ ...request, length });
  return Promise.all(
    probes.map(async ({ ids, answer, depth }) => ({
      ids,
      depth,
      text: await model.tokenizer.decode(ids),
      answer: (await model.tokenizer.decode(answer)).trim(),
    })),
  );
}

describe("text tasks", () => {
  it.each<[NeedleTaskName, number]>([
    ["passkey", 80],
    ["passkey", 300],
    ["passkey", 1024],
    ["kv", 120],
    ["kv", 300],
    ["kv", 1024],
  ])("%s: prompts of exactly %d tokens, the same for a seed", async (name, length) => {
    await using model = await loadModel(asset("books"));
    const task = await needleTask(model, name);
    const probes = await task.probes({ ...request, length });
    expect(probes.map(({ ids }) => ids.length)).toEqual(Array(8).fill(length));
    expect(probes.map(({ depth }) => depth)).toEqual([...depths, ...depths]);
    expect(await task.probes({ ...request, length })).toEqual(probes);
    expect(await task.probes({ ...request, length, seed: 4 })).not.toEqual(probes);
  });
  it("passkey: the key stands twice in one sentence pair, at its depth, and is asked for at the end", async () => {
    await using model = await loadModel(asset("books"));
    const keys = new Set<string>();
    for (const { text, answer, depth } of await textsOf(model, await needleTask(model, "passkey"), 600)) {
      expect(answer).toMatch(/^[1-9]\d{4}$/);
      const parts = text.split(`\nThe pass key is ${answer}. Remember it. ${answer} is the pass key.\n`);
      expect(parts).toHaveLength(2);
      expect(parts.join("")).not.toMatch(/\d/);
      expect(parts[1]).toMatch(/\nWhat is the pass key\? The pass key is$/);
      const [before, after] = [parts[0]!.split("\n")[1]!, parts[1]!.split("\n")[0]!];
      const share = before.length / (before.length + after.length);
      expect(Math.abs(share - depth)).toBeLessThan(0.01);
      keys.add(answer);
    }
    expect(keys.size).toBe(8);
  });
  it("kv: valid JSON of distinct keys, as many as fit, the asked one at its depth", async () => {
    await using model = await loadModel(asset("books"));
    for (const { text, answer, depth } of await textsOf(model, await needleTask(model, "kv"), 600)) {
      const [, json, key] = /\n(\{.*\})\nKey: "([0-9a-f]{8})"\nCorresponding value: "$/s.exec(text)!;
      const pairs = [...json!.matchAll(/"(\w+)": "(\w+)"/g)].map(([, name, value]) => [name!, value!] as const);
      expect(JSON.parse(json!)).toEqual(Object.fromEntries(pairs));
      expect(new Set(pairs.flat()).size).toBe(2 * pairs.length);
      expect(pairs.length).toBeGreaterThan(20);
      const place = pairs.findIndex(([name]) => name === key);
      expect(pairs[place]![1]).toBe(answer);
      expect(place).toBe(Math.round(depth * (pairs.length - 1)));
    }
  });
  it("say which lengths and which vocabularies cannot hold them", async () => {
    await using books = await loadModel(asset("books"));
    for (const [name, shortest] of [
      ["passkey", 71],
      ["kv", 103],
    ] as const) {
      const task = await needleTask(books, name);
      const failing = task.probes({ ...request, length: 20 });
      await expect(failing).rejects.toThrow(ArgumentError);
      await expect(failing).rejects.toThrow(
        new RegExp(`${name}: a prompt has at least \\d+ of this model's tokens, a length of 20 is too short`),
      );
      await expect(task.probes({ ...request, length: shortest - 10 })).rejects.toThrow("is too short");
    }
    await expect(needleTask(books, "recall")).rejects.toThrow("which this model does not know; take passkey or kv");
    await expect(needleTask(books, "reverse" as never)).rejects.toThrow(ArgumentError);
    await using constructed = await loadModel(asset("kv-constructed"));
    for (const name of ["passkey", "kv"] as const)
      await expect(needleTask(constructed, name)).rejects.toThrow(
        /vocabulary cannot write "\w+": it reads back as "<unk>"/,
      );
  });
  it("are chosen by the vocabulary", async () => {
    await using books = await loadModel(asset("books"));
    expect((await needleTask(books)).name).toBe("passkey");
    await using constructed = await loadModel(asset("kv-constructed"));
    expect((await needleTask(constructed)).name).toBe("recall");
    await using wordless = await loadModel(fixture("models", "llama"));
    await expect(needleTask(wordless)).rejects.toThrow(ModelFormatError);
  });
});

describe("isAnswered", () => {
  it("is right for what greedy decoding writes, and wrong for anything else", async () => {
    await using model = await loadModel(asset("books"));
    const prompt = await model.tokenizer.encode("The captain went down to the");
    const written: number[] = [];
    for await (const { tokenId } of model.generate({ tokens: prompt }, { maxTokens: 6, temperature: 0 }))
      written.push(tokenId);
    for (let count = 1; count <= 6; count++) {
      const answer = written.slice(0, count);
      expect(await isAnswered(model, prompt, answer, {})).toBe(true);
      expect(await isAnswered(model, prompt, answer.with(-1, answer.at(-1)! + 1), {})).toBe(false);
    }
  });
});

describe("retrievalByDepth", () => {
  it("shows what theory says: plain RoPE fails beyond 256, NTK and YaRN do not, PI breaks", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    let last = 0;
    const { task, trainedLength, rows, leftOut } = await retrievalByDepth(model, {
      schemes: ["none", "linear", "ntk", "dynamic", "yarn", "window"],
      lengths: [2048, 256],
      probes: 2,
      onProgress: ({ done, total, etaMs }) => {
        expect(done).toBe(last + 1);
        expect(total).toBe(120);
        expect(etaMs).toBeGreaterThanOrEqual(0);
        last = done;
      },
    });
    expect({ task, trainedLength, leftOut, last }).toEqual({
      task: "recall",
      trainedLength: 256,
      leftOut: [],
      last: 120,
    });
    expect(rows).toHaveLength(6 * 2 * 5);
    expect(rows.slice(0, 6).map(({ length, depth }) => [length, depth])).toEqual([
      ...[0, 0.25, 0.5, 0.75, 1].map((depth) => [256, depth]),
      [2048, 0],
    ]);
    const mean = (scheme: string, length: number) => {
      const own = rows.filter((row) => row.scheme === scheme && row.length === length);
      return own.reduce((sum, { accuracy }) => sum + accuracy, 0) / own.length;
    };
    for (const scheme of ["none", "ntk", "dynamic", "yarn"]) expect(mean(scheme, 256), scheme).toBe(1);
    for (const scheme of ["ntk", "dynamic", "yarn"]) expect(mean(scheme, 2048), scheme).toBe(1);
    expect(mean("none", 2048)).toBeLessThan(0.9);
    expect(mean("linear", 2048)).toBeLessThan(0.2);
    // A window sees what is right before the question and nothing far away.
    const windowed = rows.filter(({ scheme, length }) => scheme === "window" && length === 2048);
    expect(windowed.map(({ accuracy }) => accuracy)).toEqual([0, 0, 0, 0, 1]);
  });
  it("asks the probes of retrievalProbes, and scales by each length if told to", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const task = await needleTask(model);
    const probes = await task.probes({ length: 256, depths: [0, 0.25, 0.5, 0.75, 1], count: 2, seed: 1 });
    expect(probes.map(({ answer, ...probe }) => ({ ...probe, answer: answer[0] }))).toEqual(
      retrievalProbes({ length: 256, count: 10 }),
    );
    const linear = { schemes: ["linear"], lengths: [256, 1024], depths: [0.5], probes: 2 };
    const at256 = async (perLength: boolean) =>
      (await retrievalByDepth(model, { ...linear, perLength })).rows[0]!.accuracy;
    expect(await at256(true)).toBe(1); // a factor of 1
    expect(await at256(false)).toBe(0); // the factor of 1,024
  });
  it("leaves out schemes and lengths that cannot be run, with the reason", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const { rows, leftOut } = await retrievalByDepth(model, {
      schemes: ["longrope", "none", "checkpoint"],
      lengths: [8, 64],
      depths: [0],
      probes: 1,
    });
    expect(rows.map(({ scheme, length, accuracy }) => [scheme, length, accuracy])).toEqual([["none", 64, 1]]);
    expect(leftOut).toEqual([
      { length: 8, reason: "retrievalProbes: length must be a whole number from 13 on, got 8" },
      { scheme: "longrope", length: 64, reason: expect.stringContaining("needs short_factor and long_factor") },
      { scheme: "checkpoint", length: 64, reason: "its config.json scales nothing: the same as none" },
    ]);
  });
  it("takes a task of one's own", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const probes = readJson<Record<string, { ids: number[]; answer: number; depth: number }[]>>(
      fixture("kv-constructed", "probes.json"),
    );
    const task: NeedleTask = {
      name: "reference",
      title: "the reference's probes",
      probes: async ({ length }) => probes[length]!.map((probe) => ({ ...probe, answer: [probe.answer] })),
    };
    const { rows } = await retrievalByDepth(model, { schemes: ["none", "ntk"], lengths: [512], task });
    const accuracy = (scheme: string) => rows.filter((row) => row.scheme === scheme).map((row) => row.accuracy);
    expect(accuracy("none")).toEqual([0.9, 0.9, 1, 1, 1]); // of transformers, in retrieval.json
    expect(accuracy("ntk")).toEqual([1, 1, 1, 1, 1]);
  });
  it("refuses what means nothing", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const refused = async (options: object, message: string) => {
      const running = retrievalByDepth(model, { lengths: [64], ...options } as never);
      await expect(running).rejects.toThrow(message);
      await expect(running).rejects.toMatchObject({ code: "ERR_LONGSPAN_ARGUMENT" });
    };
    await refused({ lengths: [] }, "needle: expected a list that is not empty for lengths, got an array of 0");
    await refused({ lengths: [1.5] }, "needle: expected an integer at least 1 for lengths, got 1.5");
    await refused({ depths: [2] }, "needle: expected a number at least 0 and at most 1 for depths, got 2");
    await refused({ probes: 0 }, "needle: expected an integer at least 1 for probes, got 0");
    await refused({ schemes: ["yarm"] }, 'unknown scheme "yarm"; did you mean "yarn"?');
    await refused({ schemes: [] }, "needle: expected a list that is not empty for schemes, got an array of 0");
    await refused({ lenghts: [64] }, 'needle: unknown option "lenghts"; did you mean "lengths"?');
    await refused({ lengths: [4, 8] }, "length must be a whole number from 13 on, got 8");
    const none = retrievalByDepth(model, { lengths: [64], schemes: ["longrope"] });
    await expect(none).rejects.toThrow(UnsupportedError);
    await expect(none).rejects.toThrow("needle: no scheme can be run: longrope: needs short_factor");
  });
  it("stops when it is aborted", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const controller = new AbortController();
    let probes = 0;
    const running = retrievalByDepth(model, {
      schemes: [...defaultNeedleSchemes],
      lengths: [64],
      onProgress: () => {
        probes++;
        controller.abort(new Error("enough"));
      },
      signal: controller.signal,
    });
    await expect(running).rejects.toThrow("enough");
    expect(probes).toBe(1);
  });
});
