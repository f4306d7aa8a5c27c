// Perplexity and retrieval by length against the reference runs, and the generator of probes.
import { describe, expect, it } from "vitest";
import {
  linearScaling,
  peakMemory,
  perplexityByLength,
  plainRope,
  retrievalByLength,
  retrievalProbes,
  slidingWindow,
  trainedLength,
  watchLoopLag,
} from "../../lib/evaluation/index.js";
import { loadModel } from "../../lib/index.js";
import { asset, fixture, readJson } from "../models/fixtures.js";

describe("perplexityByLength", () => {
  interface Row {
    method: string;
    length: number;
    ppl: number;
  }
  const reference = readJson<Row[]>(fixture("books", "ppl.json"));
  const names: Record<string, string> = {
    "plain RoPE": "none",
    "linear scaling": "linear",
    "window of 128": "sliding_window",
  };
  const ids = Int32Array.from(readJson<number[]>(fixture("books", "ppl_ids.json")));

  it("is the reference's, for each method on one loaded model", async () => {
    await using model = await loadModel(asset("books"));
    expect(trainedLength(model)).toBe(256);
    let last = 0;
    const rows = await perplexityByLength(model, ids, {
      lengths: [1024],
      methods: [plainRope, linearScaling, slidingWindow(128)],
      onProgress: ({ done, total }) => {
        expect(done).toBeGreaterThan(last);
        expect(total).toBe(3 * ids.length);
        last = done;
      },
    });
    expect(last).toBe(3 * ids.length);
    for (const { method, length, perplexity, predictions } of rows) {
      const expected = reference.find((row) => row.method === names[method] && row.length === length)!.ppl;
      expect(Math.abs(perplexity / expected - 1), method).toBeLessThan(1e-4);
      expect(predictions).toBe(16 * 1023);
    }
  });
  it("refuses lengths beyond the text", async () => {
    await using model = await loadModel(asset("books"));
    await expect(perplexityByLength(model, ids.subarray(0, 100), { lengths: [50, 101] })).rejects.toThrow(
      "a length must be a whole number from 2 to the text's 100 tokens, got 101",
    );
  });
  it("stops when it is aborted", async () => {
    await using model = await loadModel(asset("books"));
    const controller = new AbortController();
    const running = perplexityByLength(model, ids, {
      lengths: [256],
      onProgress: () => controller.abort(new Error("enough")),
      signal: controller.signal,
    });
    await expect(running).rejects.toThrow("enough");
  });
});

describe("retrieval", () => {
  interface ReferenceProbe {
    ids: number[];
    answer: number;
    depth: number;
  }
  it("answers the reference's probes as often as the reference does", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const probes = readJson<Record<string, ReferenceProbe[]>>(fixture("kv-constructed", "probes.json"));
    const rows = readJson<{ method: string; length: number; mean: number }[]>(
      fixture("kv-constructed", "retrieval.json"),
    );
    for (const { length, mean } of rows.filter((row) => row.method === "none" && row.length <= 1024)) {
      const [row] = await retrievalByLength(model, probes[length]!);
      expect(row, String(length)).toMatchObject({ length, probes: probes[length]!.length });
      expect(row!.accuracy, String(length)).toBeCloseTo(mean, 9);
    }
  });
  it("falls with length on generated probes, as theory says", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const probes = [256, 2048].flatMap((length) => retrievalProbes({ length, count: 10 }));
    const [near, far] = await retrievalByLength(model, probes);
    expect(near).toMatchObject({ length: 256, accuracy: 1 });
    expect(far!.accuracy).toBeLessThan(0.9);
    expect(far!.byDepth.map(({ depth }) => depth)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(far!.byDepth.at(-1)!.accuracy).toBe(1);
    const [windowed] = await retrievalByLength(model, probes.slice(10), { attention: { window: 127 } });
    expect(windowed!.accuracy).toBeLessThanOrEqual(0.3);
  });
  it("makes probes of the language that the tokenizer knows", async () => {
    await using model = await loadModel(asset("kv-constructed"));
    const ids = await model.tokenizer.encode("<s> ? alice zoe paris plate the", { addSpecialTokens: false });
    expect(ids).toEqual([1, 3, 5, 52, 53, 146, 147]);
  });
  it.each([13, 14, 64, 256])("probes of %d tokens hold one needle, at its depth", (length) => {
    for (const { ids, answer, depth } of retrievalProbes({ length, count: 10 })) {
      expect(ids).toHaveLength(length);
      expect(ids.slice(0, 1).concat(ids.slice(-2, -1))).toEqual([1, 3]);
      const places = ids.flatMap((id, i) => (id === ids.at(-1) && i < length - 1 ? [i] : []));
      expect(places).toHaveLength(1);
      expect(ids[places[0]! + 1]).toBe(answer);
      if (depth === 1) expect(places[0]).toBe(length - 4);
    }
    expect(retrievalProbes({ length, count: 5 })).toEqual(retrievalProbes({ length, count: 5 }));
    expect(retrievalProbes({ length, count: 5, seed: 2 })).not.toEqual(retrievalProbes({ length, count: 5 }));
  });
});

describe("the process's own costs", () => {
  it("loop lag sees a blocked loop", async () => {
    const lag = watchLoopLag();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const begun = performance.now();
    while (performance.now() - begun < 60);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(lag.stop().maxMs).toBeGreaterThan(40);
  });
  it("peak memory is at least what is held now", () => {
    expect(peakMemory()).toBeGreaterThanOrEqual(0.9 * process.memoryUsage.rss());
  });
});
