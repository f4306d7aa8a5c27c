// The factories of patterns: one word each.
import { blocks, mask } from "./blocks.js";
import { intersect, perHead, sum, union } from "./combine.js";
import { dilated, dilatedWindow, sparseFixed, sparseStrided } from "./dilated.js";
import { documents, pcw, tree } from "./documents.js";
import { etc, longformer, longT5Local, transientGlobal } from "./global.js";
import { aShape, causal, chunks, full, lambda, prefixLM, sinks, window } from "./local.js";
import { bigBird, blockBert, longLora } from "./tables.js";

export { Pattern, type PatternLengths, type PatternPlace } from "./pattern.js";

export const patterns = {
  full,
  causal,
  window,
  sinks,
  lambda,
  aShape,
  chunks,
  prefixLM,
  documents,
  pcw,
  tree,
  dilated,
  dilatedWindow,
  sparseStrided,
  sparseFixed,
  blocks,
  mask,
  longformer,
  etc,
  longT5Local,
  transientGlobal,
  bigBird,
  blockBert,
  longLora,
  union,
  intersect,
  sum,
  perHead,
};
