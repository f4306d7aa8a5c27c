// What positions cost. Turning queries and keys, as a share of a layer's time; reading at remapped distances, and a step of
// decoding with them, as a share of the plain kernel's rate. The turning counts to the remapped side alone.
import { flashAttention, idle, linear, packWeight, positions, remappedAttention, rope } from "../dist/index.js";
import { KVCache } from "../dist/cache/kv-cache.js";
import { attendRemapped } from "../dist/model-attention.js";
import { causalPairs, ceilings, evictCaches, median, random } from "./measure.mjs";

const heads = { numHeads: 32, numKVHeads: 8, headDim: 128 };
const rotaryDim = heads.headDim;
const original = { originalMaxPositionEmbeddings: 8192 };

const turning = {
  "plain RoPE": () => positions.plain({ rotaryDim }),
  YaRN: () => positions.yarn({ rotaryDim, factor: 8, ...original }),
  "Llama 3": () => positions.llama3({ rotaryDim, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, ...original }),
};
const remapped = {
  ReRoPE: () => positions.rerope({ rotaryDim, window: 2048 }),
  "Leaky ReRoPE": () => positions.leakyRerope({ rotaryDim, window: 2048 }),
  "Self-Extend": () => positions.selfExtend({ rotaryDim, windowSize: 2048, groupSize: 8 }),
  "dual chunks": () => positions.dualChunk({ rotaryDim, chunkSize: 3072 }),
};

export function cases({ quick }) {
  const list = [];
  for (const dtype of ["float32", "bfloat16"]) {
    for (const kind of Object.keys(turning))
      list.push({ op: "turning", kind, dtype, seqLen: 512, ...heads, limit: 0.05 });
    for (const kind of Object.keys(remapped)) {
      if (!quick || kind === "ReRoPE") list.push({ op: "remapped", kind, dtype, seqLen: 8192, ...heads, target: 0.75 });
      for (const seqLenKV of quick ? [8192] : [8192, 65536])
        list.push({ op: "remapped decode", kind, dtype, seqLenKV, ...heads, target: 0.85 });
    }
  }
  return list;
}

/** Medians of two runs that take turns, so that both see the same machine. */
async function alternating(runs, { budget, between }) {
  const times = runs.map(() => []);
  for (let round = 0; round < Math.max(5, Math.round(budget * 5)); round++)
    for (const [i, run] of runs.entries()) times[i].push(await median(run, { budget: 0, least: 1, between }));
  return times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
}
const finished = (make) => async () => {
  const made = make();
  await idle();
  for (const tensor of [made].flat()) tensor.dispose();
};

/** A layer of a model of 8 billion parameters over one chunk of tokens, 4096 before it. */
async function measureTurning({ kind, dtype, seqLen, numHeads, numKVHeads, headDim }, { budget }) {
  const { frequencies, attentionScale } = turning[kind]();
  const [hidden, intermediate] = [numHeads * headDim, 14336];
  const x = random(dtype, [seqLen, hidden], 1);
  const wide = random(dtype, [seqLen, intermediate], 2);
  const weights = [
    [(numHeads + 2 * numKVHeads) * headDim, hidden, x],
    [hidden, hidden, x],
    [2 * intermediate, hidden, x],
    [hidden, intermediate, wide],
  ].map(([rows, columns, input]) => ({ input, weight: packWeight(random(dtype, [rows, columns], 3)) }));
  const q = random(dtype, [1, seqLen, numHeads, headDim], 4);
  const [k, v] = [5, 6].map((seed) => random(dtype, [1, 4096 + seqLen, numKVHeads, headDim], seed));
  const both = random(dtype, [1, seqLen, numHeads + numKVHeads, headDim], 7);
  const places = Int32Array.from({ length: seqLen }, (_, i) => 4096 + i);
  const rest = finished(() => [
    ...weights.map(({ input, weight }) => linear(input, weight)),
    flashAttention(q, k, v, { causal: true }),
  ]);
  const turn = finished(() => rope(both, places, { frequencies, attentionScale }));
  const [restSeconds, seconds] = await alternating([rest, turn], { budget });
  for (const tensor of [x, wide, q, k, v, both]) tensor.dispose();
  return { seconds, rate: seqLen / seconds, unit: "tokens/s", share: seconds / (seconds + restSeconds) };
}

async function measureReading({ kind, dtype, seqLen, numHeads, numKVHeads, headDim }, { budget }) {
  const q = random(dtype, [1, seqLen, numHeads, headDim], 1);
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLen, numKVHeads, headDim], seed));
  const rotary = remapped[kind]();
  const runs = [
    finished(() => flashAttention(q, k, v, { causal: true })),
    finished(() => remappedAttention(q, k, v, rotary)),
  ];
  const [plain, seconds] = await alternating(runs, { budget: budget / 2 });
  for (const tensor of [q, k, v]) tensor.dispose();
  const rate = (4 * headDim * numHeads * causalPairs(seqLen, seqLen)) / seconds;
  const { [dtype]: peak } = await ceilings();
  return { seconds, rate, unit: "FLOP/s", share: plain / seconds, ofPeak: rate / peak };
}

/** One token into the cache and over it: turned and kept once, or at remapped distances. */
async function measureStep({ kind, dtype, seqLenKV, numHeads, numKVHeads, headDim }, { budget }) {
  const rotary = remapped[kind]();
  const chunk = 4096;
  const keySets = rotary.distances.keys.length;
  const caches = [1, keySets].map((sets) => new KVCache({ numLayers: 1, numKVHeads, headDim, dtype, keySets: sets }));
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, chunk, numKVHeads, headDim], seed));
  for (const [i, cache] of caches.entries())
    for (let at = 0; at < seqLenKV; at += chunk) cache.append(0, k, v, i === 1 && keySets === 2 ? k : undefined);
  const q = random(dtype, [1, 1, numHeads, headDim], 4);
  const [own, value] = [k, v].map((x) => x.narrow(1, 0, 1));
  const { frequencies } = rotary;
  const steps = [
    () => {
      caches[0].append(0, rope(own, [seqLenKV], { frequencies }), value);
      return caches[0].attend(0, rope(q, [seqLenKV], { frequencies }), { causal: true });
    },
    () => attendRemapped(caches[1], 0, { q, k: own, v: value, first: seqLenKV }, { causal: true }, rotary),
  ];
  const runs = steps.map((step, i) => async () => {
    await finished(step)();
    caches[i].rollback(seqLenKV);
  });
  const [plain, seconds] = await alternating(runs, { budget: 2 * budget, between: evictCaches });
  for (const thing of [...caches, k, v, q]) thing.dispose();
  const bytes = 2 * seqLenKV * numKVHeads * headDim * (dtype === "float32" ? 4 : 2);
  return { seconds, rate: bytes / seconds, unit: "B/s", share: plain / seconds };
}

export function measure(testCase, options) {
  if (testCase.op === "turning") return measureTurning(testCase, options);
  return testCase.op === "remapped" ? measureReading(testCase, options) : measureStep(testCase, options);
}
