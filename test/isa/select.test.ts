// Selections by content: each list against the float64 reference, attention under the pattern against dense attention
// under what it says is visible, and what the papers promise.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { flashAttention, type Pattern, patterns, type Selector, setThreads, type Tensor } from "../../lib/index.js";
import type { PatternSpec } from "../../lib/patterns/pattern.js";
import { lineSizes, type SelectCase, selectCases, selectSizes, type Size, visibleSizes } from "../cases/select.js";
import * as reference from "../reference/select.js";
import type { FloatDType } from "../support/numbers.js";
import { checkVisible, selectInputs as inputs } from "../support/select.js";
import { type Layout, read, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

type Lists = PatternSpec & { columns: Tensor; blockQ: number; firstRow: number };
const listsIn = (spec: PatternSpec): Lists =>
  (spec.columns ? spec : listsIn((spec.of as PatternSpec[])[0] as PatternSpec)) as Lists;

/** list(batch, head, query): the blocks that a query sees */
async function listsOf(pattern: Pattern, numHeads: number) {
  const { columns, blockQ, firstRow } = listsIn(pattern.spec(pattern.facts.lengths as never));
  const data = await columns.data();
  const [, heads, rows, perRow] = columns.shape as [number, number, number, number];
  const { seqLenQ, seqLenKV } = pattern.facts.lengths as { seqLenQ: number; seqLenKV: number };
  return (batch: number, head: number, query: number) => {
    const row = Math.floor((query + Math.max(seqLenKV - seqLenQ, 0)) / blockQ) - firstRow;
    const at = ((batch * heads + Math.floor(head / (numHeads / heads))) * rows + row) * perRow;
    const list = Array.from(data.subarray(at, at + perRow) as Int32Array);
    const count = list.findIndex((x) => x < 0);
    if (count >= 0) expect(list.slice(count).every((x) => x === -1)).toBe(true);
    return count < 0 ? list : list.slice(0, count);
  };
}

/** The choice, but for swaps of scores that rounding may exchange. */
function checkChoice(list: number[], { scores, take }: reference.Row, where: string): void {
  expect(list, where).toEqual([...new Set(list)].sort((a, b) => a - b));
  const finite = scores.filter(Number.isFinite);
  const slack = 2e-5 * Math.max(...finite.map(Math.abs), 1e-3);
  const chosen = new Set(list);
  scores.forEach((s, b) => {
    if (s === Number.POSITIVE_INFINITY && !chosen.has(b)) expect.fail(`${where}: block ${b} is forced`);
    if (s === Number.NEGATIVE_INFINITY && chosen.has(b)) expect.fail(`${where}: block ${b} is forbidden`);
  });
  const allowed = scores.map((_, b) => b).filter((b) => scores[b] !== Number.NEGATIVE_INFINITY);
  const least = Math.min(...list.map((b) => scores[b] as number));
  for (const b of allowed)
    if (!chosen.has(b) && (scores[b] as number) > least + slack)
      expect.fail(`${where}: block ${b} has ${scores[b]}, above the chosen ${least}`);
  if ("k" in take) return void expect(list.length, where).toBe(Math.min(take.k, allowed.length));
  const sum = (of: number[]) => of.reduce((all, b) => all + (scores[b] as number), 0);
  const needed = take.share * sum(allowed);
  expect(sum(list), `${where}: mass`).toBeGreaterThanOrEqual(needed - slack);
  if (list.length) expect(sum(list) - least, `${where}: fewest`).toBeLessThan(needed + slack);
}

async function checkLists(c: SelectCase, size: Size, dtype: FloatDType = "float32", layout: Layout = "dense") {
  const { q, k } = inputs(size, dtype);
  const pattern = c.selector.select(tensorOf(q, dtype, layout), tensorOf(k, dtype, layout));
  const list = await listsOf(pattern, size.numHeads);
  for (let b = 0; b < (size.batch ?? 1); b++)
    for (let h = 0; h < size.numHeads; h++)
      for (let i = (b + h) % 3; i < size.seqLenQ; i += 3)
        checkChoice(list(b, h, i), c.row(q, k, b, h, i), `batch ${b}, head ${h}, query ${i}`);
}

const golden = JSON.parse(readFileSync(new URL("../fixtures/golden-select.json", import.meta.url), "utf8"));
function goldenInputs() {
  const wave = (f: (i: number, j: number) => number): Values => ({
    shape: [1, 16, 1, 4],
    data: Float64Array.from({ length: 64 }, (_, x) => f(Math.floor(x / 4), x % 4)),
  });
  return {
    q: wave((i, j) => Math.sin(1 + 0.37 * i + 1.13 * j)),
    k: wave((i, j) => Math.sin(2 + 0.53 * i + 0.71 * j)),
    v: wave((i, j) => Math.cos(0.3 + 0.19 * i + 0.47 * j)),
  };
}

describeOnIsa(`selections on ${isa}`, () => {
  for (const c of selectCases) {
    for (const { name, size, dtype, layout } of selectSizes)
      it(`${c.name}: ${name}, ${dtype}`, () => checkLists(c, size, dtype, layout));
    it(`${c.name}: what is visible, and attention under it`, async () => {
      for (const size of visibleSizes) {
        const { seqLenQ, seqLenKV } = size;
        const given = inputs(size);
        const pattern = c.selector.select(tensorOf(given.q, "float32"), tensorOf(given.k, "float32"));
        const list = await listsOf(pattern, 2);
        let pairs = 0;
        for (let i = 0; i < seqLenQ; i++) {
          const chosen = new Set(list(0, 1, i));
          for (let j = 0; j < seqLenKV; j++) {
            const seen = chosen.has(Math.floor(j / c.blockKV)) || j < (c.initial ?? 0);
            const wanted = seen && (!c.causal || j <= i + seqLenKV - seqLenQ);
            if (pattern.visible(i, j, { head: 1 }) !== wanted) expect.fail(`query ${i}, key ${j}: not ${wanted}`);
            pairs += Number(wanted);
          }
        }
        expect(pattern.allowedPairs(seqLenQ, seqLenKV, { head: 1 })).toBe(pairs);
        await checkVisible(pattern, given);
      }
    });
  }

  it("many blocks and rows: the same for any number of threads, and right", async () => {
    const size = { seqLenQ: 210, seqLenKV: 210, numHeads: 4, numKVHeads: 2, headDim: 8 };
    const { q, k } = inputs(size);
    const [tq, tk] = [tensorOf(q, "float32"), tensorOf(k, "float32")];
    for (const name of ["nearest keys", "Quest, both ways", "NSA, overlapping compressed keys", "XAttention"]) {
      const c = selectCases.find((one) => one.name === name) as SelectCase;
      const bits: Float64Array[] = [];
      for (const threads of [1, 3]) {
        setThreads(threads);
        bits.push(await read(listsIn(c.selector.select(tq, tk).spec({ seqLenQ: 210, seqLenKV: 210 })).columns));
      }
      setThreads(0);
      expect(bits[0]).toEqual(bits[1]);
      const list = await listsOf(c.selector.select(tq, tk), 4);
      for (const i of [0, 50, 130, 209]) checkChoice(list(0, 3, i), c.row(q, k, 0, 3, i), `${name}, query ${i}`);
    }
  });

  const large = 1000;
  const whole: [string, Selector][] = [
    ["Quest", patterns.quest({ pageSize: 4, tokenBudget: 61 })],
    ["MoBA", patterns.moba({ chunkSize: 4, topK: large })],
    ["NSA", patterns.nsa({ blockSize: 4, compressBlock: 4, compressStride: 2, topBlocks: large })],
    ["InfLLM", patterns.infLlm({ blockSize: 4, topK: large, local: 5, initial: 3, queryBlock: 7 })],
    ["InfLLM, short", patterns.infLlm()],
    ["MInference, block-sparse", patterns.minferenceBlocks({ blockSize: 4, topK: large })],
    ["XAttention", patterns.xAttention({ stride: 2, blockSize: 8, threshold: 1 })],
    ["nearest keys", patterns.topKeys({ k: large })],
    ["vertical", patterns.verticalSlash({ vertical: large })],
    ["slash", patterns.verticalSlash({ slash: large, blockSize: 1 })],
  ];
  for (const [name, selector] of whole)
    it(`${name}: a budget for all is dense causal attention`, () => {
      const size = { seqLenQ: 61, seqLenKV: 61, numHeads: 2, numKVHeads: 1, headDim: 4 };
      const { q, k } = inputs(size);
      const pattern = selector.select(tensorOf(q, "float32"), tensorOf(k, "float32"));
      for (const head of [0, 1]) expect(pattern.allowedPairs(61, 61, { head })).toBe((61 * 62) / 2);
    });

  it("Quest: a page's bound is no less than any score in it, and a prefill chooses as decoding does", async () => {
    const { q, k } = inputs({ seqLenQ: 40, seqLenKV: 40, numHeads: 1, numKVHeads: 1, headDim: 9 });
    const { q: rows, k: keys } = reference.headOf(q, k, 0, 0);
    for (const row of rows)
      for (let page = 0; page < 10; page++) {
        const members = keys.slice(4 * page, 4 * page + 4);
        const best = Math.max(...members.map((key) => reference.dot(row, key)));
        expect(reference.bound(row, members)).toBeGreaterThanOrEqual(best - 1e-12);
      }
    const selector = patterns.quest({ pageSize: 4, tokenBudget: 12 });
    const [tq, tk] = [tensorOf(q, "float32"), tensorOf(k, "float32")];
    const all = await listsOf(selector.select(tq, tk), 1);
    for (const i of [13, 22, 31, 39]) {
      const step = await listsOf(selector.select(tq.narrow(1, i, 1), tk.narrow(1, 0, i + 1)), 1);
      expect(step(0, 0, 0)).toEqual(all(0, 0, i));
    }
  });

  it("golden: moba_chunk4_top2, quest_page4_bounds, xattention_s2_block4_mass", async () => {
    const given = goldenInputs();
    const head = reference.headOf(given.q, given.k, 0, 0);
    const [q, k, v] = [given.q, given.k, given.v].map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
    const moba = patterns.moba({ chunkSize: 4, topK: 2 }).select(q, k);
    const list = await listsOf(moba, 1);
    const { out, selected } = golden.moba_chunk4_top2;
    for (let i = 0; i < 16; i++) {
      const wanted = [0, 1, 2, 3].filter((b) => selected[i][b] && 4 * b <= i);
      expect(list(0, 0, i)).toEqual(wanted);
    }
    const values = await read(flashAttention(q, k, v, { pattern: moba }));
    expect(Math.max(...out.flat().map((x: number, i: number) => Math.abs(x - (values[i] as number))))).toBeLessThan(
      1e-6,
    );

    const pages = patterns.quest({ pageSize: 4, tokenBudget: 0, minPages: 1, causal: false });
    const best = await listsOf(pages.select(q, k), 1);
    golden.quest_page4_bounds.ub.forEach((wanted: number[], i: number) => {
      const options = { pageSize: 4, tokenBudget: 0, minPages: 1, causal: false };
      const { scores } = reference.quest(head, i, options);
      for (const [b, x] of wanted.entries()) expect(Math.abs(x - (scores[b] as number))).toBeLessThan(2e-9);
      expect(best(0, 0, i)).toEqual([wanted.indexOf(Math.max(...wanted))]);
    });

    for (const threshold of [0.3, 0.6, 0.9]) {
      const options = { stride: 2, blockSize: 4, threshold };
      const kept = await listsOf(patterns.xAttention(options).select(q, k), 1);
      golden.xattention_s2_block4_mass.mass.forEach((wanted: number[], row: number) => {
        const mass = reference.xAttentionMass(head, 4 * row, {
          ...options,
          causal: true,
          keepSink: false,
          keepRecent: false,
        });
        for (const [b, x] of wanted.entries()) expect(Math.abs(x - (mass[b] as number))).toBeLessThan(2e-9);
        checkChoice(
          kept(0, 0, 4 * row),
          { scores: wanted.map((x, b) => (b > row ? Number.NEGATIVE_INFINITY : x)), take: { share: threshold } },
          `row ${row}`,
        );
      });
    }
  });

  it("XAttention: the first and the last block where they are asked for", async () => {
    const { q, k } = inputs({ seqLenQ: 90, seqLenKV: 90, numHeads: 2, numKVHeads: 2, headDim: 8 });
    const options = { stride: 2, blockSize: 8, threshold: 0.3, keepSink: true, keepRecent: true };
    const list = await listsOf(patterns.xAttention(options).select(tensorOf(q, "float32"), tensorOf(k, "float32")), 2);
    for (let i = 0; i < 90; i++) {
      expect(list(0, 1, i)).toContain(0);
      expect(list(0, 1, i)).toContain(Math.floor(i / 8));
    }
  });

  it("vertical and slash lines: the largest sums, the forced ones, and nothing beyond the rounded mask", async () => {
    for (const size of lineSizes) {
      const { seqLenQ, seqLenKV } = size;
      const given = inputs(size);
      const [q, k] = [tensorOf(given.q, "float32"), tensorOf(given.k, "float32")];
      const lines = { vertical: 9, slash: 12, lastQueries: 48, firstColumns: 3, nearDiagonals: 4 };
      const exact = patterns.verticalSlash({ ...lines, blockSize: 1 }).select(q, k);
      const rounded = patterns.verticalSlash({ ...lines, blockSize: 16 }).select(q, k);
      const [seen] = exact.spec({ seqLenQ, seqLenKV }).of as PatternSpec[] as [PatternSpec];
      const [columns, offsets] = await Promise.all((seen.of as PatternSpec[]).map((x) => read(x.columns as Tensor)));
      for (const head of [0, 1]) {
        const own = (x: Float64Array | undefined, n: number) =>
          Array.from((x as Float64Array).slice(head * n, head * n + n));
        const [vertical, slash] = [own(columns, 9), own(offsets, 12)];
        const sums = reference.lineSums(reference.headOf(given.q, given.k, 0, head), 48);
        const forced = (x: number[], n: number) => x.map((s, i) => (i < n ? Number.POSITIVE_INFINITY : s));
        checkChoice(vertical, { scores: forced(sums.columns, 3), take: { k: 9 } }, "columns");
        checkChoice(slash, { scores: forced(sums.diagonals, 4), take: { k: 12 } }, "diagonals");
        for (let i = 0; i < seqLenQ; i++) {
          const p = i + seqLenKV - seqLenQ;
          const [first, end] = [p - (p % 16), Math.min(p - (p % 16) + 16, seqLenKV)];
          for (let j = 0; j < seqLenKV; j++) {
            const line = vertical.includes(j) || slash.includes(p - j);
            const key = j - (j % 16);
            const touched = slash.some((o) => end - 1 - o >= key && first - o < key + 16);
            const place = { head, numHeads: 2 };
            if (exact.visible(i, j, place) !== (j <= p && line)) expect.fail(`exact: query ${i}, key ${j}`);
            if (rounded.visible(i, j, place) !== (j <= p && (vertical.includes(j) || touched)))
              expect.fail(`rounded: query ${i}, key ${j}`);
          }
        }
      }
      await checkVisible(exact, given);
      await checkVisible(rounded, given);
    }
  });

  it("vertical and slash lines from lists", async () => {
    const given = inputs({ seqLenQ: 70, seqLenKV: 70, numHeads: 2, numKVHeads: 1, headDim: 8 });
    const pattern = patterns.verticalSlash({ columns: [0, 9, 8], offsets: [33, 0, 5] });
    const whole = { seqLenQ: 70, seqLenKV: 70 };
    for (let i = 0; i < 70; i++)
      for (let j = 0; j < 70; j++) {
        const wanted = j <= i && ([0, 8, 9].includes(j) || [0, 5, 33].includes(i - j));
        if (pattern.visible(i, j, whole) !== wanted) expect.fail(`query ${i}, key ${j}`);
      }
    await checkVisible(pattern, given);
  });
});
