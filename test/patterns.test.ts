// The patterns against definitions written from the papers; questions, pictures, and what is refused.
import { describe, expect, it } from "vitest";
import { ArgumentError, flashAttention, type Pattern, patterns, scope, Tensor } from "../lib/index.js";
import { multiplicity, patternCases } from "./cases/patterns.mjs";
import { fixture, readJson } from "./models/fixtures.js";
import { attention } from "./reference/attention.js";
import type { Values } from "./support/tensors.js";

describe("patterns are what their papers say", () => {
  for (const c of patternCases(patterns, "small"))
    it(c.name, () => {
      const { numHeads, seqLen: n } = c;
      for (const [seqLenQ, seqLenKV] of [
        [n, n],
        [37, n],
        [1, n],
      ] as const) {
        const wanted = multiplicity(c, seqLenQ, seqLenKV);
        for (let head = 0; head < numHeads; head++) {
          let pairs = 0;
          for (let i = 0; i < seqLenQ; i++)
            for (let j = 0; j < seqLenKV; j++) {
              const times = c.pattern.multiplicity(i, j, { seqLenQ, seqLenKV, head, numHeads });
              pairs += times;
              if (times !== wanted(i, j, head))
                expect.fail(`query ${i} of ${seqLenQ}, key ${j}, head ${head}: ${times}, not ${wanted(i, j, head)}`);
            }
          expect(c.pattern.allowedPairs(seqLenQ, seqLenKV, { head, numHeads })).toBe(pairs);
        }
      }
    });
});

describe("golden numbers of an independent implementation", () => {
  const golden = readJson<Record<string, number[][]>>(fixture("golden-patterns.json"));
  const [n, dim] = [16, 4];
  const at = (f: (i: number, j: number) => number) =>
    Float64Array.from({ length: n * dim }, (_, x) => f(Math.floor(x / dim), x % dim));
  const q = at((i, j) => Math.sin(1 + 0.37 * i + 1.13 * j));
  const k = at((i, j) => Math.sin(2 + 0.53 * i + 0.71 * j));
  const v = at((i, j) => Math.cos(0.3 + 0.19 * i + 0.47 * j));
  const longNet = (headOffset: "mod" | "block") =>
    patterns.dilated({ segments: [4, 8, 16], rates: [1, 2, 4], causal: true, headOffset });
  const cases: Record<string, { pattern: Pattern; head?: number; numHeads?: number }> = {
    attention_chunk_5_causal: { pattern: patterns.chunks({ size: 5 }) },
    longnet_w4_8_16_r1_2_4_head5of8_mod_causal: { pattern: longNet("mod"), head: 5, numHeads: 8 },
    longnet_w4_8_16_r1_2_4_head5of8_block_causal: { pattern: longNet("block"), head: 5, numHeads: 8 },
    s2attn_shifted_G4_nowrap: { pattern: patterns.longLora({ group: 4, numHeads: 2 }), head: 1, numHeads: 2 },
    strided_l4_union: { pattern: patterns.sparseStrided({ stride: 4 }) },
    fixed_l4_c1_union: { pattern: patterns.sparseFixed({ stride: 4, summary: 1 }) },
  };
  for (const [name, { pattern, head = 0, numHeads = 1 }] of Object.entries(cases))
    it(name, async () => {
      const wanted = (golden[name] as number[][]).flat();
      const place = { seqLenQ: n, seqLenKV: n, head, numHeads };
      const shape = [1, n, 1, dim];
      const allows = (i: number, j: number) => pattern.multiplicity(i, j, place);
      const rows = (data: Float64Array): Values => ({ data, shape });
      const exact = attention(rows(q), rows(k), rows(v), { allows, scale: 0.5 });
      for (const [i, x] of wanted.entries()) expect(Math.abs((exact.out[i] as number) - x)).toBeLessThan(1e-9);
      const heads = [q, k, v].map((data) => {
        const all = new Float32Array(n * numHeads * dim);
        for (let i = 0; i < n; i++)
          for (let h = 0; h < numHeads; h++) all.set(data.subarray(i * dim, (i + 1) * dim), (i * numHeads + h) * dim);
        return new Tensor("float32", all, [1, n, numHeads, dim]);
      }) as [Tensor, Tensor, Tensor];
      const out = await flashAttention(...heads, { pattern, returnLse: false })
        .narrow(2, head, 1)
        .data();
      for (const [i, x] of wanted.entries()) expect(Math.abs((out[i] as number) - x)).toBeLessThan(1e-6);
    });
});

