// Tensors: native memory with a dtype and a shape. Ops return at once; data(), toArray(), item() and idle() wait.
import { abortable } from "./abort.js";
import { ArgumentError } from "./errors.js";
import { native, setTensorClass } from "./binding.js";
import { log } from "./log.js";
import { checkedOptions } from "./options.js";

/** The dtypes; f32 f16 bf16 i8 u8 i32 i64, their capital forms and fp16 are accepted too. */
export type DType = "float32" | "float16" | "bfloat16" | "int8" | "uint8" | "int32" | "int64";
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;
/** What data() gives: float16 and bfloat16 as their bits. */
export type TensorData = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;
/** What the ops take where a Tensor is asked for: a Tensor, or any object with dtype (type), data and shape (dims). */
export type TensorLike =
  | Tensor
  | { dtype?: string; type?: string; data: unknown; shape?: readonly number[]; dims?: readonly number[] };
export interface WaitOptions {
  /** Aborting stops the op at its next tile; all that depends on it rejects with the signal's reason. */
  signal?: AbortSignal;
}
type Nested = number | bigint | Nested[];

const scopes: Set<Tensor>[] = [];
let lastReadId = 0;
const shared = Symbol("shares the array's memory");

/** A multi-dimensional array in native memory. */
export class Tensor {
  // Asked for when they are wanted first: most results of ops live unseen.
  #dtype: DType | undefined;
  #shape: readonly number[] | undefined;

  /**
   * Copies `data` (a typed array, or numbers in row-major order). `device` is cpu if neither it nor LONGSPAN_DEVICE says
   * otherwise. Throws ShapeError, DTypeError, DeviceError, OutOfMemoryError.
   */
  constructor(
    dtype: string,
    data: TypedArray | readonly number[],
    shape: readonly number[],
    options?: { device?: string },
  ) {
    if (dtype === undefined && native.takeResult(this)) {
      // a result of an op: the addon calls `new Tensor()`
    } else if ((dtype as unknown) === shared) {
      native.initView(this, data, shape, (options as { dtype?: string }).dtype);
    } else {
      const { device } = checkedOptions("new Tensor", options, ["device"]);
      native.initTensor(this, dtype, data, shape, device);
    }
    scopes.at(-1)?.add(this);
  }

  /**
   * Shares the array's memory instead of copying it: do not write to the array before idle(). Uint16Array needs
   * {dtype: "float16"} or {dtype: "bfloat16"}.
   */
  static view(array: TypedArray, shape: readonly number[], options: { dtype?: string } = {}): Tensor {
    checkedOptions("Tensor.view", options, ["dtype"]);
    return new Tensor(shared as never, array, shape, options as never);
  }

  get dtype(): DType {
    this.#dtype ??= native.dtypeOf(this) as DType;
    return this.#dtype;
  }
  get type(): DType {
    return this.dtype;
  }
  get shape(): readonly number[] {
    this.#shape ??= Object.freeze(native.shapeOf(this));
    return this.#shape;
  }
  get dims(): readonly number[] {
    return this.shape;
  }
  /** cpu, cuda, or cuda:<number>. */
  get device(): string {
    return native.deviceOf(this);
  }
  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  /** In another dtype (rounded to nearest even), or on another device. */
  to(target: string): Tensor {
    if (!/^(cpu|cuda(:.*)?)$/.test(target)) return native.cast(this, target);
    return this.device === target ? this : native.toDevice(this, target);
  }
  /** float16 and bfloat16 as float32. */
  toFloat32(): Tensor {
    return native.cast(this, "float32");
  }
  /** The same elements in another shape; one extent may be -1. A view where strides allow. */
  reshape(shape: readonly number[]): Tensor {
    return native.reshape(this, shape as number[]);
  }
  /** A view with axes a and b exchanged. */
  transpose(a: number, b: number): Tensor {
    return native.transpose(this, a, b);
  }
  /** A view of [starts, ends) along each axis; negative numbers count from the end. */
  slice(starts: readonly number[], ends: readonly number[] = []): Tensor {
    return native.slice(this, starts as number[], ends as number[]);
  }
  /** A view of [start, start + length) of one axis. */
  narrow(axis: number, start: number, length: number): Tensor {
    return native.narrow(this, axis, start, length);
  }
  /** The same values in dense row-major memory. */
  contiguous(): Tensor {
    return native.contiguous(this);
  }

