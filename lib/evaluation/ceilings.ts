// What this machine can do at most, and what the kernels make of it: attention and matrix products timed on the spot and
// given as shares of the measured ceilings. `bench/` in a checkout measures more, against other libraries.
import { flashAttention } from "../attention.js";
import { native } from "../binding.js";
import { linear, packWeight } from "../ops.js";
import { idle, scope, Tensor } from "../tensor.js";

export interface Ceilings {
  /** float32 operations per second of fused multiply-adds in registers. */
  float32Flops: number;
  /** The same of bfloat16 pair products; 0 where the machine has none. */
  bfloat16Flops: number;
  /** Bytes per second of a plain read of memory. */
  readBytes: number;
}

export interface KernelRow {
  kernel: string;
  milliseconds: number;
  /** Operations or bytes per second. */
  rate: number;
  unit: "flop/s" | "byte/s";
  /** The ceiling that bounds it. */
  bound: keyof Ceilings;
  /** Of that ceiling. */
  share: number;
}

type Measured = Omit<KernelRow, "share">;

export async function measureCeilings(): Promise<Ceilings> {
  const tensor = native.ceilings();
  const [float32Flops, bfloat16Flops, readBytes] = (await tensor.data()) as Float32Array;
  tensor.dispose();
  return { float32Flops: float32Flops!, bfloat16Flops: bfloat16Flops!, readBytes: readBytes! };
}

type DTypeName = "float32" | "bfloat16";

function randomTensor(dtype: DTypeName, shape: number[]): Tensor {
  let state = 0x2545f491;
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  return scope(() => {
    const wide = new Tensor("float32", values, shape);
    return dtype === "float32" ? wide : wide.to(dtype);
  });
}

/** Best time of a few runs; the first one, which warms up, does not count. */
async function best(run: () => Tensor, runs: number, signal?: AbortSignal): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= runs; i++) {
    signal?.throwIfAborted();
    const begun = performance.now();
    const out = run();
    await idle();
    out.dispose();
    if (i > 0) least = Math.min(least, performance.now() - begun);
  }
  return least;
}

function row(kernel: string, milliseconds: number, work: number, bound: keyof Ceilings): Measured {
  return {
    kernel,
    milliseconds,
    rate: work / (milliseconds / 1000),
    unit: bound === "readBytes" ? "byte/s" : "flop/s",
    bound,
  };
}

/** bfloat16 is widened where the machine has no bfloat16 products. */
function boundOf(dtype: DTypeName): keyof Ceilings {
  return dtype === "bfloat16" && native.machine().nativeBFloat16 ? "bfloat16Flops" : "float32Flops";
}

async function attentionRow(dtype: DTypeName, seqLen: number, signal?: AbortSignal) {
  const [numHeads, numKVHeads, headDim] = [32, 8, 128];
  const q = randomTensor(dtype, [1, seqLen, numHeads, headDim]);
  const [k, v] = [0, 1].map(() => randomTensor(dtype, [1, seqLen, numKVHeads, headDim])) as [Tensor, Tensor];
  try {
    const ms = await best(() => flashAttention(q, k, v, { causal: true }), 3, signal);
    const flops = numHeads * 4 * headDim * ((seqLen * (seqLen + 1)) / 2);
    const name = `causal attention ${dtype}, ${seqLen} tokens, ${numHeads}/${numKVHeads} heads × ${headDim}`;
    return row(name, ms, flops, boundOf(dtype));
  } finally {
    for (const tensor of [q, k, v]) tensor.dispose();
  }
}

/** Many rows are bound by arithmetic (reading a prompt), one row by memory (writing a token). */
async function linearRow(dtype: DTypeName, rows: number, size: number, signal?: AbortSignal) {
  const weight = randomTensor(dtype, [size, size]);
  const packed = packWeight(weight);
  weight.dispose();
  const x = randomTensor(dtype, [rows, size]);
  try {
    const ms = await best(() => linear(x, packed), rows === 1 ? 10 : 3, signal);
    const name = `matrix product ${dtype}, [${rows}, ${size}] × [${size}, ${size}]`;
    if (rows > 1) return row(name, ms, 2 * rows * size * size, boundOf(dtype));
    return row(name, ms, size * size * (dtype === "float32" ? 4 : 2), "readBytes");
  } finally {
    x.dispose();
    native.dispose(packed);
  }
}

function larger(a: Ceilings, b: Ceilings): Ceilings {
  return {
    float32Flops: Math.max(a.float32Flops, b.float32Flops),
    bfloat16Flops: Math.max(a.bfloat16Flops, b.bfloat16Flops),
    readBytes: Math.max(a.readBytes, b.readBytes),
  };
}

/**
 * The kernels that decide how fast a model reads and writes, between two measurements of the ceilings: the larger one
 * counts, so that other work on the machine does not make a ceiling low.
 */
export async function measureKernels({
  onStep,
  signal,
}: {
  onStep?: (done: number, total: number) => void;
  signal?: AbortSignal;
} = {}): Promise<{ ceilings: Ceilings; kernels: KernelRow[] }> {
  const dtypes = ["float32", "bfloat16"] as const;
  const steps = [
    ...dtypes.map((dtype) => () => attentionRow(dtype, 4096, signal)),
    ...dtypes.map((dtype) => () => linearRow(dtype, 2048, 2048, signal)),
    ...dtypes.map((dtype) => () => linearRow(dtype, 1, 8192, signal)),
  ];
  const total = steps.length + 2;
  const before = await measureCeilings();
  const measured: Measured[] = [];
  for (const step of steps) {
    onStep?.(measured.length + 1, total);
    measured.push(await step());
  }
  onStep?.(total - 1, total);
  const ceilings = larger(before, await measureCeilings());
  onStep?.(total, total);
  return { ceilings, kernels: measured.map((one) => ({ ...one, share: one.rate / ceilings[one.bound] })) };
}