describe("questions", () => {
  it("visible and density at lengths of their own", () => {
    expect(patterns.causal().visible(3, 3)).toBe(true);
    expect(patterns.causal().visible(3, 4)).toBe(false);
    expect(patterns.causal().visible(0, 5, { seqLenQ: 1, seqLenKV: 6 })).toBe(true);
    expect(patterns.causal().density(4)).toBe(10 / 16);
    expect(patterns.full().density(0)).toBe(0);
  });
  it("every seed has its random blocks, and the same each time", () => {
    const make = (seed: number) => patterns.bigBird({ blockSize: 4, seed, numHeads: 2 });
    const rows = (seed: number, head: number) =>
      Array.from({ length: 200 }, (_, j) => make(seed).visible(100, j, { seqLenQ: 200, seqLenKV: 200, head }));
    expect(rows(1, 0)).toEqual(rows(1, 0));
    expect(rows(1, 0)).not.toEqual(rows(2, 0));
    expect(rows(1, 0)).not.toEqual(rows(1, 1));
    expect(rows(1, 0).filter(Boolean)).toHaveLength(4 * (3 + 2 + 3));
  });
  it("pictures", () => {
    const svg = patterns.dilated({ segments: [4, 8], rates: [1, 2], causal: true }).toSvg({ seqLen: 8 });
    expect(svg).toMatchInlineSnapshot(
      `"<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 50 50" role="img"><title>dilated (LongNet) attention, 8 queries by 8 keys</title><rect width="48" height="48" fill="#f4f6f8" stroke="#9aa5b1"/><path d="M0 0h6v6h-6zM0 12h6v6h-6zM12 12h6v6h-6zM24 24h6v6h-6zM24 36h6v6h-6zM36 36h6v6h-6z" fill="#1f4e79" fill-opacity="1.00"/><path d="M0 6h12v6h-12zM6 12h6v6h-6zM0 18h24v6h-24zM0 24h6v6h-6zM12 24h6v6h-6zM24 30h12v6h-12zM0 36h6v6h-6zM12 36h6v6h-6zM30 36h6v6h-6zM24 42h24v6h-24z" fill="#1f4e79" fill-opacity="0.73"/></svg>"`,
    );
  });
});

describe("patterns live on", () => {
  const make = () => new Tensor("float32", Float32Array.from({ length: 96 }, Math.sin), [1, 12, 2, 4]);
  const kinds = {
    blocks: () => patterns.blocks({ blockSize: 4, allowed: (q, kv) => q >= kv }),
    "blocks of an int32 tensor": () =>
      patterns.blocks({ blockSize: 6, allowed: new Tensor("int32", [1, 0, 1, 1], [2, 2]) }),
    tree: () => patterns.tree({ parents: [-1, 0, 0] }),
    verticalSlash: () => patterns.verticalSlash({ columns: [0], offsets: [0, 1] }),
  };
  for (const [name, factory] of Object.entries(kinds))
    it(`${name}: beyond the scope they were made or first used in`, async () => {
      const q = make();
      const pattern = scope(() => {
        const made = factory();
        flashAttention(q, q, q, { pattern: made });
        return { made };
      }).made;
      const first = scope(() => flashAttention(q, q, q, { pattern, returnLse: false }));
      const again = flashAttention(q, q, q, { pattern, returnLse: false });
      expect(await again.data()).toEqual(await first.data());
    });
});

