// The shared lists at lengths of several tiles (192 keys, to 512 rows), which neither divides. The references are dense and
// quadratic, so this runs once, on the machine's best instruction set; test/isa runs the short cases on each.
import { describe, it } from "vitest";
import { patterns } from "../lib/index.js";
import { longAttentionCases } from "./cases/attention.mjs";
import { patternCases } from "./cases/patterns.mjs";
import { longSizes, selectCases } from "./cases/select.js";
import { checkAttention, checkPattern, headsOf } from "./support/attention.js";
import { floatDTypes } from "./support/numbers.js";
import { checkVisible, selectInputs } from "./support/select.js";
import { tensorOf } from "./support/tensors.js";

describe("attention over many tiles", () => {
  for (const c of longAttentionCases)
    for (const dtype of c.dtypes ?? floatDTypes) it(`${c.name}, ${dtype}`, () => checkAttention(c, dtype));
});

describe("patterns over many tiles", () => {
  for (const [i, c] of patternCases(patterns, "large").entries()) {
    const heads = { ...headsOf(c), headDim: 4 };
    const alike = c.numHeads === 2 && !c.pattern.facts.numHeads; // then one head says as much
    const fewest = alike ? { ...heads, numHeads: 1, numKVHeads: 1 } : heads;
    const half = i % 2 ? "bfloat16" : "float16";
    it(`${c.name}: 529 rows after a cache, float32`, () =>
      checkPattern(c, { ...fewest, seqLenQ: 529, seqLenKV: 1021 }, "float32"));
    it(`${c.name}: 71 rows after a longer one, ${half}`, () =>
      checkPattern(c, { ...heads, seqLenQ: 71, seqLenKV: 1403 }, half));
    it(`${c.name}: one row, ${half}`, () => checkPattern(c, { ...heads, seqLenQ: 1, seqLenKV: 1403 }, half));
  }
});

describe("selections over many tiles", () => {
  for (const { name, selector } of selectCases)
    for (const size of longSizes)
      it(`${name}: ${size.seqLenQ} rows over ${size.seqLenKV} keys`, () => {
        const given = selectInputs(size);
        return checkVisible(selector.select(tensorOf(given.q, "float32"), tensorOf(given.k, "float32")), given);
      });
});
