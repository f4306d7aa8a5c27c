// CoPE against the vectors of the specification, and its errors.
import { describe, expect, it } from "vitest";
import { ArgumentError, copeAttention, ShapeError, Tensor, UnsupportedError } from "../lib/index.js";
import { fixture, readJson } from "./models/fixtures.js";
import { copeAttention as reference } from "./reference/cope.js";
import { distance } from "./support/compare.js";
import { vectorInputs } from "./support/numbers.js";
import { read } from "./support/tensors.js";

interface Vectors {
  pos_logits: number[][];
  repo_default_pos_logits: number[][];
  repo_default_attention: number[][];
}
const vectors = readJson<Vectors>(fixture("vectors", "cope.json"));
const [n, dim, positions] = [6, 4, 5];
const values = (seed: number, shape: number[]) => ({
  shape,
  data: Float64Array.from(
    vectorInputs(
      seed,
      shape.reduce((a, b) => a * b),
    ),
  ),
});
const q = values(31, [1, n, 1, dim]);
const k = values(32, [1, n, 1, dim]);
const embeddings = values(33, [1, positions, dim]);
/** The identity, so that outputs are weights. */
const identity = {
  shape: [1, n, 1, n],
  data: Float64Array.from({ length: n * n }, (_, i) => Number(i % n === Math.floor(i / n))),
};
const tensor = ({ shape, data }: { shape: number[]; data: Float64Array }) => new Tensor("float32", [...data], shape);
const scale = dim ** -0.5;

describe("copeAttention", () => {
  it.each([
    ["paper", { scale, gateScale: 1, positionScale: 1 }, vectors.pos_logits],
    ["code", { scale, gateScale: scale, positionScale: scale }, vectors.repo_default_pos_logits],
  ] as const)("has the terms of the %s, and their attention", async (variant, factors, terms) => {
    const dense = reference(q, k, identity, embeddings, factors);
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) expect(dense.terms[i]![j]).toBeCloseTo(terms[i]![j]!, 12);
    const out = copeAttention(tensor(q), tensor(k), tensor(identity), {
      positionEmbeddings: tensor(embeddings),
      variant,
    });
    expect(distance(await read(out), dense.out)).toBeLessThan(1e-6);
  });

  it("equals the repository's attention", async () => {
    const out = copeAttention(tensor(q), tensor(k), tensor(identity), { positionEmbeddings: tensor(embeddings) });
    const expected = Float64Array.from(vectors.repo_default_attention.flat());
    expect(distance(await read(out), expected)).toBeLessThan(1e-6);
  });

  it("says what is wrong", () => {
    const run = (options: object) => () => copeAttention(tensor(q), tensor(k), tensor(k), options as never);
    const rows = (shape: number[]) => new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b)), shape);
    expect(run({})).toThrow("copeAttention: positionEmbeddings must be given");
    expect(run({ positionEmbeddings: rows([5, 3]) })).toThrow(ShapeError);
    expect(run({ positionEmbeddings: rows([2, 5, 4]) })).toThrow("[positions, headDim = 4] or [numHeads = 1, …]");
    expect(run({ positionEmbeddings: rows([0, 4]) })).toThrow(ShapeError);
    expect(run({ positionEmbeddings: rows([40000, 4]) })).toThrow(UnsupportedError);
    expect(run({ positionEmbeddings: rows([5, 4]), variant: "cope" })).toThrow(ArgumentError);
    expect(run({ positionEmbeddings: rows([5, 4]), npos: 4 })).toThrow('"npos"');
  });
});
