// A Llama-like checkpoint of random bfloat16 weights, written piece by piece: config.json and model.safetensors,
// nothing else; without tokenizer.json a model takes token ids.
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const base = { numHeads: 32, numKVHeads: 8, vocabSize: 128256, ropeTheta: 500000 };
export const presets = {
  tiny: {
    ...base,
    ...{ hiddenSize: 128, numLayers: 2, numHeads: 4, numKVHeads: 2, headDim: 32, intermediateSize: 256 },
    ...{ vocabSize: 512, tied: true },
  },
  /** Llama-3.2-1B */
  "1b": { ...base, hiddenSize: 2048, numLayers: 16, headDim: 64, intermediateSize: 8192, tied: true },
  /** Llama-3.1-8B */
  "8b": { ...base, hiddenSize: 4096, numLayers: 32, headDim: 128, intermediateSize: 14336, tied: false },
};

function config(p) {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: p.hiddenSize,
    intermediate_size: p.intermediateSize,
    num_hidden_layers: p.numLayers,
    num_attention_heads: p.numHeads,
    num_key_value_heads: p.numKVHeads,
    head_dim: p.headDim,
    vocab_size: p.vocabSize,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: p.ropeTheta,
    hidden_act: "silu",
    tie_word_embeddings: p.tied,
    torch_dtype: "bfloat16",
  };
}

/** Names and shapes in the order of the file; norms are vectors. */
function tensors({ hiddenSize, numLayers, numHeads, numKVHeads, headDim, intermediateSize, vocabSize, tied }) {
  const layer = {
    input_layernorm: [hiddenSize],
    "self_attn.q_proj": [numHeads * headDim, hiddenSize],
    "self_attn.k_proj": [numKVHeads * headDim, hiddenSize],
    "self_attn.v_proj": [numKVHeads * headDim, hiddenSize],
    "self_attn.o_proj": [hiddenSize, numHeads * headDim],
    post_attention_layernorm: [hiddenSize],
    "mlp.gate_proj": [intermediateSize, hiddenSize],
    "mlp.up_proj": [intermediateSize, hiddenSize],
    "mlp.down_proj": [hiddenSize, intermediateSize],
  };
  const layers = Array.from({ length: numLayers }, (_, i) =>
    Object.entries(layer).map(([name, shape]) => [`model.layers.${i}.${name}.weight`, shape]),
  ).flat();
  return [
    ["model.embed_tokens.weight", [vocabSize, hiddenSize]],
    ...layers,
    ["model.norm.weight", [hiddenSize]],
    ...(tied ? [] : [["lm_head.weight", [vocabSize, hiddenSize]]]),
  ];
}

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

/** 4 MiB of bfloat16 numbers in ±0.035, a standard deviation of 0.02 as in training's beginning. */
function noise() {
  const halves = new Uint16Array(1 << 21);
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  let state = 12345;
  for (let i = 0; i < halves.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    float[0] = (state / 2 ** 32 - 0.5) * 0.07;
    halves[i] = bits[0] >>> 16;
  }
  return Buffer.from(halves.buffer);
}

/** Writes all of it; `count` bytes may be less than what a call is asked for. */
function writeAll(file, bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at);
}

function writeTensor(file, shape, pool, shift) {
  const bytes = 2 * sizeOf(shape);
  if (shape.length === 1) return writeAll(file, Buffer.from(new Uint16Array(shape[0]).fill(0x3f80).buffer));
  // Each tensor begins elsewhere in the pool, and each round of the pool too: no two rows are alike by its period.
  for (let left = bytes, at = shift; left > 0; at = ((at * 5 + 74) % pool.length) & ~1) {
    const part = pool.subarray(at, Math.min(pool.length, at + left));
    writeAll(file, part);
    left -= part.length;
  }
}

/** Writes the checkpoint of a preset; the numbers of its parameters, and of those that a token reads. */
export async function writeCheckpoint(folder, preset) {
  writeFileSync(join(folder, "config.json"), JSON.stringify(config(preset)));
  const all = tensors(preset);
  const header = {};
  let offset = 0;
  for (const [name, shape] of all) {
    const end = offset + 2 * sizeOf(shape);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const pool = noise();
  const file = openSync(join(folder, "model.safetensors"), "wx");
  try {
    writeAll(file, length);
    writeAll(file, json);
    for (const [i, [, shape]] of all.entries()) {
      writeTensor(file, shape, pool, ((i * 99_990) % pool.length) & ~1);
      await new Promise(setImmediate); // Ctrl-C is heard here
    }
  } finally {
    closeSync(file);
  }
  const parameters = offset / 2;
  const embedding = preset.vocabSize * preset.hiddenSize;
  return { parameters, readPerToken: preset.tied ? parameters : parameters - embedding };
}
