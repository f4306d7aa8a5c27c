// Perplexity by length: how well a model predicts text in windows longer than it was trained on, for several ways to
// place and to limit attention. The text is cut into consecutive windows of L tokens; a window's first token is given,
// the L − 1 others are predicted, each from all before it in its window.
import { ArgumentError } from "../errors.js";
import type { Model } from "../model.js";
import type { AttentionSettings, RopeScaling } from "../model-settings.js";

/** One way to run a model at a length; `factor` is length / trained length, at least 1. */
export interface Method {
  name: string;
  ropeScaling?: (factor: number) => RopeScaling;
  attention?: AttentionSettings;
}

export interface PerplexityRow {
  method: string;
  length: number;
  /** Mean of −log p, natural log. */
  nll: number;
  perplexity: number;
  /** The same over the last predictions of each window, half a trained length of them. */
  tailPerplexity: number;
  predictions: number;
  seconds: number;
}

export interface EvaluationProgress {
  done: number;
  total: number;
}

export interface PerplexityOptions {
  lengths: readonly number[];
  methods?: readonly Method[];
  onProgress?: (progress: EvaluationProgress) => void;
  onRow?: (row: PerplexityRow) => void;
  signal?: AbortSignal;
}

export const plainRope: Method = { name: "plain RoPE" };

/** Positions divided by the factor (Chen et al. 2023, Position Interpolation). */
export const linearScaling: Method = {
  name: "linear scaling",
  ropeScaling: (factor) => ({ rope_type: "linear", factor }),
};

/** Each token sees `size` tokens, its own among them (as Mistral counts). */
export function slidingWindow(size: number): Method {
  return { name: `window of ${size}`, attention: { window: size - 1 } };
}

/** The trained length of a model: before any extension, where its config names that, in or beside the scaling. */
export function trainedLength(model: Model): number {
  const { rope, maxPositionEmbeddings } = model.config;
  return rope.originalMaxPositionEmbeddings ?? maxPositionEmbeddings;
}

/** What nll takes for a method at a length. */
export function settingsOf(method: Method, length: number, trained: number) {
  const { ropeScaling, attention } = method;
  return {
    ...(ropeScaling && { ropeScaling: ropeScaling(Math.max(1, length / trained)) }),
    ...(attention && { attention }),
  };
}

function mean(sum: number, count: number): number {
  return count > 0 ? sum / count : Number.NaN;
}

/** Rows for each method and length, the lengths inside; windows that the text does not fill are left out. */
export async function perplexityByLength(
  model: Model,
  tokens: Int32Array,
  { lengths, methods = [plainRope], onProgress, onRow, signal }: PerplexityOptions,
): Promise<PerplexityRow[]> {
  const trained = trainedLength(model);
  const fault = lengths.find((length) => !Number.isInteger(length) || length < 2 || length > tokens.length);
  if (fault !== undefined)
    throw new ArgumentError(
      `perplexityByLength: a length must be a whole number from 2 to the text's ${tokens.length} tokens, got ${fault}`,
      { op: "perplexityByLength", argument: "lengths" },
    );
  const windows = (length: number) => Math.floor(tokens.length / length);
  const total = methods.length * lengths.reduce((sum, length) => sum + windows(length) * length, 0);
  const rows: PerplexityRow[] = [];
  let done = 0;
  for (const method of methods) {
    for (const length of lengths) {
      const begun = performance.now();
      const tailLength = Math.min(length - 1, Math.floor(trained / 2));
      let [sum, tailSum] = [0, 0];
      for (let at = 0; at + length <= tokens.length; at += length) {
        const settings = settingsOf(method, length, trained);
        const nll = await model.nll(tokens.subarray(at, at + length), { ...settings, ...(signal && { signal }) });
        for (const value of nll) sum += value;
        for (const value of nll.subarray(nll.length - tailLength)) tailSum += value;
        done += length;
        onProgress?.({ done, total });
      }
      const predictions = windows(length) * (length - 1);
      const row = {
        method: method.name,
        length,
        nll: mean(sum, predictions),
        perplexity: Math.exp(mean(sum, predictions)),
        tailPerplexity: Math.exp(mean(tailSum, windows(length) * tailLength)),
        predictions,
        seconds: (performance.now() - begun) / 1000,
      };
      rows.push(row);
      onRow?.(row);
    }
  }
  return rows;
}
