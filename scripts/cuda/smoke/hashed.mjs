// lshAttention. Buckets are argmaxes, and may differ where two directions nearly tie; tokens then sort elsewhere, and
// that head of that sequence is not compared further.
import { lshAttention } from "../../../dist/index.js";
import { distance, largest } from "./group.mjs";
import { floatDTypes, numbers, random, randomValues, tensorOn } from "./numbers.mjs";

const hashed = [
  { name: "one token", seqLen: 1, causal: true },
  { name: "one round", buckets: 8 },
  { name: "three rounds, causal, two sequences", rounds: 3, causal: true, buckets: 10, batch: 2 },
  { name: "counted apart", rounds: 5, duplicates: "per-round", buckets: 8 },
  { name: "look back 2, ahead 1", rounds: 2, lookBack: 2, lookAhead: 1, buckets: 8 },
  { name: "own bucket alone", rounds: 3, attendAcrossBuckets: false, causal: true, buckets: 6 },
  { name: "around all rounds", rounds: 3, wrap: "rounds", lookAhead: 1, buckets: 8 },
  { name: "chunk 64 of 233", rounds: 2, chunk: 64, causal: true, seqLen: 233, buckets: 4 },
  { name: "wide heads", rounds: 2, causal: true, headDim: 132, valueDim: 40, seqLen: 50, buckets: 6 },
  { name: "transposed", rounds: 2, causal: true, layout: "transposed", buckets: 4 },
  { name: "seeded, factors", rounds: 2, buckets: 2048, seeded: true },
  { name: "seeded", rounds: 4, seeded: true },
];
const longHashed = [
  { name: "4096 tokens, 8 × 64", rounds: 4, chunk: 64, causal: true, seqLen: 4096, heads: 8, headDim: 64, buckets: 32 },
  { name: "5000 tokens, seeded", rounds: 2, chunk: 64, seqLen: 5000, heads: 4, headDim: 64, seeded: true },
];

async function hash(c, dtype, { device, rotations, qk, v }) {
  const { name, batch, seqLen, heads, headDim, valueDim, layout, seeded, ...given } = c;
  const result = lshAttention(tensorOn(device, qk, dtype, layout), tensorOn(device, v, dtype, layout), {
    ...given,
    ...(rotations ? { rotations: tensorOn(device, rotations, "float32") } : { seed: 3 }),
    returnLse: true,
    returnBuckets: true,
  });
  const read = {};
  for (const part of ["out", "lse", "buckets"]) read[part] = numbers(await result[part].data(), result[part].dtype);
  return read;
}

/** How far apart the directions of two buckets are for a token, relative to its length: a near tie is about 0. */
function margin(c, rotations, qk, { round, place, token }, a, b) {
  const columns = c.buckets / 2;
  const [sequence, head] = [Math.floor(place / c.heads), place % c.heads];
  const at = ((sequence * c.seqLen + token) * c.heads + head) * c.headDim;
  const x = qk.subarray(at, at + c.headDim);
  const along = (bucket) =>
    x.reduce((sum, value, d) => {
      const weight = rotations.data[(round * c.headDim + d) * columns + (bucket % columns)];
      return sum + (bucket < columns ? 1 : -1) * value * weight;
    }, 0);
  return Math.abs(along(a) - along(b)) / Math.hypot(...x);
}

/** The (sequence, head) places whose buckets differ somewhere; a difference that is no near tie is a fault. */
function placesApart(group, name, c, { here, there, rotations, qk }) {
  const places = c.batch * c.heads;
  const apart = new Set();
  let moved = 0;
  here.buckets.forEach((bucket, i) => {
    const found = there.buckets[i];
    if (found === bucket) return;
    const [token, row] = [i % c.seqLen, Math.floor(i / c.seqLen)];
    const at = { round: Math.floor(row / places), place: row % places, token };
    moved++;
    apart.add(at.place);
    const tie = rotations ? margin(c, rotations, qk, at, bucket, found) : 0;
    if (!(tie < 1e-4)) group.fault(name, `token ${token}: bucket ${found}, not ${bucket}, which is no tie (${tie})`);
  });
  if (moved > Math.max(1, here.buckets.length / 500)) group.fault(name, `${moved} buckets differ`);
  if (moved)
    group.notes.push(`${name}: ${moved} of ${here.buckets.length} buckets differ, ${apart.size} heads left out`);
  return apart;
}

async function checkHashed(group, given, dtype) {
  const c = { batch: 1, seqLen: 70, heads: 2, headDim: 16, rounds: 1, chunk: 8, ...given };
  c.valueDim ??= c.headDim;
  if (!c.seeded) c.buckets ??= 2;
  const name = `${c.name}, ${dtype}`;
  const next = random(c.seqLen * 7 + c.headDim);
  const qk = randomValues(next, [c.batch, c.seqLen, c.heads, c.headDim], 2);
  const v = randomValues(next, [c.batch, c.seqLen, c.heads, c.valueDim]);
  const rotations = c.seeded ? undefined : randomValues(next, [c.rounds, c.headDim, c.buckets / 2]);
  const rounded = numbers(await tensorOn("cpu", qk, dtype).data(), dtype);
  const here = await hash(c, dtype, { rotations, qk, v, device: "cpu" });
  const there = await hash(c, dtype, { rotations, qk, v, device: group.device });
  const apart = placesApart(group, name, c, { here, there, rotations, qk: rounded });
  const rows = c.seqLen * c.heads * c.valueDim;
  const placeOfOut = (i) => Math.floor(i / rows) * c.heads + (Math.floor(i / c.valueDim) % c.heads);
  const placeOfLse = (i) => Math.floor(i / c.seqLen);
  const kept = (values, placeOf) => values.filter((_, i) => !apart.has(placeOf(i)));
  group.compare(name, kept(there.out, placeOfOut), kept(here.out, placeOfOut), dtype);
  const lse = kept(here.lse, placeOfLse);
  group.compareLse(name, kept(there.lse, placeOfLse), lse, dtype, Math.max(1, largest(lse)));
  const again = await hash(c, dtype, { rotations, qk, v, device: group.device });
  for (const part of Object.keys(there))
    if (distance(again[part], there[part]) > 0) group.fault(name, `${part} differs the second time`);
  group.repeated++;
}

export async function lsh(group) {
  for (const c of group.quick ? hashed : [...hashed, ...longHashed])
    for (const dtype of floatDTypes) await group.one(`${c.name}, ${dtype}`, () => checkHashed(group, c, dtype));
}
