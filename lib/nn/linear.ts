// y = activation(x Wᵀ + b) + residual, with W packed.
import { native, type PackedMatrix } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { Weights } from "./weights.js";

export interface LinearNames {
  /** Prefixes such as model.layers.0.mlp.up_proj; several are computed as one matrix. */
  names: readonly string[];
  outFeatures: readonly number[];
  inFeatures: number;
  bias: boolean;
}

export class Linear {
  readonly #weight: PackedMatrix;
  readonly #bias: Tensor | undefined;

  constructor(weight: PackedMatrix, bias?: Tensor) {
    this.#weight = weight;
    this.#bias = bias;
  }

  static async load(weights: Weights, { names, outFeatures, inFeatures, bias }: LinearNames): Promise<Linear> {
    const of = (kind: string) => names.map((name) => `${name}.${kind}`);
    const matrix = await weights.matrix(of("weight"), outFeatures, inFeatures);
    return new Linear(matrix, bias ? await weights.vector(of("bias"), outFeatures) : undefined);
  }

  /** x [..., inFeatures] → [..., outFeatures] */
  apply(x: Tensor, residual?: Tensor): Tensor {
    return native.linear(x, this.#weight, {
      ...(this.#bias && { bias: this.#bias }),
      ...(residual && { residual }),
    });
  }
}
