// What users see.
export { flashAttention, mergeAttention, type AttentionPart, type FlashAttentionOptions } from "./attention.js";
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
  type DType,
  idle,
  ready,
  scope,
  Tensor,
  type TensorData,
  type TypedArray,
  type WaitOptions,
} from "./tensor.js";
