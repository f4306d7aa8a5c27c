// Selections by content: what is refused, at the factory and at the call.
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  DTypeError,
  flashAttention,
  LongspanError,
  patterns,
  ShapeError,
  Tensor,
} from "../lib/index.js";

const zeros = (...shape: number[]) =>
  new Tensor(
    "float32",
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0),
    shape,
  );
function refused(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    if (error instanceof LongspanError) return `${(error as ArgumentError).argument}: ${error.message}`;
    throw error;
  }
  return "nothing was thrown";
}

describe("selections", () => {
  it("refuse parameters that mean nothing, at the factory", () => {
    expect([
      refused(() => patterns.quest({} as never)),
      refused(() => patterns.quest({ tokenBudget: 64, pageSize: 0 })),
      refused(() => patterns.quest({ tokenBudgt: 64 } as never)),
      refused(() => patterns.moba({ chunkSize: 4, topK: 0 })),
      refused(() => patterns.moba({ chunkSize: 4, topK: 2, causal: 1 as never })),
      refused(() => patterns.nsa({ compressStride: 12 })),
      refused(() => patterns.nsa({ topBlocks: 2 })),
      refused(() => patterns.infLlm({ local: 0 })),
      refused(() => patterns.minferenceBlocks({ topK: 1.5 })),
      refused(() => patterns.xAttention({ threshold: 1.1 })),
      refused(() => patterns.xAttention({ stride: 5 })),
      refused(() => patterns.topKeys({ k: Number.NaN })),
      refused(() => patterns.verticalSlash({ lastQueries: 0 })),
      refused(() => patterns.verticalSlash({ columns: [0], offsets: [-1] })),
      refused(() => patterns.verticalSlash({ columns: [0] } as never)),
    ]).toMatchInlineSnapshot(`
      [
        "tokenBudget: quest: expected a number for tokenBudget, got undefined",
        "pageSize: quest: expected an integer at least 1 and at most 1073741824 for pageSize, got 0",
        "tokenBudgt: quest: unknown option "tokenBudgt"; did you mean "tokenBudget"? It takes pageSize, tokenBudget, minPages, causal",
        "topK: moba: expected an integer at least 1 and at most 1073741824 for topK, got 0",
        "causal: moba: expected true or false for causal, got 1",
        "compressStride: nsa: expected a divisor of 32 and 64 for compressStride, got 12",
        "topBlocks: nsa: expected at least the 3 forced blocks for topBlocks, got 2",
        "local: infLlm: expected an integer at least 1 and at most 1073741824 for local, got 0",
        "topK: minferenceBlocks: expected an integer at least 1 and at most 1073741824 for topK, got 1.5",
        "threshold: xAttention: expected a number at least 0 and at most 1 for threshold, got 1.1",
        "stride: xAttention: expected a divisor of 128 for stride, got 5",
        "k: topKeys: expected an integer at least 1 and at most 1073741824 for k, got NaN",
        "lastQueries: verticalSlash: expected an integer at least 1 and at most 1024 for lastQueries, got 0",
        "offsets: verticalSlash: expected a list of integers from 0 on for offsets, got an array of 1",
        "offsets: verticalSlash: expected a list of integers from 0 on for offsets, got undefined",
      ]
    `);
  });

  it("refuse tensors that do not fit", () => {
    const selector = patterns.moba({ chunkSize: 4, topK: 2 });
    expect(() => selector.select(zeros(1, 8, 2, 4), zeros(1, 8, 2, 3))).toThrow(ShapeError);
    expect(() => selector.select(zeros(1, 8, 3, 4), zeros(1, 8, 2, 4))).toThrow(ShapeError);
    expect(() => selector.select(zeros(1, 8, 2, 4), zeros(1, 8, 2, 4).to("bfloat16"))).toThrow(DTypeError);
    expect(() => selector.select(zeros(1, 8, 4), zeros(1, 8, 2, 4))).toThrow(ShapeError);
    expect(() => selector.select(zeros(1, 1, 1, 257), zeros(1, 1, 1, 257))).toThrow("headDim must be in [1, 256]");
  });

  it("fit one call: this batch, these heads and lengths", () => {
    const x = zeros(2, 8, 4, 4);
    const pattern = patterns.moba({ chunkSize: 4, topK: 1 }).select(x, x);
    const call = (y: Tensor) => refused(() => flashAttention(y, y, y, { pattern }));
    expect(call(x)).toBe("nothing was thrown");
    expect([
      call(zeros(2, 9, 4, 4)),
      call(zeros(3, 8, 4, 4)),
      call(zeros(2, 8, 2, 4)),
      refused(() => pattern.visible(0, 0, { batch: 2 })),
      refused(() => flashAttention(x, x, x, { pattern: patterns.moba({ chunkSize: 4, topK: 1 }) as never })),
    ]).toMatchInlineSnapshot(`
      [
        "pattern: pattern: it was made for seqLenQ = 8 and seqLenKV = 8, not for 9 and 9",
        "pattern: flashAttention: pattern is for batch 2 and 4 heads, the call has batch 3 and numHeads = 4",
        "pattern: flashAttention: pattern is for batch 2 and 4 heads, the call has batch 2 and numHeads = 2",
        "batch: pattern: batch must be below 2, got 2",
        "pattern: flashAttention: this pattern depends on content: give what its select(q, k) returns",
      ]
    `);
    expect(pattern.toSvg()).toContain("<title>MoBA attention, 8 queries by 8 keys</title>");
    expect(pattern.density(8, 8, { head: 3, batch: 1 })).toBe((2 * 10) / 64);
    expect(() => patterns.union(pattern, patterns.window({ before: 2 })).spec({ seqLenQ: 9, seqLenKV: 9 })).toThrow(
      ArgumentError,
    );
  });

  it("of nothing are nothing", async () => {
    const [q, k] = [zeros(1, 0, 2, 4), zeros(1, 8, 2, 4)];
    const selectors = [
      patterns.quest({ tokenBudget: 16 }),
      patterns.nsa(),
      patterns.infLlm(),
      patterns.xAttention(),
      patterns.topKeys({ k: 3 }),
      patterns.verticalSlash(),
    ];
    for (const selector of selectors) {
      expect((await flashAttention(q, k, k, { pattern: selector.select(q, k) }).data()).length).toBe(0);
      const out = flashAttention(k, q, q, { pattern: selector.select(k, q) });
      expect((await out.data()).every((x) => x === 0)).toBe(true);
    }
  });
});
