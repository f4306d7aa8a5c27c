// Measuring: medians of repeated runs, and the machine's ceilings taken seconds apart from what they judge. Absolute
// times on shared machines mean nothing; every figure of a bench is a share of a ceiling or a ratio to a peer.
import { argmax, idle, Tensor } from "../dist/index.js";
import { native } from "../dist/binding.js";

/** Median of run() in seconds: at least `least` runs, until `budget` seconds have passed. `between` is not timed. */
export async function median(run, { budget = 1, least = 3, between } = {}) {
  const times = [];
  await run();
  const start = performance.now();
  while (times.length < least || (performance.now() - start < budget * 1000 && times.length < 200)) {
    await between?.();
    const begin = performance.now();
    await run();
    times.push((performance.now() - begin) / 1000);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1];
}

/** What the machine can do now: float32 and bfloat16 FLOP/s, bytes read per second, with all threads. */
export async function ceilings() {
  const [float32, bfloat16, read] = await native.ceilings().data();
  return { float32, bfloat16: bfloat16 || float32, read };
}

/** Pseudo-random values in ±2 in the wanted dtype; seeded, made without touching JavaScript numbers one by one twice. */
export function random(dtype, shape, seed = 1) {
  const size = shape.reduce((a, b) => a * b, 1);
  const period = Math.min(size, 1 << 20);
  const values = new Float32Array(size);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < period; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state / 4294967296 - 0.5) * 4;
  }
  for (let i = period; i < size; i += period) values.copyWithin(i, 0, Math.min(period, size - i));
  const tensor = new Tensor("float32", values, shape); // a copy: native memory has huge pages, JavaScript's has not
  return dtype === "float32" ? tensor : tensor.to(dtype);
}

let large;
/** Reads 256 MB, so that nothing of the last run is left in a cache. */
export async function evictCaches() {
  large ??= random("float32", [1 << 26]);
  argmax(large);
  await idle();
}

/** A plain read of as many bytes by the same way: enqueued, run by all threads, awaited; caches evicted as well. */
export async function plainReadSeconds(bytes, budget) {
  const memory = random("float32", [bytes / 4]);
  const seconds = await median(
    async () => {
      const out = native.plainRead(memory);
      await idle();
      out.dispose();
    },
    { budget, between: evictCaches },
  );
  memory.dispose();
  return seconds;
}

/** Pairs that causal attention (bottom-right) allows, exactly. */
export function causalPairs(seqLenQ, seqLenKV) {
  let pairs = 0;
  for (let q = 0; q < seqLenQ; q++) pairs += Math.max(0, Math.min(seqLenKV, q + seqLenKV - seqLenQ + 1));
  return pairs;
}
