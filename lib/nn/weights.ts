// A model's weights on their way from the file into the panels that the kernels read: each is checked against the shape
// that config.json implies and packed at once, so that no more than one matrix is held twice. What it made it owns.
import { ModelFormatError } from "../errors.js";
import type { Checkpoint } from "../formats/safetensors.js";
import { native, type PackedMatrix } from "../binding.js";
import { type Tensor, scope } from "../tensor.js";

export type ComputeDType = "float32" | "bfloat16";

/** Outputs above this many bytes wait for an empty queue, which takes one op of any size. */
const largeBytes = 64 * 2 ** 20;

export class Weights {
  readonly #checkpoint: Checkpoint;
  readonly #made: (Tensor | PackedMatrix)[] = [];
  /** Of activations; float32 keeps 16-bit weights as they are, which is exact. */
  readonly dtype: ComputeDType;

  constructor(checkpoint: Checkpoint, dtype: ComputeDType) {
    this.#checkpoint = checkpoint;
    this.dtype = dtype;
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

  async #room(bytes: number): Promise<void> {
    await (bytes > largeBytes ? native.idle() : native.ready());
  }

  /** A vector, such as a norm's weight or a bias, in float32 (several are joined). */
  async vector(names: readonly string[], lengths: readonly number[]): Promise<Tensor> {
    await native.ready();
    return this.#own(() => {
      const parts = names.map((name, i) => native.cast(this.#view(name, [lengths[i]!]), "float32"));
      return native.concatenate(parts, 0);
    });
  }

  /** A table [rows, columns] of its own memory, in the file's dtype, or bfloat16 where that is computed in. */
  async table(name: string, rows: number, columns: number): Promise<Tensor> {
    await this.#room(rows * columns * 4);
    return this.#own(() => {
      const view = this.#view(name, [rows, columns]);
      const wanted = this.dtype === "bfloat16" ? "bfloat16" : view.dtype;
      return native.concatenate([native.cast(view, wanted)], 0);
    });
  }

  /** Matrices [rows, columns] one below the other, packed as one. */
  async matrix(names: readonly string[], rows: readonly number[], columns: number): Promise<PackedMatrix> {
    await this.#room(rows.reduce((a, b) => a + b, 0) * columns * 4);
    return this.#own(() => {
      const parts = names.map((name, i) => this.#view(name, [rows[i]!, columns]));
      const options = this.dtype === "bfloat16" ? { dtype: "bfloat16" } : {};
      const same = parts.every((part) => part.dtype === parts[0]!.dtype);
      const joinable = same ? parts : parts.map((part) => native.cast(part, "float32"));
      return native.packWeight(joinable.length === 1 ? joinable[0]! : native.concatenate(joinable, 0), options);
    });
  }

  /** Lets go of everything made. */
  dispose(): void {
    for (const handle of this.#made.splice(0)) native.dispose(handle);
  }

  #own<T extends Tensor | PackedMatrix>(make: () => T): T {
    const made = scope(make);
    this.#made.push(made);
    return made;
  }
}
