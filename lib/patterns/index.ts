// The factories of patterns: one word each.
import { blocks, mask } from "./blocks.js";
import { intersect, perHead, sum, union } from "./combine.js";
import { dilated, dilatedWindow, sparseFixed, sparseStrided } from "./dilated.js";
import { documents, pcw, tree } from "./documents.js";
import { etc, longformer, longT5Local, transientGlobal } from "./global.js";
import { infLlm } from "./inf-llm.js";
import { aShape, causal, chunks, full, lambda, prefixLM, sinks, window } from "./local.js";
import { minferenceBlocks, verticalSlash } from "./minference.js";
import { moba } from "./moba.js";
import { nsa } from "./nsa.js";
import { quest } from "./quest.js";
import { bigBird, blockBert, longLora } from "./tables.js";
import { topKeys } from "./top-keys.js";
import { xAttention } from "./x-attention.js";

export { Pattern, type PatternLengths, type PatternPlace } from "./pattern.js";
export { Selector } from "./select.js";

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
  quest,
  moba,
  nsa,
  infLlm,
  minferenceBlocks,
  verticalSlash,
  xAttention,
  topKeys,
  union,
  intersect,
  sum,
  perHead,
};
