// Measuring models and machines: `longspan/evaluation`.
export { type Ceilings, type KernelRow, measureCeilings, measureKernels } from "./ceilings.js";
export {
  comparable,
  compareSchemes,
  defaultWindows,
  neededTokens,
  planScheme,
  type SchemeComparison,
  type SchemeComparisonOptions,
  type SchemeCurve,
  type SchemePass,
  type SchemePlan,
  type SchemeProgress,
  type SchemeValue,
  type SkippedScheme,
} from "./compare-schemes.js";
export {
  type EvaluationProgress,
  linearScaling,
  type Method,
  perplexityByLength,
  type PerplexityOptions,
  type PerplexityRow,
  plainRope,
  slidingWindow,
  trainedLength,
} from "./perplexity.js";
export {
  defaultNeedleSchemes,
  type NeedleOmission,
  type NeedleOptions,
  type NeedleProgress,
  type NeedleResult,
  type NeedleRow,
  retrievalByDepth,
} from "./needle.js";
export { type LoopLag, peakMemory, watchLoopLag } from "./process.js";
export {
  depths,
  type Probe,
  retrievalByLength,
  type RetrievalOptions,
  retrievalProbes,
  type RetrievalRow,
} from "./retrieval.js";
export { bestScheme, formatPerplexity, schemeFindings } from "./scheme-findings.js";
export { schemeConfig, schemeSnippet } from "./scheme-snippet.js";
export { type SchemeChoice, schemeFor, schemeNames, type SchemeSettings } from "./schemes.js";
export { needleTask, type NeedleTaskName, needleTaskNames } from "./tasks/index.js";
export type { NeedleProbe, NeedleTask, ProbeRequest } from "./tasks/task.js";
export { longNet, type LongNetOptions, type LongNetResult, measureLongNet } from "./longnet.js";
