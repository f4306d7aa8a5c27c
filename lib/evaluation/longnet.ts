// LongNet's promise, measured: dilated attention of one head over as many tokens as memory holds, or streamed from a
// memory-mapped file segment by segment with flat memory. With the longest segment fixed, no pair crosses its border, so
// a file of any length is a row of independent segments, and time per token stays the same.
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flashAttention } from "../attention.js";
import { ArgumentError } from "../errors.js";
import { Checkpoint } from "../formats/safetensors.js";
import { memory } from "../machine.js";
import { patterns } from "../patterns/index.js";
import { idle, Tensor } from "../tensor.js";

const headDim = 64;
/** The paper's setting, causal. */
export const longNet = { segments: [2048, 4096, 8192, 16384, 32768], rates: [1, 2, 4, 6, 12], causal: true };
const longest = Math.max(...longNet.segments);

export interface LongNetOptions {
  tokens: number;
  /** Read q, k and v from a memory-mapped file, a segment at a time. */
  stream?: boolean;
  /** Where the file is written and removed again; a temporary place if absent. 768 bytes a token. */
  file?: string;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}
export interface LongNetResult {
  tokens: number;
  stream: boolean;
  /** Of attention alone. */
  seconds: number;
  nanosecondsPerToken: number;
  flopsPerSecond: number;
  /** The most bytes that tensors and scratch held at once. */
  tensorBytes: number;
  /** Sum of the output, so that two runs can be compared. */
  checksum: number;
}

/** Values in ±1, the same for a seed. */
function fill(values: Float32Array, seed: number): Float32Array {
  let state = (Math.imul(seed, 2654435761) + 1) >>> 0;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 2147483648 - 1;
  }
  return values;
}

async function writeFile(path: string, tokens: number, signal?: AbortSignal): Promise<void> {
  const row = headDim * 4;
  const names = ["q", "k", "v"];
  const entry = (i: number) => ({
    dtype: "F32",
    shape: [tokens, headDim],
    data_offsets: [i * tokens * row, (i + 1) * tokens * row],
  });
  const json = JSON.stringify(Object.fromEntries(names.map((name, i) => [name, entry(i)])));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 64) * 64 + 56, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8));
  header.write(json, 8);
  const handle = await open(path, "wx");
  try {
    await handle.write(header, 0, header.length, 0);
    const buffer = new Float32Array(longest * headDim);
    for (const i of names.keys())
      for (let at = 0; at < tokens; at += longest) {
        signal?.throwIfAborted();
        const count = Math.min(longest, tokens - at);
        fill(buffer, 3 * (at / longest) + i);
        await handle.write(
          new Uint8Array(buffer.buffer, 0, count * row),
          0,
          count * row,
          header.length + (i * tokens + at) * row,
        );
      }
  } catch (error) {
    await rm(path, { force: true }); // ours: it was not there before
    throw error;
  } finally {
    await handle.close();
  }
}

async function sumOf(out: Tensor): Promise<number> {
  let sum = 0;
  for (let at = 0, rows = out.shape[1] as number; at < rows; at += longest) {
    const part = (await out.narrow(1, at, Math.min(longest, rows - at)).data()) as Float32Array;
    for (const x of part) sum += x;
  }
  return sum;
}

/** Segments [from, to) of a source of q, k, v [1, tokens, 1, headDim]; seconds of attention and the output's sum. */
async function attend(parts: readonly [Tensor, Tensor, Tensor], signal?: AbortSignal) {
  await idle();
  const start = performance.now();
  const pattern = patterns.dilated(longNet);
  const out = flashAttention(...parts, { pattern, returnLse: false });
  await idle({ ...(signal ? { signal } : {}) });
  const seconds = (performance.now() - start) / 1000;
  const held = memory().usedBytes;
  const sum = await sumOf(out);
  out.dispose();
  return { seconds, sum, held };
}

function pairsAt(tokens: number): number {
  const pattern = patterns.dilated(longNet);
  const whole = Math.floor(tokens / longest);
  const ofSegment = whole > 0 ? pattern.allowedPairs(longest) : 0;
  return whole * ofSegment + (tokens % longest > 0 ? pattern.allowedPairs(tokens % longest) : 0);
}

/** Dilated attention of one head over `tokens` tokens. Throws ArgumentError, OutOfMemoryError, and what writing a file throws. */
export async function measureLongNet(options: LongNetOptions): Promise<LongNetResult> {
  const { tokens, stream = false, onProgress, signal } = options;
  if (!Number.isSafeInteger(tokens) || tokens < 1)
    throw new ArgumentError(`longnet: tokens must be a positive integer, got ${tokens}`, {
      op: "longnet",
      argument: "tokens",
    });
  const total = { seconds: 0, sum: 0, held: 0 };
  const step = async (parts: [Tensor, Tensor, Tensor]) => {
    const { seconds, sum, held } = await attend(parts, signal);
    total.seconds += seconds;
    total.sum += sum;
    total.held = Math.max(total.held, held);
    for (const part of parts) part.dispose();
  };
  const shape = (count: number) => [1, count, 1, headDim];
  if (stream) {
    const file = options.file ?? join(tmpdir(), `longnet-${process.pid}.safetensors`);
    await writeFile(file, tokens, signal);
    try {
      const source = await Checkpoint.open(file);
      const [q, k, v] = ["q", "k", "v"].map((name) => source.tensor(name)) as [Tensor, Tensor, Tensor];
      for (let at = 0; at < tokens; at += longest) {
        signal?.throwIfAborted();
        const count = Math.min(longest, tokens - at);
        await step([q, k, v].map((x) => x.narrow(0, at, count).reshape(shape(count))) as [Tensor, Tensor, Tensor]);
        onProgress?.(at + count, tokens);
      }
      for (const x of [q, k, v]) x.dispose();
      source.close();
    } finally {
      await rm(file, { force: true });
    }
  } else {
    const made = [0, 1, 2].map((i) => {
      const values = new Float32Array(tokens * headDim);
      for (let at = 0; at < tokens; at += longest)
        fill(values.subarray(at * headDim, (at + longest) * headDim), 3 * (at / longest) + i);
      return new Tensor("float32", values, shape(tokens));
    });
    await step(made as [Tensor, Tensor, Tensor]);
    onProgress?.(tokens, tokens);
  }
  const flops = 4 * headDim * pairsAt(tokens);
  return {
    tokens,
    stream,
    seconds: total.seconds,
    nanosecondsPerToken: (total.seconds / tokens) * 1e9,
    flopsPerSecond: flops / total.seconds,
    tensorBytes: total.held,
    checksum: total.sum,
  };
}
