// Sparse patterns: FLOP/s on allowed pairs as a share of the dense kernel's of the same minute; then also of the ceiling.
import { flashAttention, idle, patterns, Tensor } from "../dist/index.js";
import { benchShapes, longNet, makePattern, patternEntries } from "../test/cases/patterns.mjs";
import { sequenceCases } from "../test/cases/sequences.mjs";
import { causalPairs, ceilings, median, random } from "./measure.mjs";

/** What is timed, in the order of the list that the tests have. */
const kinds = [
  ...patternEntries.flatMap((entry) =>
    (entry.bench ?? []).map(({ kind, parameters, shapes }) => ({
      kind,
      shapes,
      options: { pattern: makePattern(entry, parameters, patterns) },
    })),
  ),
  ...sequenceCases(patterns).flatMap(({ bench, options }) => (bench ? [{ ...bench, options, paged: true }] : [])),
];

export function cases({ quick }) {
  const list = [];
  for (const shape of quick ? benchShapes.slice(0, 1) : benchShapes)
    for (const { kind, shapes } of kinds)
      if (!shapes) list.push({ op: "pattern", kind, ...shape, segments: longNet.segments, rates: longNet.rates });
  for (const { kind, shapes = [] } of quick ? [] : kinds)
    for (const shape of shapes) list.push({ op: "pattern", kind, ...shape });
  return list;
}

function pairsOf(options, numHeads, seqLen) {
  if (!options.pattern) return numHeads * causalPairs(seqLen, seqLen);
  let pairs = 0;
  for (let head = 0; head < numHeads; head++) pairs += options.pattern.allowedPairs(seqLen, seqLen, { head, numHeads });
  return pairs;
}

export async function measure({ kind, dtype, numHeads, numKVHeads, headDim, seqLen }, { budget }) {
  const q = random(dtype, [1, seqLen, numHeads, headDim], 1);
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLen, numKVHeads, headDim], seed));
  const { options: given, paged } = kinds.find((one) => one.kind === kind);
  const order = Int32Array.from({ length: seqLen }, (_, i) => (i * 1597) % seqLen);
  const options = paged ? { ...given, blockTable: new Tensor("int32", order, [1, seqLen]) } : given;
  const keys = paged ? [k, v].map((x) => x.reshape([seqLen, 1, numKVHeads, headDim])) : [k, v];
  const run = (tensors, given) => async () => {
    flashAttention(q, ...tensors, given).dispose();
    await idle();
  };
  const pairs = pairsOf(options, numHeads, seqLen);
  // Alternating, so that both see the same machine.
  const times = [[], []];
  const rounds = Math.max(3, Math.round(budget * 3));
  for (let round = 0; round < rounds; round++) {
    times[0].push(await median(run([k, v], { causal: true }), { budget: 0, least: 1 }));
    times[1].push(await median(run(keys, options), { budget: 0, least: 1 }));
  }
  const [dense, sparse] = times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
  const flops = (count) => 4 * headDim * count;
  const rate = flops(pairs) / sparse;
  const denseRate = flops(numHeads * causalPairs(seqLen, seqLen)) / dense;
  const { [dtype]: peak } = await ceilings();
  return { seconds: sparse, rate, unit: "FLOP/s", share: rate / denseRate, ceiling: denseRate, ofPeak: rate / peak };
}
