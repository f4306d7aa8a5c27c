// Factors on the logits of a query that depend on its position alone, so that cached keys stay right: the longer the text,
// the sharper the softmax must be. Each function returns the factor of a position (from 0 on), for `attention.queryScale`.
import { native } from "../binding.js";
import { checkedNumber, checkedOptions } from "../options.js";
import type { Tensor } from "../tensor.js";
import { yarnScale } from "./yarn.js";

/** The factor on q of the query at `position`. */
export type QueryScale = (position: number) => number;

export interface LogNOptions {
  /** N: the factor is 1 there. */
  trainedLength: number;
  /**
   * Never below 1, for models that were not trained with it; true if absent. Models trained with log-n take false, Qwen-1
   * (use_logn_attn) true.
   */
  clipped?: boolean | undefined;
}
/**
 * Log-n scaling: ln(p + 1) / ln N. Su, kexue.fm 8823 (entropy invariance); Chiang & Cholak 2022, "Overcoming a Theoretical
 * Limitation of Self-Attention".
 */
export function logN(options: LogNOptions): QueryScale {
  const op = "positions.logN";
  const { trainedLength, clipped = true } = checkedOptions(op, options, ["trainedLength", "clipped"]);
  const length = checkedNumber(op, "trainedLength", trainedLength ?? Number.NaN, { min: 1, above: true })!;
  const scale = (position: number) => Math.log(position + 1) / Math.log(length);
  return clipped ? (position) => Math.max(1, scale(position)) : scale;
}

/** Log-n by the whole length, one factor for every query, not clipped: ln n / ln N (CLEX's log_scale). */
export function logTotal(options: { trainedLength: number; seqLen: number }): number {
  const op = "positions.logTotal";
  const { trainedLength, seqLen } = checkedOptions(op, options, ["trainedLength", "seqLen"]);
  const length = checkedNumber(op, "trainedLength", trainedLength ?? Number.NaN, { min: 1, above: true })!;
  return Math.log(checkedNumber(op, "seqLen", seqLen ?? Number.NaN, { min: 1 })!) / Math.log(length);
}

export interface Llama4TemperatureOptions {
  /** 8192 if absent. */
  floorScale?: number | undefined;
  /** 0.1 if absent. */
  attentionScale?: number | undefined;
}
/** Llama 4's temperature, of its layers without positions: 1 + s ln(1 + ⌊(p + 1) / floorScale⌋). */
export function llama4Temperature(options: Llama4TemperatureOptions = {}): QueryScale {
  const op = "positions.llama4Temperature";
  const { floorScale, attentionScale } = checkedOptions(op, options, ["floorScale", "attentionScale"]);
  const length = checkedNumber(op, "floorScale", floorScale, { min: 0, above: true }) ?? 8192;
  const scale = checkedNumber(op, "attentionScale", attentionScale, {}) ?? 0.1;
  return (position) => 1 + scale * Math.log1p(Math.floor((position + 1) / length));
}

export interface MinistralTemperatureOptions {
  /** 16384 in Ministral 3. */
  originalMaxPositionEmbeddings: number;
  /** llama_4_scaling_beta; 0.1 if absent. */
  beta?: number | undefined;
}
/** Ministral 3's temperature, of every layer: 1 + β ln(1 + ⌊p / L⌋); unlike Llama 4's without + 1 on the position. */
export function ministralTemperature(options: MinistralTemperatureOptions): QueryScale {
  const op = "positions.ministralTemperature";
  const { originalMaxPositionEmbeddings: original, beta } = checkedOptions(op, options, [
    "originalMaxPositionEmbeddings",
    "beta",
  ]);
  const rule = { min: 0, above: true };
  const length = checkedNumber(op, "originalMaxPositionEmbeddings", original ?? Number.NaN, rule)!;
  const scale = checkedNumber(op, "beta", beta, {}) ?? 0.1;
  return (position) => 1 + scale * Math.log1p(Math.floor(position / length));
}

/** A temperature without steps: 1 + α ln(max(1, (p + 1) / floor)). */
export function smoothTemperature(options: { alpha: number; floor: number }): QueryScale {
  const op = "positions.smoothTemperature";
  const { alpha, floor } = checkedOptions(op, options, ["alpha", "floor"]);
  const scale = checkedNumber(op, "alpha", alpha ?? Number.NaN, {})!;
  const length = checkedNumber(op, "floor", floor ?? Number.NaN, { min: 0, above: true })!;
  return (position) => 1 + scale * Math.log(Math.max(1, (position + 1) / length));
}

/**
 * DeepSeek's factor on the softmax scale, over all dims of a head: (0.1 · mscaleAllDim · ln factor + 1)². To be used besides
 * YaRN's attentionScale, which is 1 in these models.
 */
export function deepseekScale(options: { factor: number; mscaleAllDim: number }): number {
  const op = "positions.deepseekScale";
  const { factor, mscaleAllDim } = checkedOptions(op, options, ["factor", "mscaleAllDim"]);
  const rule = { min: 0, above: true };
  const mscale = checkedNumber(op, "mscaleAllDim", mscaleAllDim ?? Number.NaN, { min: 0 })!;
  return mscale === 0 ? 1 : yarnScale(checkedNumber(op, "factor", factor ?? Number.NaN, rule)!, mscale) ** 2;
}

/**
 * KeyNorm: logits q · k / ‖k‖ without 1 / √headDim (Su, kexue.fm 9859). Returns k [..., headDim] divided by its root mean
 * square, so that attention with the usual scale gives them: q · k √headDim / ‖k‖ / √headDim. The rotation may come before
 * or after. Models must be trained so.
 */
export function keyNorm(k: Tensor): Tensor {
  return native.rmsNorm(k, null, { epsilon: 1e-24 });
}

/** CosA: logits λ cos(q, k), λ = 4 ln n; of q and k after keyNorm the factor is λ / √headDim. Su, kexue.fm 9859. */
export function cosineScale(options: { headDim: number; seqLen?: number | undefined }): QueryScale {
  const op = "positions.cosineScale";
  const { headDim, seqLen } = checkedOptions(op, options, ["headDim", "seqLen"]);
  const width = checkedNumber(op, "headDim", headDim ?? Number.NaN, { integer: true, min: 1 })!;
  const fixed = checkedNumber(op, "seqLen", seqLen, { min: 1 });
  return (position) => (4 * Math.log(fixed ?? position + 1)) / Math.sqrt(width);
}
