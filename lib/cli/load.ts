// A model as the options of a command say: --dtype, --weight-dtype, --device, --threads.
import { loadModel } from "../load.js";
import type { Model } from "../model.js";
import type { QuantisedDType } from "../nn/weights.js";

export interface ModelOptions {
  dtype: "float32" | "bfloat16";
  weightDtype?: QuantisedDType;
  device?: string;
  threads?: number;
}

export function loadAsGiven(source: string, options: ModelOptions, signal: AbortSignal): Promise<Model> {
  const { dtype, weightDtype, device, threads } = options;
  return loadModel(source, { dtype, weightDtype, ...(device && { device }), ...(threads && { threads }), signal });
}
