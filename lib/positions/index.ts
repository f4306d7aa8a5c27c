// Position schemes: frequencies for `rope`, absolute positions, factors on logits, biases by distance, ids for training, and
// what config.json and GGUF files say about them. One word each.
import { abf } from "./abf.js";
import { alibiSlopes } from "./alibi.js";
import { byParts } from "./by-parts.js";
import { clex } from "./clex.js";
import { fromConfig } from "./config.js";
import { plain } from "./default.js";
import { divisors } from "./divisors.js";
import { dynamic, qwenDynamic } from "./dynamic.js";
import { fire } from "./fire.js";
import { fromGguf } from "./gguf.js";
import { giraffe } from "./giraffe.js";
import { hwfa, layersFromConfig } from "./layers.js";
import { kerple } from "./kerple.js";
import { ggufLayout, halfToInterleaved, interleavedToHalf, ropeLayout } from "./layouts.js";
import { hierarchical, learnedRows, resampled } from "./learned.js";
import { linear } from "./linear.js";
import { dualChunk } from "./dual-chunk.js";
import { lmInfinite } from "./lm-infinite.js";
import { leakyRerope, rerope } from "./rerope.js";
import { selfExtend } from "./self-extend.js";
import { llama3 } from "./llama3.js";
import {
  cosineScale,
  deepseekScale,
  keyNorm,
  llama4Temperature,
  logN,
  logTotal,
  ministralTemperature,
  smoothTemperature,
} from "./logit-scale.js";
import { longrope } from "./longrope.js";
import { mrope, mropePositions } from "./mrope.js";
import { ntk, ntkFixed, ntkMixed } from "./ntk.js";
import { proportional } from "./proportional.js";
import { sandwich } from "./sandwich.js";
import { sinusoidal } from "./sinusoidal.js";
import { t5Bias, t5Bucket } from "./t5.js";
import { pose, randomPadding, randomPositions, shape } from "./training.js";
import { xpos } from "./xpos.js";
import { yarn } from "./yarn.js";

export type { DistanceMap, DistanceRegion, Placement } from "./distance-map.js";
export type { RemappedRotary } from "./rerope.js";
export type { DistanceTable } from "./distance-table.js";
export type { GgufPositions } from "./gguf.js";
export type { RopeLayout } from "./layouts.js";
export type { HwfaOptions, LayerPositions } from "./layers.js";
export type { QueryScale } from "./logit-scale.js";
export {
  isLengthDependent,
  type RopeConfig,
  readRopeConfig,
  ropeLayerTypes,
  ropeTypeOf,
  rotaryOfConfig,
  sameRotary,
} from "./config.js";
export { type ParameterFault, type Rotary, type RotaryInput, SchemeParameters, snakeCase } from "./scheme.js";
export { positionScheme, ropeTypes, rotary } from "./schemes.js";

export const positions = {
  plain,
  abf,
  linear,
  ntk,
  ntkFixed,
  ntkMixed,
  dynamic,
  qwenDynamic,
  byParts,
  yarn,
  longrope,
  llama3,
  proportional,
  giraffe,
  clex,
  divisors,
  rerope,
  leakyRerope,
  selfExtend,
  dualChunk,
  lmInfinite,
  xpos,
  mrope,
  mropePositions,
  sinusoidal,
  learnedRows,
  resampled,
  hierarchical,
  logN,
  logTotal,
  llama4Temperature,
  ministralTemperature,
  smoothTemperature,
  deepseekScale,
  keyNorm,
  cosineScale,
  alibiSlopes,
  t5Bucket,
  t5Bias,
  kerple,
  sandwich,
  fire,
  pose,
  shape,
  randomPositions,
  randomPadding,
  fromConfig,
  layersFromConfig,
  hwfa,
  fromGguf,
  ropeLayout,
  ggufLayout,
  interleavedToHalf,
  halfToInterleaved,
};
