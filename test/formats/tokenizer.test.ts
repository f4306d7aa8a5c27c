// The tokenizer's worker: ids and texts, special tokens, the event loop free meanwhile, and errors that are typed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ArgumentError, ModelFormatError, Tokenizer } from "../../lib/index.js";
import { asset, fixture, readJson } from "../models/fixtures.js";

const temporary = mkdtempSync(join(tmpdir(), "longspan-tokenizer-"));
afterAll(() => rmSync(temporary, { recursive: true }));

describe("Tokenizer", () => {
  it("encodes and decodes without loss", async () => {
    const tokenizer = new Tokenizer(asset("books"));
    const emoji = "\u{1F469}\u200D\u{1F680}";
    for (const text of [
      "",
      " ",
      "Hello  world\n\n\ttabs",
      "It's 12345.67 o'clock",
      `naïve 中文 ${emoji}`,
      "a . b , c ?",
    ])
      expect(await tokenizer.decode(await tokenizer.encode(text))).toBe(text);
    await tokenizer.dispose();
  });

  it("adds and skips special tokens", async () => {
    const tokenizer = new Tokenizer(asset("kv-constructed"));
    const ids = await tokenizer.encode("the old man");
    expect(ids[0]).toBe(1);
    expect(await tokenizer.encode("the old man", { addSpecialTokens: false })).toEqual(ids.slice(1));
    expect(await tokenizer.decode(ids)).toBe("<s> the old man");
    expect(await tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("the old man");
    expect(await tokenizer.specialIds()).toEqual([0, 1, 2]);
    await tokenizer.dispose();
  });

  it("leaves the event loop free during a book", async () => {
    const tokenizer = new Tokenizer(asset("books"));
    const text = (await tokenizer.decode(readJson<number[]>(fixture("books", "ppl_ids.json")))).repeat(8);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    await tokenizer.encode(text);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
    await tokenizer.dispose();
  });

  it("says what is wrong", async () => {
    await expect(new Tokenizer(temporary).encode("a")).rejects.toThrow(ModelFormatError);
    await expect(new Tokenizer(temporary).decode([1])).rejects.toThrow("there is no tokenizer.json; give token ids");
    for (const content of ["{", "{}", '{"model":{"type":"Magic"}}']) {
      writeFileSync(join(temporary, "tokenizer.json"), content);
      const tokenizer = new Tokenizer(temporary);
      await expect(tokenizer.encode("a")).rejects.toThrow(/tokenizer.json: is no usable tokenizer/);
      await tokenizer.dispose();
    }
    const tokenizer = new Tokenizer(asset("books"));
    await expect(tokenizer.encode(7 as never)).rejects.toThrow(ArgumentError);
    await expect(tokenizer.decode([1.5])).rejects.toThrow(ArgumentError);
    expect(await tokenizer.encode("a")).toHaveLength(1);
    await tokenizer.dispose();
  });
});
