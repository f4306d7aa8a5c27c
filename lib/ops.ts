// The ops on tensors beside attention. Each is the C++ function of the same name (csrc/ops/ops.h), which checks at the
// call and returns at once; native.d.ts has their signatures.
import { native } from "./binding.js";

export const {
  add,
  argmax,
  embedding,
  gatedActivation,
  layerNorm,
  linear,
  matmul,
  multiply,
  nll,
  packWeight,
  rmsNorm,
  rope,
  softmax,
  topK,
} = native;
