// What the papers of Linformer, Luna, H-Transformer-1D and landmark attention promise, and golden numbers of independent
// code. The comparison on every instruction set is in test/isa.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  flashAttention,
  hierarchicalAttention,
  landmarkAttention,
  linformerAttention,
  lunaAttention,
  memory,
  setThreads,
  Tensor,
} from "../lib/index.js";
import * as reference from "./reference/compressed-attention.js";
import { distance } from "./support/compare.js";
import { random } from "./support/random.js";
import { randomValues, read, tensorOf, type Values } from "./support/tensors.js";

const golden = JSON.parse(
  readFileSync(new URL("fixtures/golden-compressed-attention.json", import.meta.url), "utf8"),
) as { cases: Record<string, { out: number[][] }> };
const table = (shape: number[], f: (i: number, j: number) => number): Values => {
  const width = shape.at(-1) as number;
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float64Array.from({ length: size }, (_, at) => f(Math.floor(at / width), at % width)) };
};
const inputs = {
  q: table([1, 16, 1, 4], (i, j) => Math.sin(1 + 0.37 * i + 1.13 * j)),
  k: table([1, 16, 1, 4], (i, j) => Math.sin(2 + 0.53 * i + 0.71 * j)),
  v: table([1, 16, 1, 4], (i, j) => Math.cos(0.3 + 0.19 * i + 0.47 * j)),
};
const projectionK = table([16, 5], (i, j) => Math.cos(0.2 + 0.31 * i + 0.77 * j) / 4);
const extra = table([3, 1, 4], (i, j) => Math.sin(0.4 + 0.6 * i + 1.1 * j));
const scale = 0.5;
type Run = (q: Tensor, k: Tensor, v: Tensor) => Tensor;
type Reference = (q: Values, k: Values, v: Values) => Float64Array;

const named: Record<string, { run: Run; dense: Reference; defined?: (row: number) => boolean }> = {
  linformer_k5_sharedE: {
    run: (q, k, v) => linformerAttention(q, k, v, { projectionK: tensorOf(projectionK, "float32") }),
    dense: (q, k, v) => reference.linformer(q, k, v, { projectionK, scale }),
  },
  luna_causal_l3: {
    run: (q, k, v) => lunaAttention(q, k, v, { extra: tensorOf(extra, "float32"), causal: true }),
    dense: (q, k, v) => reference.lunaCausal(q, k, v, { extra, scale }),
  },
  h1d_Nr2_causal: {
    run: (q, k, v) => hierarchicalAttention(q, k, v, { blockSize: 2, causal: true, coarsenQueries: true }),
    dense: (q, k, v) => reference.hierarchical(q, k, v, { blockSize: 2, causal: true, coarsenQueries: true, scale }),
  },
  h1d_Nr2_full: {
    run: (q, k, v) => hierarchicalAttention(q, k, v, { blockSize: 2 }),
    dense: (q, k, v) => reference.hierarchical(q, k, v, { blockSize: 2, causal: false, coarsenQueries: true, scale }),
  },
  landmark_block4: {
    run: (q, k, v) => landmarkAttention(q, k, v, { blockSize: 4 }),
    dense: (q, k, v) => reference.landmark(q, k, v, { blockSize: 4, scale }),
    defined: (row) => row % 4 !== 3, // rows of landmarks are left out there
  },
};

describe("golden numbers of the specification", () => {
  for (const [name, { run, dense, defined = () => true }] of Object.entries(named))
    it(name, async () => {
      const expected = Float64Array.from(golden.cases[name]!.out.flat().filter((_, at) => defined(Math.floor(at / 4))));
      const rows = (x: Float64Array) => x.filter((_, at) => defined(Math.floor(at / 4)));
      expect(distance(rows(dense(inputs.q, inputs.k, inputs.v)), expected)).toBeLessThan(1e-9);
      const [q, k, v] = Object.values(inputs).map((x) => tensorOf(x, "float32")) as [Tensor, Tensor, Tensor];
      expect(distance(rows(await read(run(q, k, v))), expected)).toBeLessThan(1e-6);
    });
});

const next = random(1);
const make = (seqLen: number, heads = 2, dim = 16) =>
  tensorOf(randomValues(next, [1, seqLen, heads, dim], "float32"), "float32");
