// Reproducible numbers: mulberry32, and normal values by Box and Muller.
export type Random = () => number;

export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function normal(next: Random): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

export function integer(next: Random, first: number, last: number): number {
  return first + Math.floor(next() * (last - first + 1));
}

export function pick<T>(next: Random, items: readonly T[]): T {
  return items[integer(next, 0, items.length - 1)] as T;
}
