// Weights in q8_0 and q4_0: a model computes with the numbers that they stand for, exactly.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArgumentError, loadModel } from "../../lib/index.js";
import { type QuantisedDType, quantised, quantisedDTypes } from "../reference/quantised.js";
import { fixture, floats, reference, relativeError } from "./fixtures.js";

/** A copy of a checkpoint in float32 whose matrices, the embedding aside, are what is left of them. */
function writeRounded(from: string, to: string, dtype: QuantisedDType): void {
  const bytes = readFileSync(join(from, "model.safetensors"));
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, begin).toString());
  for (const [name, { shape, data_offsets: ends }] of Object.entries<{ shape: number[]; data_offsets: number[] }>(
    header,
  ))
    if (shape?.length === 2 && !name.includes("embed_tokens")) {
      const at = begin + (ends[0] as number);
      const size = (shape[0] as number) * (shape[1] as number);
      const data = Float64Array.from({ length: size }, (_, i) => bytes.readFloatLE(at + 4 * i));
      for (const [i, value] of quantised({ data, shape }, dtype).data.entries()) bytes.writeFloatLE(value, at + 4 * i);
    }
  writeFileSync(join(to, "model.safetensors"), bytes);
  copyFileSync(join(from, "config.json"), join(to, "config.json"));
}

describe.each(quantisedDTypes)("weights in %s", (weightDtype) => {
  const tokens = reference(fixture("models", "qwen3")).ids("input_ids");
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "longspan-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(["llama", "qwen3"])("give the logits of the rounded weights: %s", async (name) => {
    writeRounded(fixture("models", name), folder, weightDtype);
    await using rounded = await loadModel(folder);
    await using model = await loadModel(fixture("models", name), { weightDtype });
    const expected = await floats(rounded.forward(tokens));
    expect(relativeError(await floats(model.forward(tokens)), expected)).toBeLessThan(1e-5);
    const original = reference(fixture("models", name)).array("output");
    const lost = relativeError(expected.slice(0, original.length), original);
    expect(lost).toBeGreaterThan(1e-4);
  });

  it("decode token by token as they read many", async () => {
    await using model = await loadModel(fixture("models", "llama"), { weightDtype });
    using cache = model.createCache();
    const logits: number[] = [];
    for (const token of tokens) logits.push(...(await floats(model.forward([token], { cache }))));
    expect(relativeError(logits, await floats(model.forward(tokens)))).toBeLessThan(1e-5);
  });

  it("work with tied embeddings, and in bfloat16", async () => {
    const ref = reference(fixture("models", "llama-bias"));
    for (const dtype of ["float32", "bfloat16"] as const) {
      await using model = await loadModel(fixture("models", "llama-bias"), { weightDtype, dtype });
      const error = relativeError(await floats(model.forward(ref.ids("input_ids"))), ref.array("output"));
      expect(error).toBeGreaterThan(1e-4);
      expect(error).toBeLessThan(weightDtype === "q8_0" ? 0.05 : 0.5);
    }
  });
});

it("an unknown weightDtype is refused", async () => {
  const given = { weightDtype: "q8" as QuantisedDType };
  await expect(loadModel(fixture("models", "llama"), given)).rejects.toThrow(ArgumentError);
  await expect(loadModel(fixture("models", "llama"), given)).rejects.toThrow(
    /"q8_0", "q4_0" \(did you mean "q8_0"\?\)/,
  );
});
