// Queries and keys that are turned while keys and values are appended: the bits of rope and append apart, for any strides
// and dtypes; and attention over what was appended, against its definition.
import { expect, it } from "vitest";
import { KVCache, rope, type Tensor } from "../../lib/index.js";
import { native } from "../../lib/binding.js";
import { ropeAppendCases, type RopeAppend } from "../cases/kv-cache.mjs";
import { attention } from "../reference/attention.js";
import * as reference from "../reference/ops.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, sizeOf, tensorOf, type Values } from "../support/tensors.js";
import { describeOnIsa, isa, onDevice } from "./support.js";

type Cached = RopeAppend["cached"] | "int8" | "float8";
type RopeOptions = NonNullable<Parameters<typeof rope>[2]>;

function optionsOf({ pairs, options }: RopeAppend): RopeOptions & { frequencies: number[] } {
  return { frequencies: Array.from({ length: pairs }, (_, i) => 100 ** (-i / pairs)), ...options };
}

/** q, k and v of all steps. */
function inputsOf(c: RopeAppend): Record<"q" | "k" | "v", { values: Values; dtype: FloatDType }> {
  const [numHeads, numKVHeads] = c.heads ?? [6, 2];
  const next = random(c.headDim + c.pairs);
  const length = c.steps.reduce((a, b) => a + b, 0);
  const make = (heads: number, dim: number, dtype: FloatDType) => ({
    values: randomValues(next, [1, length, heads, dim], dtype),
    dtype,
  });
  return {
    q: make(numHeads, c.headDim, c.dtype),
    k: make(numKVHeads, c.headDim, c.dtype),
    v: make(numKVHeads, c.valueDim ?? c.headDim, c.values ?? c.dtype),
  };
}

/** The tensors of each step in turn, with their positions. */
function* stepsOf(c: RopeAppend, { q, k, v }: ReturnType<typeof inputsOf>) {
  let start = 0;
  for (const count of c.steps) {
    const [first, from] = [(c.first ?? 0) + start, start];
    const [qs, ks, vs] = [q, k, v].map(({ values, dtype }) => {
      const row = sizeOf(values.shape.slice(2));
      const data = values.data.slice(from * row, (from + count) * row);
      return tensorOf({ data, shape: [1, count, ...values.shape.slice(2)] }, dtype, c.memory);
    }) as [Tensor, Tensor, Tensor];
    yield { q: qs, k: ks, v: vs, positions: Int32Array.from({ length: count }, (_, i) => first + i) };
    start += count;
  }
}

async function checkBits(c: RopeAppend, dtype: Cached): Promise<void> {
  const inputs = inputsOf(c);
  const [numHeads, numKVHeads] = c.heads ?? [6, 2];
  const shape = { numLayers: 1, numKVHeads, headDim: c.headDim, valueDim: c.valueDim ?? c.headDim, dtype };
  const [together, apart] = [native.createKVCache(shape), native.createKVCache(shape)];
  const options = optionsOf(c);
  for (const { q, k, v, positions } of stepsOf(c, inputs)) {
    const turned = native.ropeAppend(together, 0, q, k, v, positions, options);
    native.cacheAppend(apart, 0, rope(k, positions, options), v);
    expect([turned.shape, turned.dtype]).toEqual([q.shape, q.dtype]);
    expect(await turned.data()).toEqual(await rope(q, positions, options).data());
  }
  const length = inputs.k.values.shape[1] as number;
  expect(native.cacheLength(together, 0)).toBe(length);
  // Each key alone by its score, and all values
  const probe = tensorOf(randomValues(random(3), [1, length, numHeads, c.headDim], "float32"), "float32");
  for (const rest of [{ window: { before: 0, after: 0 } }, { causal: true }]) {
    const [found, expected] = [together, apart].map(
      (cache) => native.cacheAttention(probe, cache, 0, { ...rest, returnLse: true }) as { out: Tensor; lse: Tensor },
    ) as [{ out: Tensor; lse: Tensor }, { out: Tensor; lse: Tensor }];
    expect(await found.lse.data()).toEqual(await expected.lse.data());
    expect(await found.out.data()).toEqual(await expected.out.data());
  }
  for (const cache of [together, apart]) native.dispose(cache);
}

async function checkAttention(c: RopeAppend): Promise<void> {
  const inputs = inputsOf(c);
  const { q, k, v } = inputs;
  const numKVHeads = k.values.shape[2] as number;
  const cache = new KVCache({ numLayers: 1, numKVHeads, headDim: c.headDim, dtype: c.cached });
  const options = optionsOf(c);
  const { positionStep = 1, positionOffset = 0, layout = "half", ...rest } = options;
  const length = k.values.shape[1] as number;
  const positions = Array.from({ length }, (_, i) => ((c.first ?? 0) + i) * positionStep + positionOffset);
  const allows = (i: number, j: number) => j <= i;
  const scale = Math.fround(c.headDim ** -0.5);
  const turned = (x: Values, f: (x: number) => number): Values =>
    reference.rope(x, { ...rest, positions, layout: layout as "half" }, f);
  const kept = ({ data, shape }: Values, ...as: FloatDType[]): Values => ({
    shape,
    data: data.map((x) => as.reduce((y, dtype) => round[dtype](y), x)),
  });
  const values = kept(v.values, c.cached);
  const exact = attention(turned(q.values, Number), turned(k.values, Number), values, { allows, scale });
  const naive = attention(
    kept(turned(q.values, Math.fround), c.dtype),
    kept(turned(k.values, Math.fround), c.dtype, c.cached),
    values,
    { allows, scale },
    { dtype: round[c.dtype], float32: Math.fround },
  );
  const outs: number[] = [];
  for (const { q, k, v, positions } of stepsOf(c, inputs)) {
    const out = cache.attend(0, cache.ropeAppend(0, q, k, v, positions, options), { causal: true });
    outs.push(...(await read(out)));
  }
  cache.dispose();
  const verdict = judge(Float64Array.from(outs), exact.out, naive.out, c.dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`turned into the cache on ${isa}`, () => {
  for (const c of ropeAppendCases) {
    const dtypes: Cached[] = onDevice ? [c.cached, "int8", "float8"] : [c.cached];
    for (const dtype of dtypes) it(`${c.name}, ${c.dtype} in ${dtype}: the bits of both`, () => checkBits(c, dtype));
    if (c.valueDim === undefined) it(`${c.name}, ${c.dtype} in ${c.cached}: attention`, () => checkAttention(c));
  }
});
