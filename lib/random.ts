// Repeatable random numbers: xoshiro128** (Blackman & Vigna 2018), seeded through splitmix32; the same seed gives the same
// numbers on every machine.

/** Uniform numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let mix = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
  const splitmix = () => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  const state = Uint32Array.from({ length: 4 }, splitmix);
  const rotate = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits));
  const next = () => {
    const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotate(state[3]!, 11);
    return result;
  };
  return () => (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53;
}
