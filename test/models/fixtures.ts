// Reads test/fixtures: token ids and float32 arrays of reference runs.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tensor } from "../../lib/index.js";

const root = join(fileURLToPath(import.meta.url), "..", "..", "..");
export const fixture = (...path: string[]) => join(root, "test", "fixtures", ...path);
export const asset = (...path: string[]) => join(root, "assets", ...path);

export function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, "utf8")) as T;
}

export interface Reference {
  ids(name: string): number[];
  has(name: string): boolean;
  array(name: string): Float32Array;
}

export function reference(folder: string): Reference {
  const facts = readJson<Record<string, number[] | { offset: number; shape: number[] }>>(join(folder, "ref.json"));
  const bytes = readFileSync(join(folder, "ref.bin"));
  return {
    has: (name) => name in facts,
    ids: (name) => facts[name] as number[],
    array(name) {
      const { offset, shape } = facts[name] as { offset: number; shape: number[] };
      const length = shape.reduce((a, b) => a * b, 1);
      return new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + 4 * length));
    },
  };
}

/** max|Δ| / max|expected| */
export function relativeError(actual: ArrayLike<number>, expected: Float32Array): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const delta = Math.abs(actual[i]! - expected[i]!);
    if (!(delta <= difference)) difference = delta;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

export async function floats(tensor: Promise<Tensor>): Promise<Float32Array> {
  return (await (await tensor).data()) as Float32Array;
}

/** −log softmax(row)[target] in float64. */
export function nllOf(logits: Float32Array, target: number): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, x) => sum + Math.exp(x - max), 0);
  return max + Math.log(total) - logits[target]!;
}
