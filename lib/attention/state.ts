// What the ops of the linear family give and take instead of a cache: a state of fixed size.
import type { Tensor } from "../tensor.js";

/** State of linearAttention and performerAttention. */
export interface LinearState {
  /** [batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value */
  values: Tensor;
  /** [batch, numHeads, features] float32: Σ key features */
  keys: Tensor;
  /** [batch, numHeads] float32, of random features: both are to be multiplied by e^logScale */
  logScale?: Tensor;
}
/** Output with the state after the last key: give it as `state` to the call with the keys that follow. */
export interface OutputWithState<State> {
  /** [batch, seqLenQ, numHeads, valueDim] in q's dtype */
  out: Tensor;
  state: State;
}
