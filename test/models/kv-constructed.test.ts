// The constructed retrieval model: logits, and the share of right answers by length, plain and with linear scaling, which
// breaks it as theory says.
import { describe, expect, it } from "vitest";
import { loadModel } from "../../lib/index.js";
import { asset, fixture, floats, readJson, reference, relativeError } from "./fixtures.js";

const folder = asset("kv-constructed");

describe("kv-constructed", () => {
  it.each([0, 1])("gives the reference's logits of prompt %i", async (prompt) => {
    const ref = reference(fixture("kv-constructed"));
    await using model = await loadModel(folder);
    const logits = await floats(model.forward(ref.ids(`ids${prompt}`)));
    expect(relativeError(logits, ref.array(`logits${prompt}`))).toBeLessThan(1e-4);
  });

  interface Probe {
    ids: number[];
    answer: number;
  }
  interface Row {
    method: "none" | "linear";
    length: number;
    mean: number;
  }
  const probes = readJson<Record<string, Probe[]>>(fixture("kv-constructed", "probes.json"));
  const rows = readJson<Row[]>(fixture("kv-constructed", "retrieval.json"));

  it.each(rows)("retrieves as the reference does: $method at $length", async ({ method, length, mean }) => {
    await using model = await loadModel(folder);
    const ropeScaling = method === "linear" ? { ropeType: "linear", factor: length / 256 } : undefined;
    let right = 0;
    for (const { ids, answer } of probes[length]!) {
      await using context = await model.createContext({ ropeScaling });
      for await (const { tokenId } of context.generate({ tokens: ids }, { maxTokens: 1, temperature: 0 }))
        right += Number(tokenId === answer);
    }
    expect(right / probes[length]!.length).toBeCloseTo(mean, 9);
  });

  it("adds the beginning-of-text token that tokenizer.json asks for, once", async () => {
    await using model = await loadModel(folder);
    await using context = await model.createContext();
    await context.prefill("the old man");
    await context.prefill("said alice london");
    expect(context.tokens[0]).toBe(1);
    expect(context.tokens.filter((id) => id === 1)).toHaveLength(1);
    expect(context.length).toBe(7);
  });
});
