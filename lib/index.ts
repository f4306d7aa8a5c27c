// What users see.
export {
  type AttentionExplanation,
  type AttentionPart,
  explainAttention,
  flashAttention,
  type FlashAttentionOptions,
  mergeAttention,
} from "./attention.js";
export {
  hashSparseAttention,
  type HashSparseAttentionOptions,
  qkSparseAttention,
  type QkSparseAttentionOptions,
} from "./attention/hash-sparse.js";
export { remappedAttention, type RemappedAttentionOptions } from "./attention/remapped.js";
export { copeAttention, type CopeOptions } from "./attention/cope.js";
export { routingAttention, type RoutingAttentionOptions } from "./attention/routing.js";
export {
  type HashedAttentionOutput,
  lshAttention,
  type LshAttentionOptions,
  lshDecodeAttention,
  type LshDecodeAttentionOptions,
} from "./attention/lsh.js";
export { type LinearAttentionOptions, linearAttention } from "./attention/linear-attention.js";
export {
  performerAttention,
  type PerformerAttentionOptions,
  performerProjection,
  type PerformerProjectionOptions,
  type RandomFeatureOptions,
} from "./attention/performer-attention.js";
export {
  deltaNet,
  type DeltaNetOptions,
  gatedLinearAttention,
  type GatedLinearAttentionOptions,
  retention,
  type RetentionOptions,
} from "./attention/recurrent.js";
export { scatterbrainAttention, type ScatterbrainAttentionOptions } from "./attention/scatterbrain-attention.js";
export type { LinearState, OutputWithState } from "./attention/state.js";
export { hierarchicalAttention, type HierarchicalOptions } from "./attention/hierarchical.js";
export { landmarkAttention, type LandmarkOptions } from "./attention/landmark.js";
export { linformerAttention, type LinformerOptions } from "./attention/linformer.js";
export { lunaAttention, type LunaOptions, type LunaOutput, type LunaState } from "./attention/luna.js";
export { adaptiveSpan, type AdaptiveSpanOptions } from "./attention/spans.js";
export * from "./errors.js";
export { machine, memory, setMemoryBudget, setQueueBytes, setThreads } from "./machine.js";
export { type LoadOptions, loadModel } from "./load.js";
export type { ForwardOptions, Model, NllOptions } from "./model.js";
export type { ContextOptions, ModelContext, PrefillOptions, Progress, Prompt } from "./model-context.js";
export type { AttentionSettings, RopeScaling } from "./model-settings.js";
export type { GeneratedToken, GenerateOptions, Generation, Usage } from "./generate.js";
export { KVCache } from "./cache/kv-cache.js";
export { Tokenizer } from "./formats/tokenizer.js";
export * from "./ops.js";
export { Pattern, type PatternLengths, type PatternPlace, patterns, Selector } from "./patterns/index.js";
export {
  type DistanceMap,
  type DistanceRegion,
  type DistanceTable,
  type GgufPositions,
  type LayerPositions,
  type Placement,
  positions,
  type QueryScale,
  type RemappedRotary,
  type RopeLayout,
  type Rotary,
} from "./positions/index.js";
export {
  type DType,
  idle,
  ready,
  scope,
  Tensor,
  type TensorData,
  type TypedArray,
  type WaitOptions,
} from "./tensor.js";
