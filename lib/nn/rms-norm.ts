// x / rms(x) · weight over the last axis: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization".
import { native } from "../binding.js";
import type { Tensor } from "../tensor.js";
import type { Weights } from "./weights.js";

export class RMSNorm {
  readonly #weight: Tensor;
  readonly #epsilon: number;

  constructor(weight: Tensor, epsilon: number) {
    this.#weight = weight;
    this.#epsilon = epsilon;
  }

  static async load(weights: Weights, name: string, size: number, epsilon: number): Promise<RMSNorm> {
    return new RMSNorm(await weights.vector([`${name}.weight`], [size]), epsilon);
  }

  apply(x: Tensor): Tensor {
    return native.rmsNorm(x, this.#weight, { epsilon: this.#epsilon });
  }
}
