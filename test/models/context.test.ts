// Contexts: prefill with progress and abort, limits, settings that win over the model's, and memory that comes back.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  ArgumentError,
  CacheMismatchError,
  ContextOverflowError,
  DisposedError,
  idle,
  loadModel,
  memory,
  OutOfMemoryError,
  type Progress,
  setMemoryBudget,
  UnsupportedError,
} from "../../lib/index.js";
import { asset, fixture, floats, readJson, reference, relativeError } from "./fixtures.js";

const folder = asset("books");
const ids = readJson<number[]>(fixture("books", "ppl_ids.json"));
const temporary = mkdtempSync(join(tmpdir(), "longspan-context-"));
afterAll(() => rmSync(temporary, { recursive: true }));

describe("prefill", () => {
  it("reports progress to the end, in chunks, and frees the event loop", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    const seen: Progress[] = [];
    let lag = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      lag = Math.max(lag, performance.now() - last - 5);
      last = performance.now();
    }, 5);
    const { promptTokens } = await context.prefill(
      { tokens: ids.slice(0, 4000) },
      { onProgress: (p) => seen.push({ ...p }) },
    );
    clearInterval(timer);
    expect(promptTokens).toBe(4000);
    expect(seen.map(({ done }) => done)).toEqual([512, 1024, 1536, 2048, 2560, 3072, 3584, 4000]);
    for (const { phase, total, tokensPerSecond, etaMs } of seen) {
      expect([phase, total]).toEqual(["prefill", 4000]);
      expect(tokensPerSecond).toBeGreaterThan(0);
      expect(etaMs).toBeGreaterThanOrEqual(0);
    }
    expect(seen.at(-1)!.etaMs).toBe(0);
    expect(lag).toBeLessThan(200); // a guard against blocking; the bench measures it
  });

  it("gives the same next token in one piece and in several", async () => {
    await using model = await loadModel(folder);
    const next: number[][] = [];
    for (const pieces of [[900], [1, 899], [300, 300, 300], [513, 387]]) {
      await using context = await model.createContext();
      let at = 0;
      for (const count of pieces) {
        await context.prefill({ tokens: ids.slice(at, at + count) });
        at += count;
      }
      const tokens: number[] = [];
      for await (const { tokenId } of context.generate(undefined, { maxTokens: 5, temperature: 0 }))
        tokens.push(tokenId);
      next.push(tokens);
    }
    for (const tokens of next) expect(tokens).toEqual(next[0]);
  });

  it("stops at an abort, rejects with its reason, and leaves the context as it was", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    await context.prefill({ tokens: ids.slice(0, 100) });
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = ({ done }: Progress) => done >= 1024 && controller.abort(reason);
    const prefill = context.prefill({ tokens: ids.slice(100) }, { onProgress, signal: controller.signal });
    await expect(prefill).rejects.toBe(reason);
    expect([context.length, context.cache.length]).toEqual([100, 100]);
    await expect(context.prefill({ tokens: [1] }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const after = await floats(model.forward(ids.slice(100, 110), { cache: context }));
    const fresh = await floats(model.forward(ids.slice(0, 110)));
    expect(relativeError(after, fresh.slice(-after.length))).toBeLessThan(1e-5);
  });

  it("stops soon after a timer's abort", async () => {
    await using model = await loadModel(folder);
    const begun = performance.now();
    const long = Array.from({ length: 40 }, () => ids).flat();
    await expect(model.nll(long, { signal: AbortSignal.timeout(50) })).rejects.toThrow(/timeout/i);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(await model.nll(ids.slice(0, 10))).toHaveLength(9);
  });

  it("reads a file as it reads its text", async () => {
    await using model = await loadModel(folder);
    const text = `\u{1F40B} ${await model.tokenizer.decode(ids.slice(0, 3000))} naïve €`;
    const file = join(temporary, "book.txt");
    writeFileSync(file, text);
    await using fromFile = await model.createContext();
    const phases = new Set<string>();
    await fromFile.prefill({ file }, { onProgress: ({ phase }) => phases.add(phase) });
    expect(fromFile.tokens).toEqual(await model.tokenizer.encode(text));
    expect([...phases]).toEqual(["tokenize", "prefill"]);
  });

  it("refuses files that are missing or not UTF-8, naming the byte", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    const file = join(temporary, "latin1.txt");
    writeFileSync(file, Buffer.concat([Buffer.alloc(1_500_000, "word "), Buffer.from([0xe9, 0x20, 0x41])]));
    await expect(context.prefill({ file })).rejects.toThrow(/not UTF-8 text, the byte at 1500000/);
    await expect(context.prefill({ file: join(temporary, "none.txt") })).rejects.toThrow(ArgumentError);
    await expect(context.prefill({ file: temporary })).rejects.toThrow(ArgumentError);
    expect(context.length).toBe(0);
  });

  it("takes nothing, and refuses what is no prompt", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    await context.prefill("");
    await context.prefill({ tokens: [] });
    expect(context.length).toBe(0);
    await expect(context.prefill(7 as never)).rejects.toThrow(
      "expected a string, {tokens} or {file} for prompt, got 7",
    );
    await expect(context.prefill({ tokens: [1, 2048] })).rejects.toThrow(
      "expected a token id in [0, 2048) for tokens[1], got 2048",
    );
    await expect(context.prefill({ tokens: [1.5] })).rejects.toThrow(ArgumentError);
    await expect(context.prefill("a", { onprogress: () => {} } as never)).rejects.toThrow('did you mean "onProgress"?');
  });
});