  /** The values in row-major order, in memory of their own. */
  async data(options: WaitOptions = {}): Promise<TensorData> {
    checkedOptions("data", options, ["signal"]);
    const readId = ++lastReadId;
    return abortable(
      options.signal,
      () => native.readTensor(this, readId),
      (abortId) => native.cancelRead(readId, abortId),
    );
  }
  /** The values as nested arrays of numbers (bigint for int64). */
  async toArray(options: WaitOptions = {}): Promise<Nested> {
    const wide = this.dtype === "float16" || this.dtype === "bfloat16" ? this.toFloat32() : this;
    const flat = await wide.data(options);
    if (wide !== this) wide.dispose();
    return nest(flat, this.shape, 0, 0);
  }
  /** The value of a tensor with one element. */
  async item(options: WaitOptions = {}): Promise<number | bigint> {
    if (this.size !== 1)
      throw new ArgumentError(`item: the tensor must have one element, it has shape [${this.shape.join(", ")}]`, {
        op: "item",
        argument: "this",
      });
    let value = await this.toArray(options);
    while (Array.isArray(value)) value = value[0] as Nested;
    return value;
  }

  /** Lets go of the memory at once. Ops already enqueued keep what they need. */
  dispose(): void {
    native.dispose(this);
  }
  get disposed(): boolean {
    return native.isDisposed(this);
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
  toString(): string {
    return `Tensor(${this.dtype}, [${this.shape.join(", ")}]${this.disposed ? ", disposed" : ""})`;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

function nest(flat: TensorData, shape: readonly number[], axis: number, offset: number): Nested {
  if (axis === shape.length) return flat[offset] as number | bigint;
  const extent = shape[axis] as number;
  const step = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  return Array.from({ length: extent }, (_, i) => nest(flat, shape, axis + 1, offset + i * step));
}

const told = new Set<string>();
setTensorClass(Tensor, (op, device) => {
  if (!told.has(op))
    log("warn", `${op} has no kernel on ${device}: it is computed on the CPU, its tensors go there and back`);
  told.add(op);
});

function tensorsIn(value: unknown, found: Set<unknown>): void {
  if (value === null || typeof value !== "object" || found.has(value)) return;
  found.add(value);
  if (value instanceof Tensor || ArrayBuffer.isView(value)) return;
  const items = value instanceof Map || value instanceof Set ? [...value.values()] : Object.values(value);
  for (const item of items) tensorsIn(item, found);
}

/** The shape of what stands for a tensor; [] where there is none. */
export function shapeOf(x: TensorLike | undefined): readonly number[] {
  return x?.shape ?? (x as { dims?: readonly number[] } | undefined)?.dims ?? [];
}

/** Runs `body` and disposes all tensors made in it, but those it returns (also inside arrays and plain objects). */
export function scope<T>(body: () => T): T {
  const made = new Set<Tensor>();
  scopes.push(made);
  let kept = new Set<unknown>();
  try {
    const result = body();
    if (typeof (result as { then?: unknown } | undefined)?.then === "function")
      throw new ArgumentError("scope: the function must not be async; its tensors would be disposed while it waits", {
        op: "scope",
        argument: "body",
      });
    tensorsIn(result, kept);
    return result;
  } catch (error) {
    kept = new Set();
    throw error;
  } finally {
    scopes.pop();
    for (const tensor of made) {
      if (!kept.has(tensor)) tensor.dispose();
      else scopes.at(-1)?.add(tensor);
    }
  }
}

/** Tensors made in `body` belong to no scope: what outlives the call that makes it keeps them. */
export function unscoped<T>(body: () => T): T {
  scopes.push(new Set());
  try {
    return body();
  } finally {
    scopes.pop();
  }
}

/** Waits until everything enqueued so far has run. Aborting only stops the waiting. */
export async function idle(options: WaitOptions & { device?: string } = {}): Promise<void> {
  checkedOptions("idle", options, ["device", "signal"]);
  if (options.device !== undefined) native.requireDevice("idle", options.device);
  await abortable(
    options.signal,
    () => native.idle(),
    () => {},
  );
}

/** Waits until the queue of pending outputs is at most half full (LONGSPAN_QUEUE_BYTES). */
export async function ready(options: WaitOptions = {}): Promise<void> {
  await abortable(
    options.signal,
    () => native.ready(),
    () => {},
  );
}
