// `npm start`'s parts: the book is the text the reference run was measured on, the report can be drawn, and what is wrong
// is said before the work begins.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadModel } from "../lib/index.js";
import { asset, fixture, readJson } from "./models/fixtures.js";

const script = (name: string) => fileURLToPath(new URL(`../scripts/${name}`, import.meta.url));
const start = (...args: string[]) => {
  const { status, stderr } = spawnSync(process.execPath, [script("start.mjs"), ...args], { encoding: "utf8" });
  return { status, stderr: stderr.trim() };
};

describe("the book of npm start", () => {
  it("its last 8 % are the tokens of the reference run", async () => {
    const { mobyDick } = await import(script("start/book.mjs"));
    const { text, heldOut } = mobyDick();
    expect(text.endsWith(heldOut)).toBe(true);
    expect(heldOut.length / text.length).toBeCloseTo(0.08, 2);
    await using model = await loadModel(asset("books"));
    const ids = await model.tokenizer.encode(heldOut.slice(0, 60_000), { addSpecialTokens: false });
    expect(ids.slice(0, 16_384)).toEqual(readJson<number[]>(fixture("books", "ppl_ids.json")));
  });
  it("is cleaned of what the tokenizer was not trained on", async () => {
    const { cleanText } = await import(script("start/book.mjs"));
    expect(cleanText("“Aye—aye,”\nhe said;  \n\n\nit’s Œdipus.\n")).toBe('"Aye--aye," he said;\n\nit\'s dipus.\n');
  });
});

describe("the report of npm start", () => {
  const machine = { processor: "A processor", threads: 2, isa: "avx2" };
  const rows = [256, 8192].map((length) => ({ length, accuracy: 256 / length }));
  const retrieval = { series: [{ name: "plain RoPE", rows }], probesPerLength: 20, trained: 256, longest: 8192 };

  it("shows retrieval alone where there is no book", async () => {
    const { drawReport } = await import(script("start/report.mjs"));
    const svg = drawReport({ machine, retrieval, peakBytes: 2 ** 30 });
    expect(svg).toMatch(/^<svg .*How far a retrieval model finds a fact.*<\/svg>\n$/s);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
  it("shows everything where there is one", async () => {
    const { drawReport } = await import(script("start/report.mjs"));
    const samples = [1, 2, 3].map((i) => ({
      done: 1000 * i,
      tokensPerSecond: 900,
      residentBytes: 2 ** 28,
      cacheBytes: i,
    }));
    const written = { text: "and <then>", tokensPerSecond: 100 };
    const reading = { title: "A Book", whole: true, window: 128, tokens: 3000, readSeconds: 2, samples, written };
    const methods = ["plain RoPE"];
    const perplexities = [256, 512].map((length) => ({ method: methods[0], length, perplexity: length / 8 }));
    const svg = drawReport({
      machine,
      reading: { ...reading, loopLag: { p99Ms: 3 } },
      perplexity: { rows: perplexities, lengths: [256, 512], trained: 256, methods, tokens: 512, unseen: true },
      retrieval,
      peakBytes: 2 ** 30,
    });
    expect(svg).toContain("A model trained on 256 tokens at a time reads all 3,000 tokens of A Book");
    expect(svg).toContain("and &lt;then&gt;");
    expect(svg).toContain("plain RoPE from 512 on.");
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});

describe("npm start says at once", () => {
  it("that an option is unknown", () =>
    expect(start("--bok", "x")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("Unknown option '--bok'"),
    }));
  it("that the report cannot be written", () =>
    expect(start("--report", "/proc/longspan.svg")).toEqual({
      status: 1,
      stderr: "longspan: the report cannot be written to /proc/longspan.svg: ENOENT",
    }));
  it("that the book cannot be read", () =>
    expect(start("--book", "/none.txt", "--report", "/dev/null")).toEqual({
      status: 1,
      stderr: "longspan: ENOENT: no such file or directory, open '/none.txt'",
    }));
});
