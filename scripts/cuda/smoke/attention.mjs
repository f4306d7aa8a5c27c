// Attention: the lists of test/cases, as test/isa builds them.
import { flashAttention, KVCache, patterns } from "../../../dist/index.js";
import { attentionCases, longAttentionCases, options } from "../../../test/cases/attention.mjs";
import { cacheDTypes, cacheSizes, ropeAppendCases } from "../../../test/cases/kv-cache.mjs";
import { patternCases, patternForms } from "../../../test/cases/patterns.mjs";
import {
  packedLengths,
  paddedLengths,
  pagedLengths,
  pageSizes,
  sequenceCases,
} from "../../../test/cases/sequences.mjs";
import { floatDTypes, random, randomValues, sizeOf } from "./numbers.mjs";

const keyHeads = (numHeads) => (numHeads % 2 ? 1 : numHeads / 2);

/** Wider and longer than the list: what models run. */
const modelCases = [
  { name: "2048, 8/2 × 128", seqLenQ: 2048, seqLenKV: 2048, numHeads: 8, numKVHeads: 2, headDim: 128 },
  { name: "1500 after 4000, 8/2 × 64", seqLenQ: 1500, seqLenKV: 5500, numHeads: 8, numKVHeads: 2, headDim: 64 },
  { name: "1 over 20000, 32/8 × 128", seqLenQ: 1, seqLenKV: 20000, numHeads: 32, numKVHeads: 8, headDim: 128 },
].map((c) => ({ batch: 1, causal: true, valueDim: c.headDim, ...c }));

function attend(c, dtype, make) {
  const next = random(c.seqLenQ * 31 + c.seqLenKV * 7 + c.headDim);
  const of = (seqLen, heads, dim) => make(randomValues(next, [c.batch, seqLen, heads, dim]), dtype, c.layout);
  const tensors = [
    of(c.seqLenQ, c.numHeads, c.headDim),
    of(c.seqLenKV, c.numKVHeads, c.headDim),
    of(c.seqLenKV, c.numKVHeads, c.valueDim),
  ];
  const perHead = (first) =>
    make({ data: Float64Array.from({ length: c.numHeads }, (_, h) => first / 2 ** h), shape: [c.numHeads] }, "float32");
  return flashAttention(...tensors, {
    ...options(c, patterns),
    ...(c.alibi ? { alibiSlopes: perHead(0.5) } : {}),
    ...(c.sinkLogits ? { sinkLogits: perHead(1) } : {}),
    ...(c.bias ? { bias: make(randomValues(next, c.bias), "float32") } : {}),
    returnLse: true,
  });
}

export async function attention(group) {
  const cases = group.quick ? attentionCases : [...attentionCases, ...longAttentionCases, ...modelCases];
  for (const c of cases)
    for (const dtype of floatDTypes)
      await group.check(`${c.name}, ${dtype}`, (make) => attend(c, dtype, make), { inputs: dtype });
}

/** Small parameters at about 100 tokens; large ones at about 1000 unless quick. */
export async function everyPattern(group) {
  for (const size of group.quick ? ["small"] : ["small", "large"])
    for (const c of patternCases(patterns, size)) {
      const seqLenKV = size === "small" ? c.seqLen : c.anyLength ? 1100 : 1000;
      const [numHeads, numKVHeads] = [c.numHeads, keyHeads(c.numHeads)];
      for (const { name, seqLenQ = seqLenKV, headDim: narrow } of patternForms)
        for (const dtype of floatDTypes) {
          const dim = size === "small" ? narrow : 64;
          const body = (make) => {
            const next = random(seqLenQ * 31 + seqLenKV + dim);
            const q = make(randomValues(next, [1, seqLenQ, numHeads, dim]), dtype);
            const [k, v] = [1, 2].map(() => make(randomValues(next, [1, seqLenKV, numKVHeads, dim]), dtype));
            return flashAttention(q, k, v, { pattern: c.pattern, returnLse: true });
          };
          await group.check(`${size} ${c.name}: ${name}, ${dtype}`, body, { inputs: dtype });
        }
    }
}

/** Appended in two parts, then attended. */
function attendCache({ queries, dtype, seqLenQ, seqLenKV, headDim, make, device, ...more }) {
  const [numHeads, numKVHeads, next] = [6, 2, random(seqLenKV + headDim)];
  const q = make(randomValues(next, [1, seqLenQ, numHeads, headDim]), queries);
  const [k, v] = [0, 1].map(() => make(randomValues(next, [1, seqLenKV, numKVHeads, headDim]), dtype));
  const cache = new KVCache({ numLayers: 1, numKVHeads, headDim, dtype, device });
  const middle = Math.ceil(seqLenKV / 3);
  for (const [start, count] of [
    [0, middle],
    [middle, seqLenKV - middle],
  ])
    cache.append(0, k.narrow(1, start, count), v.narrow(1, start, count));
  const out = cache.attend(0, q, { causal: true, ...more });
  cache.dispose();
  return { out };
}

/**
 * Turned and appended step by step; what the cache then holds is seen through attention. It rounds no more than its
 * inputs are: a last bit of another sine would show.
 */
