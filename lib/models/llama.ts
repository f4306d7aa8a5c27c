// Llama (Touvron et al. 2023) and, by its config's switches, its kin: pre-norm blocks of rotary grouped-query attention
// and a gated MLP. Biases, head norms and windows are off here and turned on by the variants.
import type { JsonFields } from "../formats/json-file.js";
import { Linear } from "../nn/linear.js";
import { RMSNorm } from "../nn/rms-norm.js";
import type { Weights } from "../nn/weights.js";
import { native } from "../binding.js";
import { scope, type Tensor } from "../tensor.js";
import type { Architecture, DecoderModel, Pass } from "./architecture.js";
import { type DecoderConfig, readDecoderConfig } from "./decoder-config.js";

class Attention {
  private constructor(
    readonly config: DecoderConfig,
    readonly layer: number,
    readonly queryKeyValue: Linear,
    readonly output: Linear,
    readonly queryNorm: RMSNorm | undefined,
    readonly keyNorm: RMSNorm | undefined,
  ) {}

  static async load(weights: Weights, config: DecoderConfig, layer: number): Promise<Attention> {
    const { hiddenSize, numHeads, numKVHeads, headDim, normEpsilon } = config;
    const name = `model.layers.${layer}.self_attn`;
    const norm = (part: string) => RMSNorm.load(weights, `${name}.${part}`, headDim, normEpsilon);
    return new Attention(
      config,
      layer,
      await Linear.load(weights, {
        names: [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`],
        outFeatures: [numHeads * headDim, numKVHeads * headDim, numKVHeads * headDim],
        inFeatures: hiddenSize,
        bias: config.queryKeyValueBias,
      }),
      await Linear.load(weights, {
        names: [`${name}.o_proj`],
        outFeatures: [hiddenSize],
        inFeatures: numHeads * headDim,
        bias: config.outputBias,
      }),
      config.queryKeyNorm ? await norm("q_norm") : undefined,
      config.queryKeyNorm ? await norm("k_norm") : undefined,
    );
  }

  /** x [n, hiddenSize], normed → its attention + residual */
  apply(x: Tensor, residual: Tensor, pass: Pass): Tensor {
    const { numHeads, numKVHeads, headDim } = this.config;
    const n = x.shape[0]!;
    const all = this.queryKeyValue.apply(x).reshape([1, n, numHeads + 2 * numKVHeads, headDim]);
    const q = all.narrow(2, 0, numHeads);
    const k = all.narrow(2, numHeads, numKVHeads);
    const v = all.narrow(2, numHeads + numKVHeads, numKVHeads);
    const attended = pass.attend(this.layer, this.queryNorm?.apply(q) ?? q, this.keyNorm?.apply(k) ?? k, v);
    return this.output.apply(attended.reshape([n, numHeads * headDim]), residual);
  }
}

class MLP {
  private constructor(
    readonly config: DecoderConfig,
    readonly gateUp: Linear,
    readonly down: Linear,
  ) {}

  static async load(weights: Weights, config: DecoderConfig, layer: number): Promise<MLP> {
    const { hiddenSize, intermediateSize, mlpBias: bias } = config;
    const name = `model.layers.${layer}.mlp`;
    const gateUp = await Linear.load(weights, {
      names: [`${name}.gate_proj`, `${name}.up_proj`],
      outFeatures: [intermediateSize, intermediateSize],
      inFeatures: hiddenSize,
      bias,
    });
    const down = { names: [`${name}.down_proj`], outFeatures: [hiddenSize], inFeatures: intermediateSize, bias };
    return new MLP(config, gateUp, await Linear.load(weights, down));
  }

  /** x [n, hiddenSize], normed → down(activation(gate x) · up x) + residual */
  apply(x: Tensor, residual: Tensor): Tensor {
    const { intermediateSize, activation } = this.config;
    const both = this.gateUp.apply(x);
    const [gate, up] = [0, intermediateSize].map((start) => both.narrow(1, start, intermediateSize));
    return this.down.apply(native.gatedActivation(gate!, up!, { activation }), residual);
  }
}

class Block {
  private constructor(
    readonly attentionNorm: RMSNorm,
    readonly attention: Attention,
    readonly mlpNorm: RMSNorm,
    readonly mlp: MLP,
  ) {}

  static async load(weights: Weights, config: DecoderConfig, layer: number): Promise<Block> {
    const norm = (part: string) =>
      RMSNorm.load(weights, `model.layers.${layer}.${part}`, config.hiddenSize, config.normEpsilon);
    return new Block(
      await norm("input_layernorm"),
      await Attention.load(weights, config, layer),
      await norm("post_attention_layernorm"),
      await MLP.load(weights, config, layer),
    );
  }

  apply(x: Tensor, pass: Pass): Tensor {
    return scope(() => {
      const attended = this.attention.apply(this.attentionNorm.apply(x), x, pass);
      return this.mlp.apply(this.mlpNorm.apply(attended), attended);
    });
  }
}

class Llama implements DecoderModel {
  private constructor(
    readonly config: DecoderConfig,
    readonly dtype: string,
    readonly embedding: Tensor,
    readonly blocks: readonly Block[],
    readonly norm: RMSNorm,
    readonly head: Linear,
  ) {}

  static async load(
    weights: Weights,
    config: DecoderConfig,
    onLayer: (done: number, total: number) => void | Promise<void>,
  ): Promise<Llama> {
    const { vocabSize, hiddenSize, numLayers } = config;
    const embedding = await weights.table("model.embed_tokens.weight", vocabSize, hiddenSize);
    const blocks: Block[] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      await onLayer(layer, numLayers + 1);
      blocks.push(await Block.load(weights, config, layer));
    }
    await onLayer(numLayers, numLayers + 1);
    const norm = await RMSNorm.load(weights, "model.norm", hiddenSize, config.normEpsilon);
    const names = [config.tieWordEmbeddings ? "model.embed_tokens" : "lm_head"];
    const head = await Linear.load(weights, { names, outFeatures: [vocabSize], inFeatures: hiddenSize, bias: false });
    await onLayer(numLayers + 1, numLayers + 1);
    return new Llama(config, weights.dtype, embedding, blocks, norm, head);
  }

  get numLayers(): number {
    return this.blocks.length;
  }
  embed(ids: Tensor): Tensor {
    return scope(() => native.cast(native.embedding(ids, this.embedding), this.dtype));
  }
  layer(index: number, x: Tensor, pass: Pass): Tensor {
    return this.blocks[index]!.apply(x, pass);
  }
  logits(x: Tensor): Tensor {
    return scope(() => native.cast(this.head.apply(this.norm.apply(x)), "float32"));
  }
}

export const llama: Architecture = {
  config(fields: JsonFields): DecoderConfig {
    const bias = fields.boolean("attention_bias", false);
    return {
      ...readDecoderConfig(fields),
      queryKeyValueBias: bias,
      outputBias: bias,
      mlpBias: fields.boolean("mlp_bias", false),
    };
  },
  load: Llama.load,
};
