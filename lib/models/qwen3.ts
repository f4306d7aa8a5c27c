// Qwen3 (Yang et al. 2025): Llama with an RMSNorm on every query and key head before the rotation, and Qwen2's windows.
import type { Architecture } from "./architecture.js";
import { llama } from "./llama.js";
import { qwenWindows } from "./qwen2.js";

export const qwen3: Architecture = {
  config(fields) {
    const config = llama.config(fields);
    const headDim = fields.integer("head_dim", 128);
    return { ...config, headDim, mlpBias: false, queryKeyNorm: true, windows: qwenWindows(fields, config.numLayers) };
  },
  load: llama.load,
};