describe("limits", () => {
  it("never cuts: more than contextSize is an error that leaves the context alone", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext({ contextSize: 64 });
    await context.prefill({ tokens: ids.slice(0, 60) });
    await expect(context.prefill({ tokens: ids.slice(0, 5) })).rejects.toMatchObject({
      code: "ERR_LONGSPAN_CONTEXT_OVERFLOW",
      promptTokens: 65,
      contextSize: 64,
    });
    const generated: number[] = [];
    const run = async () => {
      for await (const { tokenId } of context.generate(undefined, { temperature: 0 })) generated.push(tokenId);
    };
    await expect(run()).rejects.toThrow(ContextOverflowError);
    expect(generated).toHaveLength(4);
    expect(context.length).toBe(64);
  });

  it("says what an option takes", async () => {
    await using model = await loadModel(folder);
    const context = (options: object) => model.createContext(options as never);
    await expect(context({ contextsize: 5 })).rejects.toThrow(
      'unknown option "contextsize"; did you mean "contextSize"?',
    );
    await expect(context({ contextSize: 0 })).rejects.toThrow("expected an integer at least 1 for contextSize, got 0");
    await expect(context({ kvDtype: "int4" })).rejects.toThrow(ArgumentError);
    await expect(context({ overflow: "shift" })).rejects.toThrow(ArgumentError);
    await expect(context({ ropeScaling: { rope_type: "spiral" } })).rejects.toThrow(UnsupportedError);
    await expect(context({ ropeScaling: { rope_type: "linear" } })).rejects.toThrow(
      "expected a number above 0 for ropeScaling.factor, got undefined",
    );
    await expect(context({ ropeScaling: { rope_type: "linear", facto: 2 } })).rejects.toThrow('did you mean "factor"?');
    await expect(context({ attention: { window: -1 } })).rejects.toThrow(ArgumentError);
    await expect(context({ attention: { windows: 1 } })).rejects.toThrow('did you mean "window"?');
  });

  it("ends in a typed error over the memory budget, and works on", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    await context.prefill({ tokens: ids.slice(0, 50) });
    await idle();
    setMemoryBudget(memory().usedBytes + 3_000_000);
    try {
      await expect(context.prefill({ tokens: ids })).rejects.toThrow(OutOfMemoryError);
    } finally {
      setMemoryBudget(0);
    }
    expect(context.length).toBe(50);
    await context.prefill({ tokens: ids.slice(50, 60) });
    expect(context.length).toBe(60);
  });

  it("works with a queue of a few bytes", async () => {
    const { setQueueBytes, machine } = await import("../../lib/index.js");
    const before = machine().queueBytes;
    setQueueBytes(100_000);
    try {
      await using model = await loadModel(folder);
      expect(await model.nll(ids.slice(0, 700))).toHaveLength(699);
    } finally {
      setQueueBytes(before);
    }
  });
});

