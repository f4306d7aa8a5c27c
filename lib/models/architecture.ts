// What a model file gives, and what it gets: the floor above knows nothing of blocks and norms.
import type { JsonFields } from "../formats/json-file.js";
import type { Weights } from "../nn/weights.js";
import type { Tensor } from "../tensor.js";
import type { DecoderConfig } from "./decoder-config.js";

/** One pass of some tokens through the layers. */
export interface Pass {
  /**
   * Turns q [1, n, numHeads, headDim] and k [1, n, numKVHeads, headDim] by their positions and keeps k and v of the layer;
   * q sees what the layer may see.
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
}

export interface DecoderModel {
  readonly numLayers: number;
  /** ids [n] → [n, hiddenSize] */
  embed(ids: Tensor): Tensor;
  layer(index: number, x: Tensor, pass: Pass): Tensor;
  /** [n, hiddenSize] → [n, vocabSize] float32 */
  logits(x: Tensor): Tensor;
}

export interface Architecture {
  /** Reads and checks config.json. */
  config(fields: JsonFields): DecoderConfig;
  /** Weights are owned, and let go of, by `weights`. */
  load(
    weights: Weights,
    config: DecoderConfig,
    onLayer: (done: number, total: number) => void | Promise<void>,
  ): Promise<DecoderModel>;
}
