// What the lists of this folder cover, op by op: which dtypes are compared in which form. docs/support.md prints it.
import { patterns } from "../../lib/index.js";
import { type FloatDType, floatDTypes } from "../support/numbers.js";
import { attentionCases } from "./attention.mjs";
import { compressedCases } from "./compressed-attention.js";
import { copeCases } from "./cope.js";
import { distanceCases, distanceSizes, dtypeOf } from "./distances.js";
import { groupedOps, groupedShapes, dtypesOf as groupedDTypes } from "./grouped-attention.js";
import { cacheDTypes, cacheSizes, ropeAppendCases } from "./kv-cache.mjs";
import { dtypesOf as linearDTypes, linearCases } from "./linear.js";
import { lshCases, lshDecodeCases } from "./lsh-attention.js";
import { opCases } from "./ops.js";
import { patternEntries, patternForms } from "./patterns.mjs";
import { lineSizes, selectCases, visibleSizes } from "./select.js";
import { sequenceCases } from "./sequences.mjs";

export const forms = ["whole", "after a cache", "decoded", "in steps", "packed", "padded", "paged"] as const;
export type Form = (typeof forms)[number];
/** Of each op: in each form, the dtypes. */
export type Coverage = Map<string, Partial<Record<Form, Set<FloatDType>>>>;

function add(to: Coverage, op: string, form: Form | undefined, dtypes: readonly FloatDType[]): void {
  const row = to.get(op) ?? {};
  to.set(op, row);
  if (!form) return;
  row[form] ??= new Set();
  for (const dtype of dtypes) row[form].add(dtype);
}

/** Nothing where there are no keys, no queries, or fewer keys than queries: an edge, and no form of its own. */
function formOf({ seqLenQ, seqLenKV }: { seqLenQ: number; seqLenKV: number }): Form | undefined {
  if (seqLenQ === 0 || seqLenQ > seqLenKV) return undefined;
  if (seqLenQ === seqLenKV) return "whole";
  return seqLenQ === 1 ? "decoded" : "after a cache";
}

const sequenceForms = ["packed", "padded", "paged"] as const;

/** Attention: flashAttention, the cache, and the ops that are no pattern. */
export function attentionCoverage(): Coverage {
  const all: Coverage = new Map();
  for (const c of attentionCases) add(all, "flashAttention", formOf(c), floatDTypes);
  for (const { factory } of sequenceCases(patterns))
    if (!factory) for (const form of sequenceForms) add(all, "flashAttention", form, ["float32"]);
  for (const size of cacheSizes)
    for (const { queries } of cacheDTypes) add(all, "KVCache.attend", formOf(size), [queries]);
  for (const c of linearCases) {
    add(all, c.op, formOf(c.sizes), linearDTypes(c));
    if (c.steps && formOf(c.sizes)) add(all, c.op, "in steps", ["float32"]);
  }
  for (const c of compressedCases) add(all, c.op, formOf(c), floatDTypes);
  for (const op of groupedOps) for (const [, size] of groupedShapes) add(all, op, formOf(size), groupedDTypes(size));
  for (const c of copeCases) add(all, "copeAttention", formOf(c), floatDTypes);
  for (const n of distanceCases.keys())
    for (const [i, c] of distanceSizes.entries()) add(all, "remappedAttention", formOf(c), [dtypeOf(n, i)]);
  if (lshCases.length) add(all, "lshAttention", "whole", floatDTypes);
  for (const { dtype } of lshDecodeCases) add(all, "lshDecodeAttention", "decoded", [dtype]);
  return all;
}

/** flashAttention under each factory of `patterns`. */
export function patternCoverage(): Coverage {
  const all: Coverage = new Map();
  for (const { factory } of patternEntries) for (const { form } of patternForms) add(all, factory, form, floatDTypes);
  for (const { factory } of sequenceCases(patterns))
    if (factory) for (const form of sequenceForms) add(all, factory, form, ["float32"]);
  for (const size of visibleSizes) for (const { factory } of selectCases) add(all, factory, formOf(size), ["float32"]);
  for (const size of lineSizes) add(all, "verticalSlash", formOf(size), ["float32"]);
  return all;
}

/** The other ops: dtypes of the first input. */
export function opCoverage(): Map<string, Set<FloatDType>> {
  const all = new Map<string, Set<FloatDType>>();
  for (const { op, dtypes } of opCases) all.set(op, new Set([...(all.get(op) ?? []), ...dtypes]));
  all.set("KVCache.ropeAppend", new Set(ropeAppendCases.map(({ dtype }) => dtype)));
  return all;
}
