// Qwen2 (Yang et al. 2024): Llama with biases on q, k and v, and windows on the layers that layer_types names, or from
// max_window_layers on where use_sliding_window says so.
import type { JsonFields } from "../formats/json-file.js";
import type { Architecture } from "./architecture.js";
import { readDecoderConfig } from "./decoder-config.js";
import { llama } from "./llama.js";

export function qwenWindows(fields: JsonFields, numLayers: number): (number | null)[] {
  const slides = fields.boolean("use_sliding_window", false) && fields.values.sliding_window !== null;
  const before = slides ? fields.integer("sliding_window", 4096) - 1 : null;
  const firstSliding = fields.integer("max_window_layers", 28, 0);
  const types = fields.strings("layer_types");
  if (types && types.length !== numLayers)
    fields.wrong("layer_types", `a list of num_hidden_layers = ${numLayers} names`, types);
  return Array.from({ length: numLayers }, (_, layer) => {
    const isSliding = types ? types[layer] === "sliding_attention" : layer >= firstSliding;
    return isSliding ? before : null;
  });
}

export const qwen2: Architecture = {
  config(fields) {
    const config = readDecoderConfig(fields);
    return { ...config, queryKeyValueBias: true, windows: qwenWindows(fields, config.numLayers) };
  },
  load: llama.load,
};
