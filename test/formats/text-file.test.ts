// Text files in pieces: characters across the border of a piece, byte order marks, and where the bytes stop being UTF-8.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readTextFile } from "../../lib/formats/text-file.js";

const temporary = mkdtempSync(join(tmpdir(), "longspan-text-"));
const file = join(temporary, "text");
afterAll(() => rmSync(temporary, { recursive: true }));

async function read(bytes: Uint8Array | string): Promise<string> {
  writeFileSync(file, bytes);
  let text = "";
  for await (const piece of readTextFile(file)) text += piece;
  return text;
}

describe("readTextFile", () => {
  it.each([0, 1, 2, 3])("joins characters cut by a piece's border, shifted by %i", async (shift) => {
    const text = "a".repeat(shift) + "\u{1F40B}é中".repeat(250_000);
    expect((await read(text)) === text).toBe(true);
  });
  it("leaves a byte order mark out, and takes an empty file", async () => {
    expect(await read("\uFEFFhello\uFEFF")).toBe("hello\uFEFF");
    expect(await read("")).toBe("");
  });
  it.each([
    [0, [0xff]],
    [3, [0x61, 0x62, 0x63, 0x80, 0x61]],
    [2, [0x61, 0x62, 0xe2, 0x82]],
    [2, [0x61, 0x62, 0xed, 0xa0, 0x80]],
    [1, [0x61, 0xc3, 0x28, 0x61]],
  ])("names byte %i", async (offset, bytes) => {
    await expect(read(Uint8Array.from(bytes))).rejects.toThrow(`the byte at ${offset} does not fit`);
    const long = Buffer.concat([Buffer.alloc(2 ** 20 - 1, "x"), Buffer.from(bytes)]);
    await expect(read(long)).rejects.toThrow(`the byte at ${2 ** 20 - 1 + offset} does not fit`);
  });
});
