// Mistral (Jiang et al. 2023): Llama with a sliding window, whose size counts the own position; null turns it off, and a
// config.json without the field means 4096.
import type { Architecture } from "./architecture.js";
import { readDecoderConfig } from "./decoder-config.js";
import { llama } from "./llama.js";

export const mistral: Architecture = {
  config(fields) {
    const config = readDecoderConfig(fields);
    const unlimited = fields.values.sliding_window === null;
    const before = unlimited ? null : fields.integer("sliding_window", 4096) - 1;
    return { ...config, windows: config.windows.map(() => before) };
  },
  load: llama.load,
};