function turnIntoCache({ dtype, values = dtype, steps, headDim, pairs, make, device, ...more }) {
  const { heads: [numHeads, numKVHeads] = [6, 2], valueDim = headDim, first = 0, memory, options } = more;
  const cached = dtype === "float32" ? "float32" : more.cached;
  const cache = new KVCache({ numLayers: 1, numKVHeads, headDim, ...{ valueDim }, dtype: cached, device });
  const frequencies = Array.from({ length: pairs }, (_, i) => 100 ** (-i / pairs));
  const next = random(headDim + pairs);
  let [at, turned] = [first];
  for (const n of steps) {
    const [q, k] = [numHeads, numKVHeads].map((h) => make(randomValues(next, [1, n, h, headDim]), dtype, memory));
    const v = make(randomValues(next, [1, n, numKVHeads, valueDim]), values, memory);
    const positions = Int32Array.from({ length: n }, (_, i) => at + i);
    turned = cache.ropeAppend(0, q, k, v, positions, { frequencies, ...options });
    at += n;
  }
  const q = make(randomValues(next, [1, Math.min(at - first, 20), numHeads, headDim]), dtype);
  const { out, lse } = cache.attend(0, q, { causal: true, returnLse: true });
  cache.dispose();
  return { turned, out, lse };
}

export async function cache(group) {
  const sizes = group.quick ? cacheSizes : [...cacheSizes, { seqLenQ: 1, seqLenKV: 9000, headDim: 128 }];
  for (const { queries, dtype } of cacheDTypes)
    for (const size of sizes) {
      const named = `${queries} over ${dtype}, ${size.seqLenQ} over ${size.seqLenKV} × ${size.headDim}`;
      await group.check(named, (make, device) => attendCache({ queries, dtype, ...size, make, device }));
    }
  for (const c of ropeAppendCases)
    await group.check(`turned into it: ${c.name}`, (make, device) => turnIntoCache({ ...c, make, device }), {
      inputs: c.dtype,
    });
  for (const { name, pattern, byLength, numHeads } of patternCases(patterns, "small"))
    if (!byLength && numHeads <= 2)
      await group.check(`${name}, decoded from a cache`, (make, device) => {
        const next = random(7);
        const [q, k, v] = [1, 100, 100].map((n) =>
          make(randomValues(next, [1, n, n === 1 ? numHeads : 1, 8]), "float32"),
        );
        const made = new KVCache({ numLayers: 1, numKVHeads: 1, headDim: 8, dtype: "float32", device });
        made.append(0, k, v);
        const out = made.attend(0, q, { pattern });
        made.dispose();
        return { out };
      });
}

const bounds = [0];
for (const length of packedLengths) bounds.push(bounds.at(-1) + length);
const dim = 24;

/** Keys or values in pages anywhere, NaN where there is nothing, and the table of them. */
function paged(values, pageSize, heads) {
  const blocks = Math.ceil(40 / pageSize);
  const numPages = 2 * blocks + 3;
  const table = new Float64Array(2 * blocks).fill(-1);
  const shape = [numPages, pageSize, heads, dim];
  const data = new Float64Array(sizeOf(shape)).fill(Number.NaN);
  const row = heads * dim;
  for (const [s, n] of pagedLengths.entries())
    for (let key = 0; key < n; key++) {
      const place = s * blocks + Math.floor(key / pageSize);
      table[place] = (place * 7 + 2) % numPages;
      const from = (s * 40 + key) * row;
      data.set(values.data.subarray(from, from + row), (table[place] * pageSize + (key % pageSize)) * row);
    }
  return { pages: { data, shape }, table: { data: table, shape: [2, blocks] } };
}

function sequenceForms({ options: own, alibi, numHeads }, dtype) {
  const numKVHeads = keyHeads(numHeads);
  const values = (seed, batch, seqLenQ, seqLenKV) => {
    const next = random(seed);
    const keys = [batch, seqLenKV, numKVHeads, dim];
    return [[batch, seqLenQ, numHeads, dim], keys, keys].map((shape) => randomValues(next, shape));
  };
  const given = (make) => ({
    ...own,
    ...(alibi ? { alibiSlopes: make({ data: Float64Array.of(0.5, 0.25, 0.1, 0), shape: [4] }, "float32") } : {}),
    returnLse: true,
  });
  const dense = (values, more) => (make) =>
    flashAttention(...values.map((x) => make(x, dtype)), { ...given(make), ...more });
  const total = bounds.at(-1);
  const inPages = (pageSize) => (make) => {
    const [q, ...keys] = values(3, 2, 6, 40);
    const [k, v] = keys.map((x) => paged(x, pageSize, numKVHeads));
    return flashAttention(make(q, dtype), make(k.pages, dtype), make(v.pages, dtype), {
      ...given(make),
      blockTable: make(k.table, "int32"),
      seqLensKV: pagedLengths,
    });
  };
  return {
    packed: dense(values(1, 1, total, total), { cuSeqLensQ: bounds }),
    padded: dense(values(2, 3, 5, 40), { seqLensKV: paddedLengths }),
    ...Object.fromEntries(pageSizes.map((size) => [`pages of ${size}`, inPages(size)])),
  };
}

export async function sequences(group) {
  for (const [i, c] of sequenceCases(patterns).entries())
    for (const dtype of group.quick ? [floatDTypes[i % 3]] : floatDTypes)
      for (const [form, body] of Object.entries(sequenceForms(c, dtype)))
        await group.check(`${c.name}, ${form}, ${dtype}`, body, { inputs: dtype });
}