describe("settings", () => {
  it("of a context win over the model's, which win over config.json", async () => {
    const tokens = ids.slice(0, 300);
    const lastOf = async (load: object, create: object) => {
      await using model = await loadModel(folder, load);
      await using context = await model.createContext(create);
      return await floats(model.forward(tokens, { cache: context, logits: "last" }));
    };
    const plain = await lastOf({}, {});
    const linear = await lastOf({ ropeScaling: { rope_type: "linear", factor: 2 } }, {});
    expect(relativeError(linear, plain)).toBeGreaterThan(1e-2);
    expect(await lastOf({}, { ropeScaling: { ropeType: "linear", factor: 2 } })).toEqual(linear);
    expect(await lastOf({ ropeScaling: { rope_type: "linear", factor: 2 } }, { ropeScaling: null })).toEqual(plain);
    const windowed = await lastOf({}, { attention: { window: 20 } });
    expect(relativeError(windowed, plain)).toBeGreaterThan(1e-2);
    expect(relativeError(await lastOf({}, { attention: { window: 299 } }), plain)).toBeLessThan(1e-5);
    expect(relativeError(await lastOf({}, { attention: { window: 20, sinks: 300 } }), plain)).toBeLessThan(1e-5);
    expect(relativeError(await lastOf({}, { attention: { window: 20, sinks: 4 } }), windowed)).toBeGreaterThan(1e-3);
  });

  it("window: null lifts a model's own window", async () => {
    const mistral = fixture("models", "mistral-swa");
    const tokens = reference(mistral).ids("input_ids");
    await using model = await loadModel(mistral);
    const own = await floats(model.forward(tokens, { cache: await model.createContext() }));
    const lifted = await floats(
      model.forward(tokens, { cache: await model.createContext({ attention: { window: null } }) }),
    );
    const same = await floats(
      model.forward(tokens, { cache: await model.createContext({ attention: { window: { before: 15 } } }) }),
    );
    expect(same).toEqual(own);
    expect(relativeError(lifted, own)).toBeGreaterThan(1e-2);
  });

  it("refuses a cache of another model", async () => {
    await using books = await loadModel(folder);
    await using other = await loadModel(fixture("models", "llama"));
    using cache = other.createCache();
    await expect(books.forward([1], { cache })).rejects.toThrow(CacheMismatchError);
  });
});

describe("memory", () => {
  it("comes back from contexts and models, also after failures", async () => {
    const once = async (abort: boolean) => {
      await using model = await loadModel(folder);
      await using context = await model.createContext();
      const signal = abort ? AbortSignal.timeout(5) : undefined;
      await context.prefill({ tokens: ids.slice(0, 2000) }, { signal }).catch(() => {});
      await model.nll(ids.slice(0, 600));
      (await model.forward(ids.slice(0, 60))).dispose();
    };
    await once(false);
    await idle();
    const before = memory().usedBytes;
    for (let i = 0; i < 5; i++) await once(i % 2 === 0);
    await idle();
    expect(memory().usedBytes - before).toBeLessThan(2 ** 20);
  });

  it("is refused after dispose", async () => {
    const model = await loadModel(folder);
    const context = await model.createContext();
    await model.dispose();
    await model.dispose();
    await expect(model.forward([1])).rejects.toThrow(DisposedError);
    await expect(model.createContext()).rejects.toThrow(DisposedError);
    await expect(context.prefill({ tokens: [1] })).rejects.toThrow(DisposedError);
    await expect(model.tokenizer.encode("a")).rejects.toThrow(DisposedError);
  });
});
