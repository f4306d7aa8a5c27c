// What is refused of lists of lengths and pages, at the call that gives them.
import { expect, it } from "vitest";
import { flashAttention, LongspanError, matmul, patterns, Tensor } from "../lib/index.js";

const q = new Tensor("float32", new Float32Array(2 * 8 * 2 * 4), [2, 8, 2, 4]);
const one = q.narrow(0, 0, 1);
const table = (data: number[], shape: number[]) => new Tensor("int32", data, shape);

function refused(options: object, x = one): string {
  try {
    flashAttention(x, x, x, options);
  } catch (error) {
    if (error instanceof LongspanError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "nothing was thrown";
}

it("sequences", () => {
  expect([
    refused({ cuSeqLensQ: [0, 3] }),
    refused({ cuSeqLensQ: [1, 8] }),
    refused({ cuSeqLensQ: [0, 5, 4, 8] }),
    refused({ cuSeqLensQ: [] }),
    refused({ cuSeqLensQ: [0, 8], cuSeqLensKV: [0, 4, 8] }),
    refused({ cuSeqLensQ: [0, 8] }, q),
    refused({ cuSeqLensQ: [0, 4, 8], bias: new Tensor("float32", new Float32Array(64), [8, 8]) }),
    refused({ seqLensKV: [9] }),
    refused({ seqLensKV: [-1] }),
    refused({ seqLensKV: [4, 4] }),
    refused({ blockTable: table([0, 1], [1, 2]) }, one.reshape([1, 8, 2, 4])),
    refused({ blockTable: table([0, 5], [1, 2]) }),
    refused({ blockTable: table([0], [1]) }),
    refused({ blockTable: new Tensor("float32", [0], [1, 1]) }),
    refused({ cuSeqLensQ: [0, 4, 8], pattern: patterns.bigBird({ blockSize: 2 }) }),
  ]).toMatchInlineSnapshot(`
    [
      "ERR_LONGSPAN_ARGUMENT flashAttention: cuSeqLensQ must ascend from 0 to the 8 rows there are, got 2 numbers from 0 to 3",
      "ERR_LONGSPAN_ARGUMENT flashAttention: cuSeqLensQ must ascend from 0 to the 8 rows there are, got 2 numbers from 1 to 8",
      "ERR_LONGSPAN_ARGUMENT flashAttention: cuSeqLensQ must ascend from 0 to the 8 rows there are, got 4 numbers from 0 to 8",
      "ERR_LONGSPAN_ARGUMENT flashAttention: cuSeqLensQ must ascend from 0 to the 8 rows there are, got 0 numbers",
      "ERR_LONGSPAN_ARGUMENT flashAttention: cuSeqLensKV must be for the 1 sequences of q, got 2",
      "ERR_LONGSPAN_ARGUMENT flashAttention: packed sequences have batch 1, got 2",
      "ERR_LONGSPAN_ARGUMENT flashAttention: packed sequences take no bias",
      "ERR_LONGSPAN_ARGUMENT flashAttention: seqLensKV[0] must be in [0, 8], the keys there is room for, got 9",
      "ERR_LONGSPAN_ARGUMENT flashAttention: seqLensKV[0] must be in [0, 8], the keys there is room for, got -1",
      "ERR_LONGSPAN_ARGUMENT flashAttention: seqLensKV must be for the 1 sequences of q, got 2",
      "ERR_LONGSPAN_ARGUMENT flashAttention: blockTable[0, 1] must be in [0, 1), got 1",
      "ERR_LONGSPAN_ARGUMENT flashAttention: blockTable[0, 1] must be in [0, 1), got 5",
      "ERR_LONGSPAN_SHAPE flashAttention: blockTable must be [batch, blocks], got [1]",
      "ERR_LONGSPAN_DTYPE flashAttention: blockTable must be int32, got float32",
      "ERR_LONGSPAN_ARGUMENT flashAttention: this pattern depends on the length of its sequence: call it for each sequence by itself",
    ]
  `);
});

it("pages that only the stream knows: the op rejects, and the next one works", async () => {
  const long = new Tensor("float32", new Float32Array(1 << 20), [1024, 1024]);
  matmul(long, matmul(long, long)); // the stream is at work, so that the conversion waits
  const wrong = new Tensor("int64", [0n, 7n] as never, [1, 2]).to("int32");
  // Where this thread is held up for longer than that, the call itself refuses.
  const attended = async () => (flashAttention(one, one, one, { blockTable: wrong }) as Tensor).data();
  await expect(attended()).rejects.toThrow(/blockTable\[0, 1\] must be in \[0, 1\), got 7/);
  expect(await (flashAttention(one, one, one) as Tensor).data()).toHaveLength(64);
});
