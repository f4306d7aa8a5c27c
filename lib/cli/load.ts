// A model as the options of a command say: --dtype, --device, --threads.
import { loadModel } from "../load.js";
import type { Model } from "../model.js";

export interface ModelOptions {
  dtype: "float32" | "bfloat16";
  device?: string;
  threads?: number;
}

export function loadAsGiven(source: string, options: ModelOptions, signal: AbortSignal): Promise<Model> {
  const { dtype, device, threads } = options;
  return loadModel(source, { dtype, ...(device && { device }), ...(threads && { threads }), signal });
}
