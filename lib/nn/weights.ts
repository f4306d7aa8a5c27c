// A model's weights on their way from the file into the panels that the kernels read: each is checked against the shape
// that config.json implies and packed at once, so that no more than one matrix is held twice. What it made it owns.
import { ModelFormatError } from "../errors.js";
import type { Checkpoint } from "../formats/safetensors.js";
import { native, type PackedMatrix } from "../binding.js";
import type { Tensor } from "../tensor.js";

export type ComputeDType = "float32" | "bfloat16";
/** Of matrices: 34 or 18 bytes for 32 weights (llama.cpp's Q8_0 and Q4_0), rounded as they are loaded. */
export type QuantisedDType = "q8_0" | "q4_0";
export const quantisedDTypes = ["q8_0", "q4_0"] as const satisfies readonly QuantisedDType[];

export class Weights {
  readonly #checkpoint: Checkpoint;
  readonly #made: (Tensor | PackedMatrix)[] = [];
  /** Of activations; float32 keeps 16-bit weights as they are, which is exact. */
  readonly dtype: ComputeDType;
  /** Where they are put. */
  readonly device: string;
  /** Of matrices, where it is not what dtype says. */
  readonly #quantised: QuantisedDType | undefined;

  constructor(
    checkpoint: Checkpoint,
    { dtype, device, quantised }: { dtype: ComputeDType; device: string; quantised?: QuantisedDType | undefined },
  ) {
    this.#checkpoint = checkpoint;
    this.dtype = dtype;
    this.device = device;
    this.#quantised = quantised;
  }

  has(name: string): boolean {
    return this.#checkpoint.weights.has(name);
  }

  /** A view on the file. */
  #view(name: string, shape: readonly number[]): Tensor {
    const facts = this.#checkpoint.weights.get(name) ?? this.#checkpoint.missing(name);
    if (facts.shape.length !== shape.length || facts.shape.some((extent, i) => extent !== shape[i])) {
      const reason = `tensor "${name}" has shape [${facts.shape}], expected [${shape}] by config.json`;
      throw new ModelFormatError(`${facts.file}: ${reason}`, { file: facts.file, reason });
    }
    return this.#checkpoint.tensor(name);
  }

  /** Before an op with an output of `bytes`: an empty queue takes one of any size. */
  async #room(bytes: number): Promise<void> {
    await (bytes > native.machine().queueBytes / 4 ? native.idle() : native.ready());
  }

  /** A vector, such as a norm's weight or a bias, in float32 (several are joined). */
  async vector(names: readonly string[], lengths: readonly number[]): Promise<Tensor> {
    const parts = names.map((name, i) => this.#view(name, [lengths[i]!]));
    return this.#kept(await this.#joined(parts, "float32"));
  }

  /** A table [rows, columns] of its own memory, in the file's dtype, or bfloat16 where that is computed in. */
  async table(name: string, rows: number, columns: number): Promise<Tensor> {
    const view = this.#view(name, [rows, columns]);
    return this.#kept(await this.#joined([view], this.dtype === "bfloat16" ? "bfloat16" : view.dtype));
  }

  /** Matrices [rows, columns] one below the other, packed as one. */
  async matrix(names: readonly string[], rows: readonly number[], columns: number): Promise<PackedMatrix> {
    const parts = names.map((name, i) => this.#view(name, [rows[i]!, columns]));
    const same = parts.every((part) => part.dtype === parts[0]!.dtype);
    const whole =
      parts.length === 1 ? this.#placed(parts[0]!) : await this.#joined(parts, same ? parts[0]!.dtype : "float32");
    try {
      await this.#room(whole.size * 4);
      const dtype = this.#quantised ?? (this.dtype === "bfloat16" ? "bfloat16" : undefined);
      return this.#kept(native.packWeight(whole, dtype ? { dtype } : {}));
    } finally {
      whole.dispose();
    }
  }

  /** Lets go of everything made. */
  dispose(): void {
    for (const handle of this.#made.splice(0)) native.dispose(handle);
  }

  #kept<T extends Tensor | PackedMatrix>(made: T): T {
    this.#made.push(made);
    return made;
  }

  /** `tensor` on the device; where that is a copy, the tensor is let go of. */
  #placed(tensor: Tensor): Tensor {
    if (this.device === "cpu") return tensor;
    const placed = native.toDevice(tensor, this.device);
    tensor.dispose();
    return placed;
  }

  /** Views one behind the other, in memory of their own and in `dtype`; the views are let go of. */
  async #joined(views: Tensor[], dtype: string): Promise<Tensor> {
    const parts: Tensor[] = [];
    try {
      for (const view of views) {
        if (view.dtype !== dtype) await this.#room(view.size * 4);
        parts.push(native.cast(view, dtype));
      }
      await this.#room(parts.reduce((bytes, part) => bytes + part.size * 4, 0));
      return this.#placed(native.concatenate(parts, 0));
    } finally {
      for (const tensor of [...parts, ...views]) tensor.dispose();
    }
  }
}
