// LongNet over a file in segments is LongNet over memory, and the file is gone afterwards.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { measureLongNet } from "../../lib/evaluation/index.js";
import { ArgumentError } from "../../lib/index.js";

it("streams as it computes whole", async () => {
  const folder = mkdtempSync(join(tmpdir(), "longspan-longnet-"));
  const file = join(folder, "tokens.safetensors");
  const seen: number[] = [];
  const whole = await measureLongNet({ tokens: 40_000 });
  const streamed = await measureLongNet({ tokens: 40_000, stream: true, file, onProgress: (done) => seen.push(done) });
  expect(Math.abs(streamed.checksum - whole.checksum)).toBeLessThan(1e-2);
  expect(seen).toEqual([32_768, 40_000]);
  expect(existsSync(file)).toBe(false);
  rmSync(folder, { recursive: true });
});

it("refuses what cannot be, and stops when asked", async () => {
  await expect(measureLongNet({ tokens: 0 })).rejects.toThrow(ArgumentError);
  const folder = mkdtempSync(join(tmpdir(), "longspan-longnet-"));
  const half = join(folder, "tokens.safetensors");
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(measureLongNet({ tokens: 1000, stream: true, signal, file: half })).rejects.toThrow("enough");
  expect(existsSync(half)).toBe(false);
  writeFileSync(half, "mine");
  await expect(measureLongNet({ tokens: 1000, stream: true, file: half })).rejects.toThrow(/EEXIST/);
  expect(readFileSync(half, "utf8")).toBe("mine");
  rmSync(folder, { recursive: true });
  const file = "/nowhere/tokens.safetensors";
  await expect(measureLongNet({ tokens: 1000, stream: true, file })).rejects.toThrow(/nowhere/);
});
