// What users see.
export { flashAttention, mergeAttention, type AttentionPart, type FlashAttentionOptions } from "./attention.js";
export * from "./errors.js";
export { machine, memory, setMemoryBudget, setQueueBytes, setThreads } from "./machine.js";
export * from "./ops.js";
export { Pattern, patterns } from "./patterns/index.js";
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
