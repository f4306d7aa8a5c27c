// A checkpoint's weights: one safetensors file, or several behind model.safetensors.index.json. The bytes stay in the
// native mapping; nothing here reads them.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ModelFormatError } from "../errors.js";
import { native, type SafetensorsFile } from "../binding.js";
import type { Tensor } from "../tensor.js";
import { JsonFields, readJsonFile } from "./json-file.js";

export interface WeightFacts {
  /** As the file spells it: F32, F16, BF16, … */
  dtype: string;
  shape: readonly number[];
  file: string;
}

export class Checkpoint {
  readonly #files = new Map<string, SafetensorsFile>();
  readonly #weights = new Map<string, WeightFacts>();
  readonly #metadata: Record<string, string> = {};
  /** The file or folder it was read from, for messages. */
  readonly source: string;

  private constructor(source: string) {
    this.source = source;
  }

  /** A folder with model.safetensors or its index, or one .safetensors file. */
  static async open(source: string): Promise<Checkpoint> {
    const checkpoint = new Checkpoint(source);
    if (source.endsWith(".safetensors")) {
      checkpoint.#addFile(source);
      return checkpoint;
    }
    const indexFile = join(source, "model.safetensors.index.json");
    const single = join(source, "model.safetensors");
    if (!existsSync(single) && existsSync(indexFile)) await checkpoint.#addShards(source, indexFile);
    else if (existsSync(single)) checkpoint.#addFile(single);
    else {
      const reason = "has neither model.safetensors nor model.safetensors.index.json";
      throw new ModelFormatError(`${source}: ${reason}`, { file: source, reason });
    }
    return checkpoint;
  }

  get weights(): ReadonlyMap<string, WeightFacts> {
    return this.#weights;
  }
  get metadata(): Readonly<Record<string, string>> {
    return this.#metadata;
  }

  /** The weight as a view on the file; ModelFormatError when there is none. */
  tensor(name: string): Tensor {
    const file = this.#weights.get(name)?.file ?? this.missing(name);
    return native.safetensorsTensor(this.#files.get(file)!, name);
  }

  missing(name: string): never {
    const reason = `has no tensor "${name}"`;
    throw new ModelFormatError(`${this.source}: ${reason}`, { file: this.source, reason });
  }

  /** Lets go of the mappings; tensors on them keep theirs. */
  close(): void {
    for (const file of this.#files.values()) native.dispose(file);
    this.#files.clear();
    this.#weights.clear();
  }

  #addFile(file: string): void {
    const handle = native.openSafetensors(file);
    const { tensors, metadata } = native.safetensorsFacts(handle);
    this.#files.set(file, handle);
    for (const { name, dtype, shape } of tensors) this.#weights.set(name, { dtype, shape, file });
    for (const { key, value } of metadata) this.#metadata[key] = value;
  }

  async #addShards(folder: string, indexFile: string): Promise<void> {
    const index = new JsonFields(indexFile, (await readJsonFile(indexFile)) ?? {});
    const map =
      index.object("weight_map") ?? index.wrong("weight_map", "an object of tensor names and files", undefined);
    const shards = new Set(Object.keys(map.values).map((name) => map.string(name)));
    for (const shard of shards) {
      // A name with a folder in it would reach outside of the checkpoint.
      if (basename(shard) !== shard || shard === "..") map.wrong("(file)", "a plain file name", shard);
      const file = join(folder, shard);
      if (!existsSync(file)) {
        const reason = `the shard ${shard}, which ${basename(indexFile)} lists, is missing`;
        throw new ModelFormatError(`${folder}: ${reason}`, { file, reason });
      }
      this.#addFile(file);
    }
    for (const name of Object.keys(map.values)) {
      const file = join(folder, map.string(name));
      if (this.#weights.get(name)?.file === file) continue;
      const reason = `has no tensor "${name}", which ${basename(indexFile)} promises`;
      throw new ModelFormatError(`${file}: ${reason}`, { file, reason });
    }
  }
}