const constant = (value: number, shape: number[]) =>
  new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape);
async function close(a: Tensor, b: Tensor, within = 2e-6): Promise<void> {
  expect(distance(await read(a), await read(b))).toBeLessThan(within);
}

describe("linformerAttention", () => {
  it("with the identity as projections is dense", async () => {
    const [q, k, v] = [make(30, 4), make(23), make(23)];
    const identity = tensorOf(
      table([23, 23], (i, j) => Number(i === j)),
      "float32",
    );
    await close(linformerAttention(q, k, v, { projectionK: identity }), flashAttention(q, k, v));
  });
  it("uses the first rows of a longer projection", async () => {
    const [q, k, v] = [make(9), make(9), make(9)];
    const long = tensorOf(randomValues(next, [40, 6], "float32"), "float32");
    const out = linformerAttention(q, k, v, { projectionK: long });
    await close(out, linformerAttention(q, k, v, { projectionK: long.narrow(0, 0, 9) }), 1e-30);
  });
});

describe("lunaAttention", () => {
  it("packs and unpacks as two flashAttention calls do, and gives the packed sequence", async () => {
    const [q, k, v] = [make(30, 4), make(23), make(23)];
    const p = make(7, 2);
    const packed = flashAttention(p, k, v);
    const { out, extra } = lunaAttention(q, k, v, { extra: p, returnExtra: true });
    await close(extra, packed);
    await close(out, flashAttention(q, packed, packed));
  });
});

/** Rows of queries before `position` must not change when later keys, values and queries do. */
async function blindToLater(run: Run): Promise<void> {
  const n = 75;
  const [q, k, v] = [make(n), make(n), make(n)];
  const whole = await read(run(q, k, v));
  for (const position of [1, 8, 33, 64, 74]) {
    const changed = await Promise.all(
      [q, k, v].map(async (x) => {
        const data = await read(x);
        for (let at = position * 32; at < data.length; at++) data[at] = 3 - 2 * (data[at] as number);
        return tensorOf({ data, shape: x.shape }, "float32");
      }),
    );
    const out = await read(run(...(changed as [Tensor, Tensor, Tensor])));
    expect(out.subarray(0, position * 32)).toEqual(whole.subarray(0, position * 32));
    expect(out.subarray(position * 32)).not.toEqual(whole.subarray(position * 32));
  }
}
describe("the future changes nothing", () => {
  it("lunaAttention", () =>
    blindToLater((q, k, v) => lunaAttention(q, k, v, { extra: constant(0.3, [4, 2, 16]), causal: true })));
  it("hierarchicalAttention", () =>
    blindToLater((q, k, v) => hierarchicalAttention(q, k, v, { blockSize: 4, causal: true })));
  it("landmarkAttention", () => blindToLater((q, k, v) => landmarkAttention(q, k, v, { blockSize: 6 })));
  it("landmarkAttention, topK", () => blindToLater((q, k, v) => landmarkAttention(q, k, v, { blockSize: 6, topK: 3 })));
});

const forms = [
  { causal: false },
  { causal: false, coarsenQueries: false },
  { causal: true },
  { causal: true, coarsenQueries: true },
];
describe("hierarchicalAttention", () => {
  for (const form of forms)
    for (const blockSize of [1, 3, 16]) {
      const name = `${JSON.stringify(form)}, blocks of ${blockSize}`;
      it(`weights sum to 1 at any length: ${name}`, async () => {
        for (const n of [1, 7, 33, 100, 600]) {
          const ones = constant(1, [1, n, 2, 5]);
          await close(hierarchicalAttention(make(n), make(n), ones, { ...form, blockSize }), ones);
        }
      });
      it(`each key counts once: ${name}`, async () => {
        const n = 130;
        const [zeros, v] = [constant(0, [1, n, 2, 16]), make(n)];
        const out = hierarchicalAttention(zeros, zeros, v, { ...form, blockSize });
        await close(out, flashAttention(zeros, zeros, v, { causal: form.causal })); // means
      });
      it(`two blocks are dense: ${name}`, async () => {
        const n = 2 * blockSize;
        const [q, k, v] = [make(n, 4), make(n), make(n)];
        await close(
          hierarchicalAttention(q, k, v, { ...form, blockSize }),
          flashAttention(q, k, v, { causal: form.causal }),
        );
      });
    }
  for (const form of forms)
    it(`is exact where q and k are constant on the coarsest groups: ${JSON.stringify(form)}`, async () => {
      const [blockSize, groups] = [4, 8];
      const pieces = (x: Values): Values => ({
        shape: [1, 64, 1, 8],
        data: Float64Array.from({ length: 512 }, (_, at) => x.data[Math.floor(at / 64) * 8 + (at % 8)] as number),
      });
      const [q, k] = [0, 1].map(() => tensorOf(pieces(randomValues(next, [groups, 8], "float32")), "float32")) as [
        Tensor,
        Tensor,
      ];
      const v = make(64, 1, 8);
      await close(
        hierarchicalAttention(q, k, v, { ...form, blockSize }),
        flashAttention(q, k, v, { causal: form.causal }),
      );
    });
});

