// Sequences of their own lengths in one call: packed, padded, paged. Each equals a call by itself, and garbage around it
// (NaN in unused pages and pads) is never read.
import { expect, it } from "vitest";
import { flashAttention, patterns, Tensor } from "../../lib/index.js";
import { patternCases } from "../cases/patterns.mjs";
import { packedLengths, paddedLengths, pagedLengths, pageSizes, sequenceCases } from "../cases/sequences.mjs";
import { headsOf } from "../support/attention.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

const bounds = [0];
for (const length of packedLengths) bounds.push((bounds.at(-1) as number) + length);
const total = bounds.at(-1) as number;
const dim = 24;

function tensors(seed: number, shapeQ: number[], shapeKV: number[]) {
  const next = random(seed);
  return [shapeQ, shapeKV, shapeKV].map((shape) => tensorOf(randomValues(next, shape, "float32"), "float32")) as [
    Tensor,
    Tensor,
    Tensor,
  ];
}

async function same(actual: Tensor, wanted: Tensor): Promise<void> {
  expect(actual.shape).toEqual(wanted.shape);
  const [a, b] = [await read(actual), await read(wanted)];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    if (!(x === y || Math.abs(x - y) <= 2e-6)) expect.fail(`element ${i}: ${x}, not ${y}`);
  }
}

describeOnIsa(`sequences on ${isa}`, () => {
  for (const { name, options, alibi, numHeads } of sequenceCases(patterns)) {
    const numKVHeads = headsOf({ numHeads }).numKVHeads;
    const slopes = new Tensor("float32", [0.5, 0.25, 0.1, 0], [4]);
    const given = { ...options, ...(alibi ? { alibiSlopes: slopes } : {}), returnLse: false as const };
    it(`packed: ${name}`, async () => {
      const [q, k, v] = tensors(1, [1, total, numHeads, dim], [1, total, numKVHeads, dim]);
      const packed = flashAttention(q, k, v, { ...given, cuSeqLensQ: bounds as never, returnLse: true });
      for (const [s, n] of packedLengths.entries()) {
        const own = (x: Tensor, axis = 1) => x.narrow(axis, bounds[s] as number, n);
        const alone = flashAttention(own(q), own(k), own(v), { ...given, returnLse: true });
        await same(own(packed.out), alone.out);
        await same(own(packed.lse, 2), alone.lse);
      }
    });
    it(`padded, queries at the end of what is there: ${name}`, async () => {
      const present = paddedLengths;
      const [q, k, v] = tensors(2, [3, 5, numHeads, dim], [3, 40, numKVHeads, dim]);
      const out = flashAttention(q, k, v, { ...given, seqLensKV: present as never });
      for (const [s, n] of present.entries()) {
        const own = (x: Tensor, rows: number) => x.narrow(0, s, 1).narrow(1, 0, rows);
        await same(own(out, 5), flashAttention(own(q, 5), own(k, n), own(v, n), given) as Tensor);
      }
    });
    for (const pageSize of pageSizes)
      it(`paged, ${pageSize} keys a page: ${name}`, async () => {
        const present = pagedLengths;
        const blocks = Math.ceil(40 / pageSize);
        const numPages = 2 * blocks + 3;
        const [q, k, v] = tensors(3, [2, 6, numHeads, dim], [2, 40, numKVHeads, dim]);
        const order = Array.from({ length: numPages }, (_, i) => (i * 7 + 2) % numPages); // pages anywhere
        const table = new Int32Array(2 * blocks).fill(-1);
        const pages = [k, v].map(() => new Float32Array(numPages * pageSize * numKVHeads * dim).fill(Number.NaN));
        for (const [t, x] of [k, v].entries()) {
          const values = await read(x);
          const row = numKVHeads * dim;
          for (const [s, n] of present.entries())
            for (let key = 0; key < n; key++) {
              const block = Math.floor(key / pageSize);
              const page = order[s * blocks + block] as number;
              table[s * blocks + block] = page;
              const from = (s * 40 + key) * row;
              (pages[t] as Float32Array).set(
                values.subarray(from, from + row),
                (page * pageSize + (key % pageSize)) * row,
              );
            }
        }
        const shape = [numPages, pageSize, numKVHeads, dim];
        const [pagedK, pagedV] = pages.map((data) => new Tensor("float32", data, shape)) as [Tensor, Tensor];
        const out = flashAttention(q, pagedK, pagedV, {
          ...given,
          blockTable: new Tensor("int32", table, [2, blocks]),
          seqLensKV: present as never,
        });
        for (const [s, n] of present.entries()) {
          const own = (x: Tensor, rows: number) => x.narrow(0, s, 1).narrow(1, 0, rows);
          await same(own(out, 6), flashAttention(own(q, 6), own(k, n), own(v, n), given) as Tensor);
        }
      });
  }

  it("a pattern that the length decides is refused", () => {
    const x = new Tensor("float32", new Float32Array(80), [1, 20, 2, 2]);
    const pages = new Tensor(
      "int32",
      Int32Array.from({ length: 20 }, (_, i) => i),
      [1, 20],
    );
    const forms = [{ cuSeqLensQ: [0, 9, 20] }, { seqLensKV: [20] }, { blockTable: pages }] as object[];
    for (const { pattern, name, byLength } of patternCases(patterns, "small")) {
      expect(pattern.facts.byLength ?? false, name).toBe(byLength);
      if (!byLength) continue;
      for (const form of forms) {
        const keys = "blockTable" in form ? x.reshape([20, 1, 2, 2]) : x;
        expect(() => flashAttention(x, keys, keys, { pattern, ...form })).toThrow(/depends on the length/);
      }
    }
  });

  const [numHeads, numKVHeads] = [4, 2];
  it("packed without a batch axis, keys of other lengths, lists still being computed", async () => {
    const [q, k, v] = tensors(4, [1, total, numHeads, dim], [1, 60, numKVHeads, dim]);
    const flat = (x: Tensor) => x.reshape(x.shape.slice(1));
    const keyBounds = [0, 10, 10, 40, 45, 60];
    const pending = (list: number[]) => new Tensor("int64", list as never, [list.length]).to("int32");
    const { out, lse } = flashAttention(flat(q), flat(k), flat(v), {
      causal: true,
      cuSeqLensQ: pending(bounds),
      cuSeqLensKV: pending(keyBounds),
      returnLse: true,
    });
    expect([out.shape, lse.shape]).toEqual([
      [total, numHeads, dim],
      [numHeads, total],
    ]);
    for (const [s, n] of packedLengths.entries()) {
      const first = keyBounds[s] as number;
      const keys = (x: Tensor) => x.narrow(1, first, (keyBounds[s + 1] as number) - first);
      const alone = flashAttention(q.narrow(1, bounds[s] as number, n), keys(k), keys(v), { causal: true });
      await same(out.narrow(0, bounds[s] as number, n), flat(alone as Tensor));
    }
  });
});
