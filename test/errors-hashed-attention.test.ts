// Misuse of lshAttention, hashSparseAttention, qkSparseAttention and routingAttention: typed, and naming the argument.
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  DTypeError,
  hashSparseAttention,
  lshAttention,
  lshDecodeAttention,
  type LongspanError,
  OutOfMemoryError,
  memory,
  qkSparseAttention,
  routingAttention,
  setMemoryBudget,
  ShapeError,
  Tensor,
  UnsupportedError,
} from "../lib/index.js";

const zeros = (...shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const x = zeros(1, 6, 2, 8);
const flags = new Tensor("int32", new Int32Array(12), [1, 6, 2]);
const known = new Tensor("int32", new Int32Array(20), [2, 1, 2, 5]);
const all = new Tensor("int32", new Int32Array(24), [2, 1, 2, 6]);
const loose = (value: unknown) => value as never;

type Class = new (...args: never[]) => LongspanError;
type Refusal = [what: string, run: () => unknown, kind: Class, argument: string | undefined];
const refusals: Refusal[] = [
  ["a wrong rank", () => lshAttention(zeros(6, 8), x), ShapeError, "qk"],
  ["values of another length", () => lshAttention(x, zeros(1, 5, 2, 8)), ShapeError, "v"],
  ["values of other heads", () => lshAttention(x, zeros(1, 6, 1, 8)), ShapeError, "v"],
  ["integers", () => lshAttention(flags.reshape([1, 6, 2, 1]), x), DTypeError, "qk"],
  ["two dtypes", () => lshAttention(x, x.to("float16")), DTypeError, "v"],
  ["wide heads", () => lshAttention(zeros(1, 2, 1, 257), zeros(1, 2, 1, 8)), UnsupportedError, undefined],
  ["an odd number of buckets", () => lshAttention(x, x, { buckets: 5 }), ArgumentError, "buckets"],
  ["no buckets", () => lshAttention(x, x, { buckets: 0 }), ArgumentError, "buckets"],
  ["no rounds", () => lshAttention(x, x, { rounds: 0 }), ArgumentError, "rounds"],
  ["half a round", () => lshAttention(x, x, { rounds: 1.5 }), ArgumentError, "rounds"],
  ["chunk 0", () => lshAttention(x, x, { chunk: 0 }), ArgumentError, "chunk"],
  ["looking back on less than nothing", () => lshAttention(x, x, { lookBack: -1 }), ArgumentError, "lookBack"],
  ["a scale of 0", () => lshAttention(x, x, { scale: 0 }), ArgumentError, "scale"],
  ["an unknown way to count", () => lshAttention(x, x, { duplicates: loose("none") }), ArgumentError, "duplicates"],
  ["an unknown wrap", () => lshAttention(x, x, { wrap: loose("never") }), ArgumentError, "wrap"],
  ["an unknown option", () => lshAttention(x, x, loose({ round: 2 })), ArgumentError, "round"],
  [
    "rotations of other columns",
    () => lshAttention(x, x, { rounds: 2, buckets: 4, rotations: zeros(2, 8, 3) }),
    ShapeError,
    "rotations",
  ],
  [
    "rotations of other rounds",
    () => lshAttention(x, x, { rounds: 2, rotations: zeros(3, 8, 2) }),
    ShapeError,
    "rotations",
  ],
  ["rotations of integers", () => lshAttention(x, x, { rounds: 1, rotations: flags }), DTypeError, "rotations"],
  ["no number of buckets", () => lshDecodeAttention(x, x, known, {}), ArgumentError, "buckets"],
  ["buckets of the new token too", () => lshDecodeAttention(x, x, all, { buckets: 4 }), ShapeError, "buckets"],
  ["buckets of floats", () => lshDecodeAttention(x, x, zeros(2, 1, 2, 5), { buckets: 4 }), DTypeError, "buckets"],
  [
    "no token",
    () => lshDecodeAttention(zeros(1, 0, 2, 8), zeros(1, 0, 2, 8), all, { buckets: 4 }),
    ShapeError,
    "buckets",
  ],
  ["keys of another width", () => hashSparseAttention(x, zeros(1, 6, 2, 7), x), ShapeError, "k"],
  ["heads that do not divide", () => hashSparseAttention(zeros(1, 6, 3, 8), x, x), ShapeError, "q"],
  ["one list of hashes", () => hashSparseAttention(x, x, x, { hashesQ: flags }), ArgumentError, "hashesQ"],
  [
    "hashes and buckets",
    () => hashSparseAttention(x, x, x, { hashesQ: flags, hashesK: flags, buckets: 4 }),
    ArgumentError,
    "buckets",
  ],
  [
    "hashes of another shape",
    () => hashSparseAttention(x, x, x, { hashesQ: flags, hashesK: new Tensor("int32", [1], [1, 1, 1]) }),
    ShapeError,
    "hashesK",
  ],
  [
    "hashes that are no integers",
    () => hashSparseAttention(x, x, x, { hashesQ: x, hashesK: x }),
    DTypeError,
    "hashesQ",
  ],
  ["an odd number of hashes", () => hashSparseAttention(x, x, x, { buckets: 3 }), ArgumentError, "buckets"],
  ["an infinite scale", () => hashSparseAttention(x, x, x, { scale: Infinity }), ArgumentError, "scale"],
  ["masks of another length", () => qkSparseAttention(x.narrow(1, 0, 3), x, x, { keepQ: flags }), ShapeError, "keepQ"],
  ["masks of floats", () => qkSparseAttention(x, x, x, { keepK: zeros(1, 6, 2) }), DTypeError, "keepK"],
  ["no centroids", () => routingAttention(x, x, x, loose({})), ArgumentError, "centroids"],
  ["centroids of other heads", () => routingAttention(x, x, x, { centroids: zeros(1, 4, 8) }), ShapeError, "centroids"],
  ["no clusters", () => routingAttention(x, x, x, { centroids: zeros(2, 0, 8) }), ShapeError, "centroids"],
  ["a window of 0", () => routingAttention(x, x, x, { centroids: zeros(2, 4, 8), window: 0 }), ArgumentError, "window"],
  [
    "an unknown selection",
    () => routingAttention(x, x, x, { centroids: zeros(2, 4, 8), selection: loose("best") }),
    ArgumentError,
    "selection",
  ],
];

describe("hashed attention refuses", () => {
  for (const [what, run, kind, argument] of refusals)
    it(what, () => {
      let error: unknown;
      try {
        run();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(kind);
      expect((error as { argument?: string }).argument).toBe(argument);
      expect((error as Error).message).toMatch(/^(lsh|lshDecode|hashSparse|qkSparse|routing)Attention: /);
    });

  it("what does not fit the memory budget, and works afterwards", async () => {
    const wide = zeros(1, 4096, 4, 8);
    setMemoryBudget(memory().usedBytes + 700_000);
    try {
      expect(() => lshAttention(wide, wide, { rounds: 8 })).toThrow(OutOfMemoryError);
    } finally {
      setMemoryBudget(0);
    }
    expect((await lshAttention(wide, wide, { rounds: 1 }).data()).length).toBe(4096 * 32);
  });
});