describe("landmarkAttention", () => {
  it("weights sum to 1, rows of landmarks too", async () => {
    for (const [n, blockSize] of [
      [1, 2],
      [50, 2],
      [120, 7],
      [200, 51],
    ] as const) {
      const ones = constant(1, [1, n, 2, 5]);
      await close(landmarkAttention(make(n), make(n), ones, { blockSize }), ones);
      await close(landmarkAttention(make(n), make(n), ones, { blockSize, topK: 1 }), ones);
    }
  });
  it("one block is ordinary causal attention", async () => {
    const [q, k, v] = [make(50, 4), make(50), make(50)];
    await close(landmarkAttention(q, k, v, { blockSize: 51 }), flashAttention(q, k, v, { causal: true }));
    await close(landmarkAttention(q, k, v, { blockSize: 51, topK: 0 }), flashAttention(q, k, v, { causal: true }));
  });
  it("topK of all blocks is the full form", async () => {
    const [q, k, v] = [make(72, 4), make(72), make(72)];
    const full = landmarkAttention(q, k, v, { blockSize: 6 });
    await close(landmarkAttention(q, k, v, { blockSize: 6, topK: 11 }), full);
    // all but the last block have at most ten before them
    const short = landmarkAttention(q, k, v, { blockSize: 6, topK: 10 });
    await close(short.narrow(1, 0, 66), full.narrow(1, 0, 66));
    expect(distance(await read(short), await read(full))).toBeGreaterThan(1e-4);
  });
  it("topK opens the earlier of equal landmarks", async () => {
    const n = 13;
    const v = tensorOf(
      table([1, n, 1, 1], (i) => i),
      "float32",
    );
    const zeros = constant(0, [1, n, 1, 1]);
    const out = landmarkAttention(zeros, zeros, v, { blockSize: 4, topK: 1 });
    expect((await read(out)).at(-1)).toBeCloseTo((12 + 1) / 2, 5); // itself, and the mean of 0, 1, 2
  });
});

describe("extra memory", () => {
  const n = 60_000;
  const runs: Record<string, Run> = {
    linformer: (q, k, v) => linformerAttention(q, k, v, { projectionK: constant(0.01, [n, 64]) }),
    luna: (q, k, v) => lunaAttention(q, k, v, { extra: constant(0.3, [16, 2, 64]), causal: true }),
    hierarchical: (q, k, v) => hierarchicalAttention(q, k, v),
    "hierarchical, causal": (q, k, v) => hierarchicalAttention(q, k, v, { causal: true }),
    landmark: (q, k, v) => landmarkAttention(q, k, v, { blockSize: 51, topK: 2 }),
  };
  for (const [name, run] of Object.entries(runs))
    it(`of ${name} is at most 8 MB a thread`, async () => {
      setThreads(2);
      const x = constant(0.1, [1, n, 2, 64]);
      await flashAttention(x.narrow(1, 0, 8), x.narrow(1, 0, 8), x.narrow(1, 0, 8)).data();
      const before = memory().usedBytes;
      const out = run(x, x, x);
      await out.narrow(1, 0, 1).data();
      const inputsAndOutput = n * 2 * 64 * 4 + (name === "linformer" ? n * 64 * 4 : 0);
      expect(memory().usedBytes - before - inputsAndOutput).toBeLessThanOrEqual(2 * 8e6);
      setThreads(0);
    });
});
