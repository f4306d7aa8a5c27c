// The selected branch of native sparse attention.
import { native } from "../binding.js";
import { wrongArgument } from "../options.js";
import { blockSelector, count, countOrNone, parameters, type Selector } from "./select.js";

export interface NsaOptions {
  /** Keys in a block that is chosen; 64 if absent. */
  blockSize?: number;
  /** Keys that a compressed key is the mean of; 32 if absent. */
  compressBlock?: number;
  /** From one compressed key to the next; 16 if absent. Divides blockSize and compressBlock. */
  compressStride?: number;
  /** Blocks that a query sees, the forced ones among them; 16 if absent. */
  topBlocks?: number;
  /** First blocks, always seen; 1 if absent. */
  initialBlocks?: number;
  /** Last blocks, the own one among them, always seen; 2 if absent. */
  localBlocks?: number;
  /** Factor on q·k; headDim ** −0.5 if absent. */
  scale?: number;
}
/**
 * The blocks of native sparse attention (Yuan et al. 2025, NSA): p = softmax(scale · q · compressed keys) over the
 * compressed keys that end at the query or before; a block's importance is the sum of p over the strides in it and the
 * compressed keys on each stride (the paper's eq. 9), summed over the query heads of a key/value head (eq. 10), which
 * see the same blocks. Compressed keys are means, as in fla-org's repository. Causal. The branches for compressed keys
 * and for a window are flashAttention over the means and patterns.window; the gates are the model's.
 */
export function nsa(options: NsaOptions = {}): Selector {
  const rules = {
    blockSize: count,
    compressBlock: count,
    compressStride: count,
    topBlocks: count,
    initialBlocks: countOrNone,
    localBlocks: countOrNone,
    scale: {},
  };
  const given = parameters("nsa", options, rules);
  const { blockSize = 64, compressBlock = 32, compressStride = 16 } = given;
  if (compressBlock % compressStride || blockSize % compressStride)
    wrongArgument("nsa", "compressStride", `a divisor of ${compressBlock} and ${blockSize}`, compressStride);
  const { topBlocks = 16, initialBlocks = 1, localBlocks = 2 } = given;
  if (topBlocks < initialBlocks + localBlocks)
    wrongArgument("nsa", "topBlocks", `at least the ${initialBlocks + localBlocks} forced blocks`, topBlocks);
  const grid = { blockQ: 1, blockKV: blockSize, causal: true };
  return blockSelector("NSA selection", (q, k) => native.selectNsa(q, k, given), grid);
}