describe("what is refused", () => {
  const refused = (make: () => unknown) => {
    try {
      make();
    } catch (error) {
      if (error instanceof ArgumentError) return `${error.argument}: ${error.message}`;
      throw error;
    }
    return "nothing was thrown";
  };
  const x = new Tensor("float32", new Float32Array(64), [1, 8, 2, 4]);
  it("parameters that mean nothing, at the factory", () => {
    expect([
      refused(() => patterns.window({ before: -1 })),
      refused(() => patterns.chunks({ size: 0 })),
      refused(() => patterns.chunks({ size: 4, shift: 4 })),
      refused(() => patterns.dilated({ segments: [8, 16], rates: [1] })),
      refused(() => patterns.dilated({ segments: [8], rates: [16] })),
      refused(() => patterns.dilated({ segments: [8, 12], rates: [1, 2] })),
      refused(() => patterns.dilatedWindow({ rate: 0, before: 3 })),
      refused(() => patterns.sparseFixed({ stride: 4, summary: 5 })),
      refused(() => patterns.documents({ lengths: [3, -1] })),
      refused(() => patterns.tree({ parents: [0] })),
      refused(() => patterns.longformer({ window: 2, globals: [-3] })),
      refused(() => patterns.bigBird({ windowBlocks: 2 })),
      refused(() => patterns.blockBert({ permutations: [[0, 2]] })),
      refused(() => patterns.longLora({ group: 5, numHeads: 4 })),
      refused(() => patterns.union()),
      refused(() => patterns.blocks({ blockSize: 0, allowed: () => true })),
      refused(() => patterns.blocks({ blockSize: 2 })),
      refused(() => patterns.window({ before: 1, befor: 2 } as never)),
    ]).toMatchInlineSnapshot(`
      [
        "before: pattern: before must not be negative, got -1",
        "size: pattern: size must be at least 1, got 0",
        "shift: pattern: shift must be below size = 4, got 4",
        "rates: pattern: segments and rates must be as many, and at least one: got 2 and 1",
        "rates: pattern: rate 16 is above its segment of 8",
        "segments: pattern: every segment must divide the next longer one: 8 does not divide 12",
        "rate: pattern: rate must be at least 1, got 0",
        "first: pattern: first must not be negative, got -1",
        "lengths: documents: lengths must be a list of lengths, none of them negative",
        "parents: tree: parents[0] must be −1 or an earlier node, got 0",
        "globals: longformer: globals must be positions, integers from 0 on, got -3",
        "windowBlocks: bigBird: windowBlocks must be odd, got 2",
        "permutations: blockBert: expected a permutation of 0 … n − 1, got [0,2]",
        "group: longLora: group must be even, got 5",
        "patterns: union: expected at least one pattern made by \`patterns\`",
        "blockSize: blocks: expected an integer at least 1 and at most 1073741824 for blockSize, got 0",
        "allowed: blocks: expected a function, a matrix or a tensor for allowed, got undefined",
        "befor: window: unknown option "befor"; did you mean "before"? It takes before, after",
      ]
    `);
  });
  it("what does not fit a call, at the call", () => {
    const call = (pattern: ReturnType<typeof patterns.full>) => refused(() => flashAttention(x, x, x, { pattern }));
    expect([
      call(patterns.perHead(patterns.causal(), patterns.full(), patterns.full())),
      call(patterns.blocks({ blockSize: 4, rowStart: [0, 1, 2], columns: [0, 7] })),
      call(patterns.blocks({ blockSize: 4, rowStart: [0, 2, 3], columns: [1, 0, 1] })),
      call(patterns.blocks({ blockSize: 4, rowStart: [0, 1, 5], columns: [0, 1] })),
      call(patterns.blocks({ blockSize: 4, allowed: [[true]] })),
      call(patterns.blocks({ blockSize: 4, allowed: new Tensor("uint8", [1], [1, 1]) })),
      call(patterns.blocks({ blockSize: 4, causal: false, allowed: () => "partial" })),
      call(patterns.blocks({ blockSize: 4, allowed: () => "half" as never })),
      call(patterns.bigBird({ blockSize: 2, table: [[[], [9], [], []]] })),
    ]).toMatchInlineSnapshot(`
      [
        "pattern: flashAttention: pattern is for 3 heads, the call has numHeads = 2",
        "columns: flashAttention: row 1 lists block 7, the keys have 2 blocks",
        "columns: flashAttention: columns of row 0 must be ascending blocks, got 0",
        "rowStart: flashAttention: rowStart must end within the 2 columns",
        "allowed: blocks: allowed has no entry for block (0, 1) of this call",
        "allowed: blocks: allowed is 1 by 1 blocks, this call has 2 by 2",
        "within: blocks: with causal: false a "partial" block needs within, to say which pairs are seen",
        "allowed: blocks: allowed must give "none", "partial", "full" or a boolean, got "half" for block (0, 0)",
        "table: bigBird: table[0][1] must list blocks in [0, 4), got [9]",
      ]
    `);
  });
});
